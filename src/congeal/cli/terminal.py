"""Output to the terminal: results to stdout, everything else to stderr.

Everything is written with ``print``, which rich redirects above a live progress bar.
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
    "say_warning",
    "show",
    "show_json",
    "wrapped",
]


def console(*, stderr: bool = False) -> Console:
    """A rich console for the current stdout or stderr, without markup.

    It is made at each call, because tests and pipes replace the streams.

    Args:
        stderr: write to stderr instead of stdout.
    """
    from rich.console import Console

    class Plain(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    return Plain(stderr=stderr, highlight=False, markup=False, emoji=False)


def show(renderable: RenderableType) -> None:
    """Print a table or other rich object to stdout."""
    console().print(renderable)


def say(message: str) -> None:
    """Print a line of results to stdout, unwrapped, so that other programs can process it."""
    print(printable(message))


def say_note(message: str) -> None:
    """Print a line for the user to stderr, wrapped in a terminal."""
    text = printable(message)
    terminal = sys.stderr is not None and sys.stderr.isatty()  # None if the parent closed it
    print(wrapped(text) if terminal else text, file=sys.stderr)


def say_warning(message: str) -> None:
    """Print a warning to stderr, after ``note:``."""
    say_note(f"note: {message}")


def say_error(message: str) -> None:
    """Print an error to stderr, after ``error:``."""
    if sys.stderr is None:  # the parent process closed it
        return
    coloured = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    label = "\x1b[1;31merror:\x1b[0m" if coloured else "error:"
    print(f"{label} {printable(message)}", file=sys.stderr)


def printable(text: str) -> str:
    r"""Escape control characters and bytes that are not UTF-8, as file names may have them.

    Args:
        text: any text; line breaks are kept.

    Example:
        >>> print(printable(f"a{chr(27)}[2J{chr(0xDCE9)}"))
        a\x1b[2J\udce9
    """
    return "".join(c if c.isprintable() or c == "\n" else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def show_json(value: Any) -> None:
    """Print JSON to stdout; NaN and infinity become null.

    Args:
        value: nested dictionaries, lists, numbers and text; anything else becomes text.
    """
    print(json.dumps(_plain(value), indent=2, allow_nan=False))


def make_progress(*columns: Any) -> Progress:
    """Make a progress bar on stderr; without a terminal it prints lines.

    Args:
        columns: further columns before the remaining time.
    """
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
    """Join the lines of a text into one, with single spaces."""
    return " ".join(str(text).split())


def count(number: int, what: str) -> str:
    """Format a number of things.

    Example:
        >>> count(1, "image"), count(2000, "image")
        ('1 image', '2,000 images')
    """
    return f"{number:,} {plural(what, number)}"


def wrapped(text: str, indent: int = 0, hanging: int = 2) -> str:
    """Wrap a text to the width of the terminal, or to 80 columns without one.

    Args:
        text: text without line breaks.
        indent: spaces before each line.
        hanging: further spaces before all lines but the first.
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


def plural(what: str, number: int) -> str:
    """Singular or plural form of a word.

    Example:
        >>> plural("task", 2)
        'tasks'
    """
    return what if number == 1 else f"{what}s"


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
