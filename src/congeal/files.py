"""Writing files so that nothing is ever half written."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from congeal.errors import CongealError

__all__ = ["atomic_path", "write_json", "write_text"]


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` that takes its place when the block succeeds.

    The suffix is kept, so writers that choose a format by it still work. When the block fails,
    the temporary file is removed and what stood at ``path`` before stays as it was.

    Raises:
        CongealError: the folder cannot be made or written, the disk is full, or ``path`` has no
            file name.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "new" / "note.txt"
        >>> with atomic_path(target) as temporary:
        ...     _ = temporary.write_text("kept")
        >>> target.read_text()
        'kept'
    """
    path = Path(path)
    if not path.name:
        raise CongealError(f"expected the name of a file to write, got {str(path)!r}")
    # A random name: short, so that long names stay possible, and never shared by two writers.
    temporary = path.with_name(f".{secrets.token_hex(4)}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise CongealError(f"cannot write {path}: {_reason(error, temporary)}") from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def _reason(error: OSError, temporary: Path) -> str:
    """What the system said, with the file it spoke of unless that is ours."""
    said = error.strerror or str(error)
    return said if error.filename in (None, str(temporary)) else f"{said}: {error.filename}"


def write_text(path: str | Path, text: str) -> None:
    """Write ``text`` to ``path`` in one step, UTF-8.

    Raises:
        CongealError: the file cannot be written.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "a.txt"
        >>> write_text(target, "x")
        >>> target.read_text()
        'x'
    """
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write ``value`` as indented JSON in one step; NaN is not allowed in the file.

    Raises:
        CongealError: the file cannot be written.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "a.json"
        >>> write_json(target, {"a": 1})
        >>> target.read_text().split()
        ['{', '"a":', '1', '}']
    """
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")
