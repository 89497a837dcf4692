"""The house holds: imports point downwards only, and what has to stay light stays light.

Imports are read from the source, those inside functions and those for type checking included, so
nothing has to be importable and nothing can hide.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src"
PACKAGE = SOURCE / "congeal"

# A module may import from the rows above its own and, if it is a package, from itself.
# docs/architecture.md shows the same list.
LAYERS = (
    ("errors", "version"),
    ("clock", "files", "progress", "settings", "tasks"),
    ("sphere", "labels", "autograd", "neighbours", "randomness", "processes"),
    ("grouping", "metrics"),
    ("losses",),  # a loss may be taken through a grouping
    ("networks",),
    ("figures",),
    ("segmentation",),
    ("data",),
    ("methods",),
    ("models",),
    ("prediction", "evaluation"),
    ("training",),
    ("demo", "experiments"),
    ("cli",),
)
ROW = {name: row for row, names in enumerate(LAYERS) for name in names}

# Below the networks there are tensors and arrays only.
MATHEMATICS = (
    "sphere",
    "labels",
    "autograd",
    "neighbours",
    "randomness",
    "processes",
    "losses",
    "grouping",
    "metrics",
)
NOT_MATHEMATICS = {"PIL", "lightning", "matplotlib", "rich", "tifffile", "timm", "typer"}

# These take their time to import; the command line loads them inside commands.
HEAVY = {"torch", "torchvision", "timm", "lightning", "scipy", "skimage", "sklearn", "matplotlib"}

MODULES = sorted(PACKAGE.rglob("*.py"))
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def module_name(path: Path) -> str:
    """`src/congeal/data/folder.py` -> `congeal.data.folder`."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def absolute(node: ast.ImportFrom, package: str) -> str:
    """The module an import names, with leading dots resolved from `package`."""
    if not node.level:
        return node.module or ""
    base = package.split(".")[: len(package.split(".")) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])


def named_by_string(node: ast.AST) -> Iterator[str]:
    """`importlib.import_module("congeal.x")` is an import too."""
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
        yield from (
            argument.value
            for argument in node.args
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
        )


def imports(tree: ast.AST, package: str) -> Iterator[tuple[int, str]]:
    """Line and full dotted name of everything `tree` imports, wherever it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = absolute(node, package)
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)
        else:
            yield from ((getattr(node, "lineno", 0), name) for name in named_by_string(node))


def upward(tree: ast.AST, module: str, package: str) -> list[str]:
    """The imports in `tree` that the house forbids, as lines for a message."""
    own = module.split(".")[1]
    found = []
    for line, name in imports(tree, package):
        parts = name.split(".")
        if parts[0] != "congeal" or parts[1:2] == [own]:
            continue
        if len(parts) == 1 or parts[1] not in ROW:
            found.append(f"line {line}: {name} (name the module it comes from)")
        elif ROW[parts[1]] >= ROW[own]:
            found.append(f"line {line}: {name} ({parts[1]} is not below {own})")
    return found


def parse(path: Path) -> tuple[ast.AST, str, str]:
    """Tree, module name and package name of a source file."""
    module = module_name(path)
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    return ast.parse(path.read_text(encoding="utf-8")), module, package


def module_imports(path: Path, known: set[str]) -> set[str]:
    """The modules of the package that a module imports: of a dotted name, the deepest module.

    What Python does by itself does not count: running the packages above a module.
    """
    tree, module, package = parse(path)
    found = set()
    for _, name in imports(tree, package):
        while name and name not in known:
            name = name.rpartition(".")[0]
        found.add(name)
    return found - {"", module}


def cycles(graph: dict[str, set[str]]) -> list[str]:
    """One cycle of a graph of imports, as a list of modules, empty where there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_module_imports_itself_by_way_of_others() -> None:
    known = {module_name(path) for path in MODULES}
    assert cycles({module_name(path): module_imports(path, known) for path in MODULES}) == []


def test_the_finder_of_cycles_itself() -> None:
    assert cycles({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    assert set(cycles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}})) == {"a", "b", "c"}


def test_every_module_has_a_layer() -> None:
    assert {module_name(path).split(".")[1] for path in FILES} <= set(ROW)


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_imports_point_downwards(path: Path) -> None:
    assert upward(*parse(path)) == []


@pytest.mark.parametrize(
    "path",
    [path for path in FILES if module_name(path).split(".")[1] in MATHEMATICS],
    ids=module_name,
)
def test_below_the_networks_there_are_only_tensors_and_arrays(path: Path) -> None:
    tree, _, package = parse(path)
    assert {name.split(".")[0] for _, name in imports(tree, package)}.isdisjoint(NOT_MATHEMATICS)


@pytest.mark.parametrize(
    "path", [path for path in FILES if "cli" not in path.parts], ids=module_name
)
def test_only_the_command_line_knows_of_typer(path: Path) -> None:
    tree, _, package = parse(path)
    assert {name.split(".")[0] for _, name in imports(tree, package)}.isdisjoint({"typer", "click"})


@pytest.mark.parametrize("module", ["congeal", "congeal.errors", "congeal.files", "congeal.cli"])
def test_importing_it_loads_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print(*sorted({{n.split('.')[0] for n in sys.modules}}))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert HEAVY.isdisjoint(loaded.split())


@pytest.mark.parametrize(
    ("source", "problems"),
    [
        ("from congeal.errors import CongealError", 0),
        ("from congeal.losses.pairwise import pairwise_loss", 0),
        ("from congeal import sphere, labels", 0),
        ("from congeal import __version__", 1),
        ("from . import mean_shift", 0),
        ("import torch", 0),
        ("from congeal.data import registry", 1),
        ("from congeal import data, methods", 2),
        ("from ..cli import main", 1),
        ("from .. import cli", 1),
        ("import congeal", 1),
        ("import congeal.networks", 0),
        ("from congeal import RPE", 1),
        ("def f():\n    from congeal.training import train", 1),
        ("if TYPE_CHECKING:\n    from congeal.segmentation import Segmentation", 1),
        ("importlib.import_module('congeal.cli')", 1),
    ],
)
def test_the_reader_of_imports_itself(source: str, problems: int) -> None:
    found = upward(ast.parse(source), "congeal.networks.decoder", "congeal.networks")
    assert len(found) == problems


def test_a_row_does_not_import_from_itself() -> None:
    tree = ast.parse("from congeal.grouping import mean_shift")
    assert len(upward(tree, "congeal.metrics.matching", "congeal.metrics")) == 1


def test_the_architecture_page_shows_these_rows() -> None:
    page = (SOURCE.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = [line.split("|")[2] for line in page.splitlines() if re.match(r"\| \d+ \|", line)]
    assert [tuple(re.findall(r"`(\w+)`", row)) for row in rows] == list(LAYERS)
