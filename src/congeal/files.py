"""Writing files so that nothing is ever half written, and folders by one process at a time."""

from __future__ import annotations

import errno
import json
import os
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from congeal.errors import CongealError

__all__ = ["atomic_path", "claim", "remove_parts", "write_json", "write_text"]

_LOCK = ".congeal.lock"
_held: set[int] = set()  # descriptors of locks


def _let_go() -> None:
    """Close what a forked child, such as a loader, has of the claims of its parent.

    Otherwise the claim of a parent that is killed would last as long as its children.
    """
    for descriptor in _held:
        with suppress(OSError):
            os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)


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
    # The number of the process tells later whether somebody still writes it.
    temporary = path.with_name(f".{os.getpid()}-{secrets.token_hex(4)}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _to_disk(temporary)  # or a loss of power after the renaming leaves an empty file
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


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    except OSError as error:  # some file systems know no such thing
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def remove_parts(folder: str | Path, age: float = 3600.0) -> list[Path]:
    """Remove temporary files of :func:`atomic_path` that killed processes left in a folder.

    Args:
        folder: where to look, not below; it may be missing.
        age: seconds since the last change that a file must have, and its process must be gone.

    Returns:
        What was removed.

    Example:
        >>> remove_parts("nowhere")
        []
    """
    removed = []
    for path in sorted(Path(folder).glob(".*-*.part*")):
        process, _, rest = path.name[1:].partition("-")
        token = rest.partition(".part")[0]
        ours = process.isdecimal() and len(token) == 8 and not set(token) - set("0123456789abcdef")
        with suppress(OSError):
            if ours and time.time() - path.stat().st_mtime > age and not _alive(int(process)):
                path.unlink()
                removed.append(path)
    return removed


def _alive(process: int) -> bool:
    if sys.platform == "win32":  # os.kill would end it there
        return False
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        pass
    return True


@contextmanager
def claim(folder: str | Path, *, wait: bool = False) -> Iterator[None]:
    """Keep other processes of congeal from writing to a folder while the block runs.

    The claim ends with the process, whatever ends it. Where the file system has no locks, nothing
    is kept from anybody.

    Args:
        folder: made when missing.
        wait: wait until the folder is free instead of raising.

    Raises:
        CongealError: another process has claimed the folder, or it cannot be written.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> with claim(folder), claim(folder):
        ...     pass
        Traceback (most recent call last):
        ...
        congeal.errors.CongealError: another congeal process (pid ...) is writing to ...
    """
    path = Path(folder) / _LOCK
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _take(path, wait)
    except BlockingIOError as error:
        raise CongealError(
            f"another congeal process (pid {_holder(path)}) is writing to {folder}"
        ) from error
    except OSError as error:
        raise CongealError(f"cannot write to {folder}: {error.strerror or error}") from error
    _held.add(descriptor)
    try:
        yield
    finally:
        if descriptor in _held:  # not in a forked child
            _held.remove(descriptor)
            with suppress(OSError):
                path.unlink()  # before the lock goes: who waits for it sees that it is gone
            os.close(descriptor)


def _take(path: Path, wait: bool) -> int:
    """Open and lock a file that stays where it is; BlockingIOError when another has it."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        try:
            _lock(descriptor, wait)
            # Its last holder may have removed it between our opening and our locking.
            if _is_at(descriptor, path):
                os.ftruncate(descriptor, 0)
                os.write(descriptor, str(os.getpid()).encode())
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _lock(descriptor: int, wait: bool) -> None:
    if sys.platform == "win32":
        import msvcrt

        os.lseek(descriptor, 1 << 20, os.SEEK_SET)  # beyond the text, which others may read
        try:
            msvcrt.locking(descriptor, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
        except OSError as error:
            raise BlockingIOError(*error.args) from error
        os.lseek(descriptor, 0, os.SEEK_SET)
        return
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP):
            raise


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _holder(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")[:20] or "unknown"
    except OSError:
        return "unknown"


def write_text(path: str | Path, text: str) -> None:
    """Write ``text`` to ``path`` in one step, UTF-8; parts of names that are none are escaped.

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
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


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
