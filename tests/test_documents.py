"""The pages tell the truth: their Python runs, their commands exist, their links lead somewhere.

Python blocks of a page run in order and share names, in a folder that holds what a reader would
have: `my_folder/images`, `my_folder/masks`, `photos/`, `labelme/` and `photo.png`. Blocks with
`>>>` are doctests. A block under the line `<!-- not run: reason -->` is only compiled.
"""

from __future__ import annotations

import doctest
import importlib.util
import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    path
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    if "_build" not in path.parts
)

# What takes a reader minutes takes the test seconds.
QUICKER = {
    "max_minutes=20": "epochs=1, batch_size=2, crop=64",
    "--max-minutes 20": "--epochs 1 --batch-size 2 --crop 64 --set tuning_share=0",
    "congeal demo": "congeal demo --minutes 0.02 --images 1",
    'open_dataset("sticks", "train")': 'open_dataset("sticks", "train", count=4)',
}

FENCE = re.compile(
    r"(?P<skip><!-- not run: [^\n]+ -->\n+)?^ *```(?P<language>\w+)\n(?P<code>.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)
LINK = re.compile(r"!?\[[^\]]*\]\((?P<target>[^)#\s]+)(?:#[^)]*)?\)")


@dataclass(frozen=True)
class Block:
    """A fenced piece of a page."""

    language: str
    code: str
    line: int
    runs: bool


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            found["language"],
            found["code"],
            text.count("\n", 0, found.start("code")) + 1,
            found["skip"] is None,
        )
        for found in FENCE.finditer(text)
    ]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def with_language(*languages: str) -> list[Path]:
    return [page for page in PAGES if any(b.language in languages for b in blocks(page))]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a reader of the pages would have before them, small."""
    from congeal.data import open_dataset

    for folder in ("my_folder/images", "my_folder/masks", "photos"):
        (tmp_path / folder).mkdir(parents=True)
    for sample in open_dataset("sticks", "train", count=6, size=64):
        Image.fromarray(sample.image).save(tmp_path / f"my_folder/images/{sample.name}.png")
        labels = sample.labels.astype(np.uint16)
        Image.fromarray(labels).save(tmp_path / f"my_folder/masks/{sample.name}.png")
        Image.fromarray(sample.image).save(tmp_path / f"photos/{sample.name}.png")
    Image.fromarray(sample.image).save(tmp_path / "photo.png")
    write_labelme(tmp_path / "labelme", sample.image)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_labelme(folder: Path, image: Any) -> None:
    """An image with two squares, as Labelme stores it."""
    folder.mkdir()
    Image.fromarray(image).save(folder / "a.png")
    squares = [
        {"label": kind, "points": [[at, at], [at + 9, at], [at + 9, at + 9], [at, at + 9]]}
        for kind, at in (("disc", 4), ("square", 30))
    ]
    height, width = image.shape[:2]
    about = {"imagePath": "a.png", "imageHeight": height, "imageWidth": width}
    (folder / "a.json").write_text(json.dumps({"shapes": squares, **about}), encoding="utf-8")


def quicker(code: str) -> str:
    for slow, quick in QUICKER.items():
        code = code.replace(slow, quick)
    return code


def run(block: Block, page: Path, names: dict[str, Any]) -> None:
    """Run one block; a failure points at the line of the page."""
    code = quicker(block.code)
    if ">>>" in code:
        test = doctest.DocTestParser().get_doctest(code, names, name(page), str(page), block.line)
        test.globs = names  # the parser copies; later blocks use what this one leaves
        runner = doctest.DocTestRunner(
            optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE | doctest.REPORT_NDIFF
        )
        said: list[str] = []
        runner.run(test, out=said.append, clear_globs=False)
        assert runner.summarize(verbose=False).failed == 0, "".join(said)
    else:
        padded = "\n" * (block.line - 1) + code
        exec(compile(padded, str(page), "exec", dont_inherit=True), names)


@pytest.mark.parametrize("page", with_language("python"), ids=name)
@pytest.mark.usefixtures("desk")
def test_the_python_of_the_page_runs(page: Path) -> None:
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks(page):
        if block.language == "python" and block.runs:
            run(block, page, names)
        elif block.language == "python" and ">>>" not in block.code:
            compile(block.code, str(page), "exec")


def test_the_script_for_labelme_writes_what_congeal_reads(desk: Path) -> None:
    from congeal.data import open_dataset

    page = ROOT / "docs/how-to/draw-masks.md"
    script = next(block for block in blocks(page) if "def convert" in block.code)
    run(script, page, {"__name__": "__main__"})
    (sample,) = open_dataset(desk / "from_labelme", "all")
    assert np.bincount(sample.labels.ravel())[1:].tolist() == [100, 100]
    assert sample.classes is not None
    assert sample.classes.tolist() == [1, 2]


def command_lines(page: Path) -> list[tuple[int, str]]:
    """The congeal commands that a page shows in console blocks, with their lines."""
    found = []
    for block in blocks(page):
        if block.language in ("console", "bash", "sh"):
            joined = block.code.replace("\\\n", "  ")
            for offset, line in enumerate(joined.splitlines()):
                words = line.strip().removeprefix("$ ").partition(" #")[0].strip()
                if words.removeprefix(".venv/bin/").split()[:1] == ["congeal"]:
                    found.append((block.line + offset, words))
    return found


@pytest.mark.parametrize(
    ("page", "line", "command"),
    [(page, line, command) for page in PAGES for line, command in command_lines(page)],
    ids=lambda value: name(value) if isinstance(value, Path) else str(value),
)
def test_the_commands_of_the_page_exist_with_their_options(
    page: Path, line: int, command: str
) -> None:
    import typer

    from congeal.cli import app

    words = shlex.split(command)[1:]
    known: Any = typer.main.get_command(app)
    while words and hasattr(known, "commands") and not words[0].startswith("-"):
        assert words[0] in known.commands, f"{name(page)}:{line}: {command}"
        known = known.commands[words.pop(0)]
    options = {option for param in known.params for option in param.opts + param.secondary_opts}
    given = {word.partition("=")[0] for word in words if re.match(r"--?[a-zA-Z]", word)}
    assert given <= options | {"--help"}, f"{name(page)}:{line}: {command}"


@pytest.mark.slow
@pytest.mark.usefixtures("desk")
def test_the_quickstart_works_word_by_word() -> None:
    from congeal.cli import app

    page = ROOT / "docs/quickstart.md"
    told = command_lines(page)
    assert {words.split()[1] for _, words in told} >= {"demo", "train", "tune", "evaluate"}
    for line, words in told:
        done = CliRunner().invoke(app, shlex.split(quicker(words))[1:])
        assert done.exit_code == 0, f"{name(page)}:{line}: {words}\n{done.output}"
    for left in ("segmented/photo_overlay.png", "congeal-demo", "my_nuclei", "runs/mine", "mine"):
        assert Path(left).exists(), left


def test_the_readme_is_short() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.split()) <= 900
    rows = [line for line in text.splitlines() if line.startswith("|") and "---" not in line]
    assert 1 < len(rows) <= 7, "a head and at most six rows"
    cells = [cell.strip() for row in rows for cell in row.strip("|").split("|")]
    assert max(len(cell) for cell in cells) <= 60


def test_every_page_opens_with_what_it_is_for() -> None:
    for page in PAGES:
        text = FENCE.sub("", page.read_text(encoding="utf-8"))
        opening = re.search(r"^# [^\n]+\n\n(?!#|\||```|:::)\S", text, re.MULTILINE)
        assert opening or "{include}" in page.read_text(encoding="utf-8"), name(page)


def test_every_page_is_in_the_contents() -> None:
    index = (ROOT / "docs/index.md").read_text(encoding="utf-8")
    listed = {
        path
        for entry in index.splitlines()
        if re.fullmatch(r"[\w/*-]+", entry)
        for path in (ROOT / "docs").glob(f"{entry}.md")
    }
    assert {page for page in PAGES if page.parent != ROOT} - listed == {ROOT / "docs/index.md"}


def test_the_glossary_is_in_order_and_its_settings_exist() -> None:
    from congeal.methods import find_method
    from congeal.training import TrainConfig

    text = (ROOT / "docs/glossary.md").read_text(encoding="utf-8")
    terms = re.findall(r"^([^\n:#]+)\n: ", text, re.MULTILINE)
    sorting = [re.sub(r"[^a-z ]", "", term.lower()) for term in terms]
    assert sorting == sorted(sorting)
    known = {*find_method("rpe").Config.leaves(), *(f"training.{n}" for n in TrainConfig.leaves())}
    named = set(re.findall(r"`((?:input|network|loss|decoding|training)\.\w+)`", text))
    assert named <= known


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_the_links_of_the_page_lead_somewhere(page: Path) -> None:
    prose = FENCE.sub("", page.read_text(encoding="utf-8"))
    targets = {found["target"] for found in LINK.finditer(prose)}
    local = {target for target in targets if not re.match(r"[a-z]+:", target)}
    assert {target for target in local if not (page.parent / target).exists()} == set()


def generator() -> Any:
    """The script that writes docs/reference."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs/generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_generated_pages_are_current() -> None:
    stored = {
        path.name: path.read_text(encoding="utf-8") for path in (ROOT / "docs/reference").glob("*")
    }
    made = generator().pages()
    changed = {page for page in {*made, *stored} if made.get(page) != stored.get(page)}
    assert not changed, f"run python docs/generate.py: {sorted(changed)} changed"


def test_the_generator_writes_its_pages_and_removes_old_ones(tmp_path: Path) -> None:
    (tmp_path / "settings-gone.md").write_text("of a method that is gone")
    generator().write(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(generator().pages())


def test_every_command_and_public_name_is_on_its_page() -> None:
    from congeal.cli.app import app

    made = generator().pages()
    for command in app.registered_commands:
        assert f"## congeal {command.name}\n" in made["commands.md"]
    for part in ("losses", "grouping", "metrics", "data"):
        for public in importlib.import_module(f"congeal.{part}").__all__:
            assert re.search(rf"^\| `{public}\b", made["python.md"], re.MULTILINE), public


def test_a_failing_example_is_noticed() -> None:
    with pytest.raises(AssertionError, match=r"- 3"):
        run(Block("python", ">>> 1 + 1\n3\n", 1, True), ROOT / "README.md", {})
    with pytest.raises(ZeroDivisionError):
        run(Block("python", "1 / 0\n", 1, True), ROOT / "README.md", {})
