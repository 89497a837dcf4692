"""Options that several commands share."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from congeal.errors import CongealError

__all__ = ["Device", "Json", "Output", "Set", "parse_channels", "parse_settings"]

Json: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print JSON for machines on stdout, nothing else.")
]
Device: TypeAlias = Annotated[
    str, typer.Option(help="Where to compute: auto, cpu, cuda, cuda:1, mps.", metavar="NAME")
]
Output: TypeAlias = Annotated[
    Path, typer.Option("--output", "-o", help="Folder for what is written.", metavar="FOLDER")
]
Set: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Change a setting of the decoding, such as min_area=30 or grouping=k-means (its own "
        "settings: grouping.grid=6). Give it several times for several.",
        metavar="NAME=VALUE",
    ),
]


def parse_channels(text: str | None) -> list[int] | None:
    """Read a list such as ``0,2,1``.

    Raises:
        CongealError: it is none.

    Example:
        >>> parse_channels("0,2,1")
        [0, 2, 1]
    """
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdecimal() and len(part) < 6 for part in parts):
        raise CongealError(f"expected channels such as 0,2,1 for --channels, got {text!r:.80}")
    return [int(part) for part in parts]


def parse_settings(texts: Sequence[str] | None, option: str = "--set") -> dict[str, Any]:
    """Read ``NAME=VALUE``; numbers, lists, true, false and null as JSON has them, else text.

    Raises:
        CongealError: there is no name or no value.

    Example:
        >>> parse_settings(["min_area=30", "grouping=k-means", "grouping.grid=6"])
        {'min_area': 30, 'grouping': 'k-means', 'grouping_options': {'grid': 6}}
    """
    settings: dict[str, Any] = {}
    for text in texts or ():
        name, equals, value = (part.strip() for part in text.partition("="))
        if not (name and equals and value):
            raise CongealError(f"expected NAME=VALUE for {option}, got {text!r}")
        if name.startswith("grouping."):
            options = settings.setdefault("grouping_options", {})
            options[name.removeprefix("grouping.")] = _value(value)
        else:
            settings[name.replace("-", "_")] = _value(value)
    return settings


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # no JSON; integers of thousands of digits; deep nesting
        return text
