"""Writing to the terminal: results to stdout, everything else to stderr.

``print`` is used throughout, for a live progress bar makes room for what it writes.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress import Progress

__all__ = [
    "console",
    "count",
    "make_progress",
    "one_line",
    "plural",
    "printable",
    "say",
    "say_error",
    "say_note",
    "show",
    "show_json",
    "wrapped",
]


def console(*, stderr: bool = False) -> Console:
    """Make the console of stdout or stderr, as it is now (tests and pipes replace it)."""
    from rich.console import Console

    class Plain(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    return Plain(stderr=stderr, highlight=False, markup=False, emoji=False)


def show(renderable: RenderableType) -> None:
    """Print a table or other rich object as a result."""
    console().print(renderable)


def say(message: str) -> None:
    """Print a line of results; never wrapped, so that it can be searched and cut."""
    print(printable(message))


def say_note(message: str) -> None:
    """Print a line for the person, not for the next program; a terminal breaks it at words."""
    text = printable(message)
    terminal = sys.stderr is not None and sys.stderr.isatty()  # None: closed by who started us
    print(wrapped(text) if terminal else text, file=sys.stderr)


def say_error(message: str) -> None:
    """Print the one line that tells an error."""
    if sys.stderr is None:  # closed by who started us
        return
    coloured = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    label = "\x1b[1;31merror:\x1b[0m" if coloured else "error:"
    print(f"{label} {printable(message)}", file=sys.stderr)


def printable(text: str) -> str:
    r"""Escape what is no text in the names of files: control characters, bytes that are no UTF-8.

    Example:
        >>> print(printable(f"a{chr(27)}[2J{chr(0xDCE9)}"))
        a\x1b[2J\udce9
    """
    return "".join(c if c.isprintable() or c == "\n" else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def show_json(value: Any) -> None:
    """Print JSON; what is no number (NaN, infinity) becomes null."""
    print(json.dumps(_plain(value), indent=2, allow_nan=False))


def make_progress(*columns: Any) -> Progress:
    """Make a progress bar on stderr; a line now and then when stderr is not a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

    from congeal.cli.progress import LineProgress

    terminal = console(stderr=True)
    shown = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        *columns,
        TimeRemainingColumn(compact=True),
    )
    return LineProgress(
        *shown, console=terminal, disable=not terminal.is_terminal, expand=True, transient=True
    )


def one_line(text: object) -> str:
    """Join what has line breaks into one line."""
    return " ".join(str(text).split())


def count(number: int, what: str) -> str:
    """Say a number of things: ``1 image``, ``2 images``."""
    return f"{number:,} {plural(what, number)}"


def wrapped(text: str, indent: int = 0, hanging: int = 2) -> str:
    """Break a sentence into lines that fit the terminal, 80 columns in a pipe.

    Args:
        text: without line breaks.
        indent: spaces before each line.
        hanging: more of them before the lines after the first.
    """
    width = max(40, shutil.get_terminal_size().columns)
    first, later = " " * indent, " " * (indent + hanging)
    return textwrap.fill(
        text,
        width,
        initial_indent=first,
        subsequent_indent=later,
        break_long_words=False,
        break_on_hyphens=False,
    )


def plural(noun: str, number: int) -> str:
    """The noun in singular or plural."""
    return noun if number == 1 else f"{noun}{'es' if noun.endswith('s') else 's'}"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(inner) for inner in value]
    if isinstance(value, bool | int | str) or value is None:
        return value
    if hasattr(value, "item"):  # numbers of NumPy and PyTorch
        return _plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value)
