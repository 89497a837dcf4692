"""The error class for user mistakes, and helpers that phrase its one-line messages."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any

__all__ = ["CongealError", "quoted", "require_tensor", "unknown"]

_QUOTED_LENGTH = 80
_UNPRINTABLE = re.compile("[\\x00-\\x09\\x0b-\\x1f\\x7f-\\x9f\\u2028\\u2029\\ud800-\\udfff]")


class CongealError(ValueError):
    """A mistake in input, options or files: one line, `expected ..., got ... (file)`.

    Example:
        >>> raise CongealError("expected a mask for cell.png, found none in masks/")
        Traceback (most recent call last):
        ...
        congeal.errors.CongealError: expected a mask for cell.png, found none in masks/
    """

    def __init__(self, *args: Any) -> None:
        # File names may contain control characters and bytes that are not UTF-8 (lone surrogates
        # in Python), which some output streams refuse. Line breaks stay: PyTorch re-raises an error
        # of a loader worker with the worker's traceback in the message.
        super().__init__(*(_escaped(arg) if isinstance(arg, str) else arg for arg in args))


def _escaped(text: str) -> str:
    """Escape unprintable characters; a byte that is not UTF-8 becomes its two hex digits."""
    return _UNPRINTABLE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else ascii(match[0])[1:-1]


def require_tensor(value: object, name: str) -> None:
    """Raise an error unless the value is a PyTorch tensor.

    Args:
        value: an argument of a public function.
        name: of the argument, for the message.

    Raises:
        CongealError: the value is not a tensor; for an array the message names the conversion.

    Example:
        >>> require_tensor([1.0], "embedding")
        Traceback (most recent call last):
        ...
        congeal.errors.CongealError: expected a PyTorch tensor as embedding, got list
    """
    if hasattr(value, "is_floating_point"):  # this module must not import torch (layer 1)
        return
    kind = type(value).__name__
    hint = "; convert it with torch.from_numpy" if kind == "ndarray" else ""
    raise CongealError(f"expected a PyTorch tensor as {name}, got {kind}{hint}")


def quoted(value: object) -> str:
    """Quote a value from a file for an error message: one line, at most 80 characters.

    Args:
        value: a string is shown in quotes, any other value as its ``repr``.

    Example:
        >>> quoted("cell.png"), quoted([1, 2])
        ("'cell.png'", '[1, 2]')
        >>> len(quoted("a" * 1000))
        80
    """
    try:
        # Long strings are cut before repr, which would take long on megabytes.
        text = repr(value[: 2 * _QUOTED_LENGTH] if isinstance(value, str | bytes) else value)
    except (ValueError, RecursionError, MemoryError):  # a huge integer, or deep nesting
        text = f"<{type(value).__name__}>"
    text = _escaped(text)
    return text if len(text) <= _QUOTED_LENGTH else f"{text[: _QUOTED_LENGTH - 3]}..."


def unknown(kind: str, got: str, options: Iterable[str]) -> CongealError:
    """Build the error for an unknown name; the message suggests the nearest option.

    Args:
        kind: what the name stands for, such as ``"encoder"``.
        got: the unknown name.
        options: the valid names.

    Returns:
        The error, for the caller to raise.

    Example:
        >>> str(unknown("dataset", "stick", ["sticks", "discs"]))
        "unknown dataset 'stick'; did you mean 'sticks'? (there are: discs, sticks)"
    """
    names = sorted(options)
    if not names:
        return CongealError(f"unknown {kind} {quoted(got)} (there are none)")
    folded = {name.casefold(): name for name in names}
    near = difflib.get_close_matches(got[:_QUOTED_LENGTH].casefold(), folded, n=1, cutoff=0.5)
    hint = f"; did you mean {folded[near[0]]!r}?" if near else ""
    shown = ", ".join(names[:12]) + (f", and {len(names) - 12} more" if len(names) > 12 else "")
    return CongealError(f"unknown {kind} {quoted(got)}{hint} (there are: {shown})")
