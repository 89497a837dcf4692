"""Writing files so that nothing is ever half written."""

from __future__ import annotations

import json
import os
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
        CongealError: the folder cannot be made or written, or the disk is full.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "new" / "note.txt"
        >>> with atomic_path(target) as temporary:
        ...     _ = temporary.write_text("kept")
        >>> target.read_text()
        'kept'
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise CongealError(f"cannot write {path}: {reason}") from error
    finally:
        with suppress(OSError):
            temporary.unlink()


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
