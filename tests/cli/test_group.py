import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from congeal import __version__
from congeal.cli.group import Commands, Stopped
from congeal.errors import CongealError


def ending_of(error: BaseException | None, *words: str):
    """Run a program of two commands, one of which raises `error`."""
    app = typer.Typer(cls=Commands)

    @app.command()
    def work(number: int = 3) -> None:
        if error is not None:
            raise error
        typer.echo(number)

    @app.command()
    def rest() -> None:
        pass

    return CliRunner().invoke(app, ["work", *words])


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (CongealError("expected a,\n  got b"), 2, "error: expected a, got b"),
        (FileNotFoundError(2, "No such file", "a.png"), 2, "error: a.png: No such file"),
        (MemoryError(), 2, "error: not enough memory"),
        (KeyboardInterrupt(), 130, "stopped"),
        (Stopped("stopped: 3 of 4 done"), 130, "stopped: 3 of 4 done"),
        (KeyError("x"), 70, "error: a fault of congeal, not yours: KeyError: 'x'"),
    ],
)
def test_every_early_end_is_one_line_and_a_code(error, code, line):
    result = ending_of(error)
    assert result.exit_code == code
    assert result.stdout == ""
    assert result.stderr.startswith(line)
    assert len(result.stderr.splitlines()) == 1


def test_debug_shows_the_traceback_behind_any_command():
    result = ending_of(CongealError("broken"), "--debug")
    assert "Traceback" in result.stderr
    assert result.stderr.splitlines()[-1] == "error: broken"
    assert result.exit_code == 2


def test_debug_behind_two_dashes_is_an_argument():
    assert "unexpected" in ending_of(None, "--", "--debug").stderr


def test_a_code_can_be_chosen():
    assert ending_of(typer.Exit(1)).exit_code == 1


def test_what_goes_well_ends_with_zero():
    result = ending_of(None)
    assert (result.exit_code, result.stdout) == (0, "3\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--numbr", "4"], "no such option: --numbr; did you mean --number?"),
        (["--number", "x"], "invalid value for '--number'"),
        (["more"], "unexpected extra argument"),
    ],
)
def test_a_wrong_option_is_one_line_that_says_where_to_read_on(words, said):
    result = ending_of(None, *words)
    assert result.exit_code == 2
    assert said in result.stderr
    assert "work --help)" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "nearest"), [(["segmnt"], "segment"), (["data", "chekc"], "check")]
)
def test_a_misspelt_command_gets_the_nearest(fails, words, nearest):
    assert f"did you mean '{nearest}'" in fails(*words)


def test_the_version_is_told(run):
    assert run("--version").stdout == f"congeal {__version__}\n"


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_help_lists_every_command(run, words):
    result = run(*words)
    assert result.exit_code == 0
    for name in ("demo", "train", "segment", "evaluate", "models", "data", "info"):
        assert f" {name} " in result.stdout


@pytest.mark.parametrize(
    "words",
    [
        ["demo"],
        ["train"],
        ["segment"],
        ["evaluate"],
        ["models"],
        ["data"],
        ["data", "check"],
        ["data", "info"],
        ["data", "list"],
        ["data", "preview"],
        ["info"],
    ],
)
def test_every_command_explains_itself(run, words):
    result = run(*words, "--help")
    assert result.exit_code == 0
    assert "Usage" in result.stdout


def test_help_loads_nothing_heavy(environment):
    code = (
        "import sys\n"
        "sys.argv = ['congeal', '--help']\n"
        "from congeal.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'numpy', 'timm', 'lightning', 'matplotlib'} & set(sys.modules)))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert ran.stdout.splitlines()[-1] == "[]"


def test_a_reader_that_leaves_early_is_no_error(environment):
    command = f"'{sys.executable}' -m congeal.cli models --json | true; echo ${{PIPESTATUS[0]}}"
    ran = subprocess.run(
        ["bash", "-c", command], env=environment, capture_output=True, text=True, check=True
    )
    assert ran.stderr == ""
    assert ran.stdout.strip() in {"0", "141"}
