"""Help at 80 columns."""

import inspect
import re

import pytest
import typer
from typer.testing import CliRunner

from congeal.cli import app

NARROW = {"COLUMNS": "80", "TERMINAL_WIDTH": "80", "NO_COLOR": "1"}


def commands(words=(), command=None):
    """Every command and group, with the words that call it."""
    command = command or typer.main.get_command(app)
    yield words, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands((*words, name), inner)


EVERY = dict(commands())


@pytest.fixture(params=list(EVERY), ids=lambda words: " ".join(words) or "congeal")
def shown(request):
    """What a command is, and the lines of its help."""
    result = CliRunner(env=NARROW).invoke(app, [*request.param, "--help"])
    assert result.exit_code == 0, result.output
    return EVERY[request.param], [line.rstrip() for line in result.stdout.splitlines()]


def test_nothing_is_wider_than_the_terminal(shown):
    assert max(map(len, shown[1])) <= 80


def test_the_lines_of_a_sentence_are_filled(shown):
    command, lines = shown
    text = inspect.cleandoc(command.help)
    for paragraph in text.split("\n\n"):
        words = paragraph.split()
        place = next(k for k, line in enumerate(lines) if line.split()[:3] == words[:3])
        while words:
            line = lines[place].split()
            assert line == words[: len(line)]
            words, place = words[len(line) :], place + 1
            if words:  # one more would not fit, with a space at each end
                assert len(" ".join([*line, words[0]])) > 78


def test_no_type_of_python_is_shown(shown):
    text = "\n".join(shown[1])
    assert not re.search(r"<\w", text)
    assert not re.search(r"\b(bool|str|int range)\b", text)


def test_every_argument_and_option_is_named_in_capitals(shown):
    for param in shown[0].params:
        if not getattr(param, "is_flag", False):
            assert param.metavar, param.name
            assert param.metavar == param.metavar.upper()
