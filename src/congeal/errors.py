"""Errors a user can cause, each told in one line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["CongealError", "unknown"]


class CongealError(ValueError):
    """A mistake in input, options or files: one line saying what was expected, got, and where.

    Example:
        >>> raise CongealError("expected a mask for cell.png, found none in masks/")
        Traceback (most recent call last):
        ...
        congeal.errors.CongealError: expected a mask for cell.png, found none in masks/
    """


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
        return CongealError(f"unknown {what} {got!r} (there are none)")
    folded = {name.casefold(): name for name in names}
    near = difflib.get_close_matches(got.casefold(), folded, n=1, cutoff=0.5)
    hint = f"; did you mean {folded[near[0]]!r}?" if near else ""
    shown = ", ".join(names[:12]) + (f", and {len(names) - 12} more" if len(names) > 12 else "")
    return CongealError(f"unknown {what} {got!r}{hint} (there are: {shown})")
