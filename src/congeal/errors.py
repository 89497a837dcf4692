"""Errors a user can cause, each told in one line."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any

__all__ = ["CongealError", "quoted", "require_tensor", "unknown"]

_QUOTED_LENGTH = 80
_NOT_SHOWN = re.compile("[\\x00-\\x09\\x0b-\\x1f\\x7f-\\x9f\\u2028\\u2029\\ud800-\\udfff]")


class CongealError(ValueError):
    """A mistake in input, options or files: one line saying what was expected, got, and where.

    Example:
        >>> raise CongealError("expected a mask for cell.png, found none in masks/")
        Traceback (most recent call last):
        ...
        congeal.errors.CongealError: expected a mask for cell.png, found none in masks/
    """

    def __init__(self, *args: Any) -> None:
        # Names of files may hold control characters, and bytes that are no UTF-8 (lone surrogates
        # in Python): any stream has to take the message. Line ends stay: PyTorch makes an error of
        # a worker again with the worker's traceback in it.
        super().__init__(*(_escaped(arg) if isinstance(arg, str) else arg for arg in args))


def _escaped(text: str) -> str:
    """Escape what a line of text cannot show, bytes that are no UTF-8 by their two digits."""
    return _NOT_SHOWN.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else ascii(match[0])[1:-1]


def require_tensor(value: object, name: str) -> None:
    """Refuse what is no PyTorch tensor, such as a NumPy array.

    Raises:
        CongealError: it is none.

    Example:
        >>> require_tensor([1.0], "embedding")
        Traceback (most recent call last):
        ...
        congeal.errors.CongealError: expected a PyTorch tensor as embedding, got list
    """
    if hasattr(value, "is_floating_point"):  # row 1 of the layers does without torch
        return
    kind = type(value).__name__
    hint = "; torch.from_numpy makes one of it" if kind == "ndarray" else ""
    raise CongealError(f"expected a PyTorch tensor as {name}, got {kind}{hint}")


def quoted(value: object) -> str:
    """Quote something that stands in a file, cut to 80 characters, on one line.

    Args:
        value: a text, which is put in quotes, or any other value, shown as Python writes it.

    Example:
        >>> quoted("cell.png"), quoted([1, 2])
        ("'cell.png'", '[1, 2]')
        >>> len(quoted("a" * 1000))
        80
    """
    try:
        # A long text is cut first: showing all of it may take longer than reading it.
        text = repr(value[: 2 * _QUOTED_LENGTH] if isinstance(value, str | bytes) else value)
    except (ValueError, RecursionError, MemoryError):  # an integer of many digits, deep nesting
        text = f"<{type(value).__name__}>"
    text = _escaped(text)
    return text if len(text) <= _QUOTED_LENGTH else f"{text[: _QUOTED_LENGTH - 3]}..."


def unknown(what: str, got: str, options: Iterable[str]) -> CongealError:
    """Make the error for a name that is not among the options, with the nearest one suggested.

    Args:
        what: the kind of thing that was named, such as ``"encoder"``.
        got: the name that was given.
        options: the names that exist.

    Example:
        >>> str(unknown("dataset", "stick", ["sticks", "discs"]))
        "unknown dataset 'stick'; did you mean 'sticks'? (there are: discs, sticks)"
    """
    names = sorted(options)
    if not names:
        return CongealError(f"unknown {what} {quoted(got)} (there are none)")
    folded = {name.casefold(): name for name in names}
    near = difflib.get_close_matches(got[:_QUOTED_LENGTH].casefold(), folded, n=1, cutoff=0.5)
    hint = f"; did you mean {folded[near[0]]!r}?" if near else ""
    shown = ", ".join(names[:12]) + (f", and {len(names) - 12} more" if len(names) > 12 else "")
    return CongealError(f"unknown {what} {quoted(got)}{hint} (there are: {shown})")
