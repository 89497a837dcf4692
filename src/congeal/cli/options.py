"""Arguments and options that several commands share, and parsing of their values."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from congeal.errors import CongealError

__all__ = ["Data", "Device", "Json", "Model", "Output", "Set", "parse_channels", "parse_settings"]

Model: TypeAlias = Annotated[
    str, typer.Argument(help="Model folder, or the name of a shipped model.", metavar="MODEL")
]
Data: TypeAlias = Annotated[
    str,
    typer.Argument(
        help="Folder of images/ and masks/, COCO JSON, or a dataset by name.", metavar="DATA"
    ),
]
Json: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print JSON only, for other programs.")
]
Device: TypeAlias = Annotated[
    str, typer.Option(help="Device: auto, cpu, cuda, cuda:1 or mps.", metavar="NAME")
]
Output: TypeAlias = Annotated[
    Path, typer.Option("--output", "-o", help="Output folder.", metavar="FOLDER")
]
Set: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Change a decoding setting, such as min_area=30 or grouping=k-means (settings of the "
        "grouping: grouping.grid=6). Repeat for several.",
        metavar="NAME=VALUE",
    ),
]


def parse_channels(text: str | None) -> list[int] | None:
    """Parse a list of channels such as ``0,2,1``.

    Args:
        text: value of ``--channels``, or None.

    Raises:
        CongealError: the text is no such list.

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
    """Parse ``NAME=VALUE``; values are JSON (numbers, lists, true, false, null) or else text.

    Lists of numbers need no brackets: ``scales=0.5,1``.

    Args:
        texts: values of the option.
        option: name of the option, for errors.

    Returns:
        Values by name; ``grouping.NAME`` goes to the dictionary ``grouping_options``.

    Raises:
        CongealError: name or value is missing.

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
    for written in (text, f"[{text}]") if "," in text else (text,):
        with suppress(ValueError, RecursionError):  # no JSON, too many digits, or too deep
            return json.loads(written)
    return text
