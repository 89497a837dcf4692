"""Atomic file writes, and a lock that lets one process at a time write to a folder."""

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

__all__ = ["atomic_path", "lock_folder", "remove_parts", "write_json", "write_text"]

_LOCK = ".congeal.lock"
_lock_descriptors: set[int] = set()  # open locks of this process


def _close_inherited_locks() -> None:
    """Close lock descriptors that a forked child, such as a loader worker, inherits.

    Otherwise the lock of a parent that was killed would last as long as its children.
    """
    for descriptor in _lock_descriptors:
        with suppress(OSError):
            os.close(descriptor)
    _lock_descriptors.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_inherited_locks)


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Context manager: a temporary path that is renamed to ``path`` when the block succeeds.

    The temporary file lies in the same folder and has the same suffix, so that writers that choose
    a format by suffix still work. When the block fails, it is removed and ``path`` stays unchanged.

    Raises:
        CongealError: the folder cannot be created or written, the disk is full, or ``path`` has no
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
        raise CongealError(f"expected the path of a file to write, got {str(path)!r}")
    # A random name is never shared by two writers, and short where ``path`` has a long name.
    # remove_parts uses the process id in it to see whether the writer is still alive.
    temporary = path.with_name(f".{os.getpid()}-{secrets.token_hex(4)}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _flush_to_disk(temporary)  # or a power cut after the rename may leave an empty file
        os.replace(temporary, path)
    except OSError as error:
        raise CongealError(f"cannot write {path}: {_reason(error, temporary)}") from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def _reason(error: OSError, temporary: Path) -> str:
    """Message of the operating system, with its file name unless that is the temporary file."""
    message = error.strerror or str(error)
    return message if error.filename in (None, str(temporary)) else f"{message}: {error.filename}"


def _flush_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    except OSError as error:  # some file systems have no fsync
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def remove_parts(folder: str | Path, age: float = 3600.0) -> list[Path]:
    """Remove temporary files of :func:`atomic_path` that killed processes left behind.

    Args:
        folder: searched without its subfolders; it may be missing.
        age: seconds since the last change; younger files, and files of living processes, are kept.

    Returns:
        The removed files.

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
    if sys.platform == "win32":  # there os.kill(process, 0) would terminate it
        return False
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        pass
    return True


@contextmanager
def lock_folder(folder: str | Path, *, wait: bool = False) -> Iterator[None]:
    """Context manager: lock a folder against writes of other congeal processes.

    The lock ends with the process, however that ends. On a file system without locks this has no
    effect.

    Args:
        folder: created when missing.
        wait: block until the folder is free instead of raising.

    Raises:
        CongealError: another process has locked the folder, or it cannot be written.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> with lock_folder(folder), lock_folder(folder):
        ...     pass
        Traceback (most recent call last):
        ...
        congeal.errors.CongealError: another congeal process (pid ...) is writing to ...
    """
    path = Path(folder) / _LOCK
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _open_locked(path, wait)
    except BlockingIOError as error:
        raise CongealError(
            f"another congeal process (pid {_holder(path)}) is writing to {folder}"
        ) from error
    except OSError as error:
        raise CongealError(f"cannot write to {folder}: {error.strerror or error}") from error
    _lock_descriptors.add(descriptor)
    try:
        yield
    finally:
        if descriptor in _lock_descriptors:  # not in a forked child
            _lock_descriptors.remove(descriptor)
            with suppress(OSError):
                path.unlink()  # before the release, so that a waiting process sees that it is gone
            os.close(descriptor)


def _open_locked(path: Path, wait: bool) -> int:
    """Open and lock a file; raises BlockingIOError when another process holds the lock."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        try:
            _lock(descriptor, wait)
            # The last holder may have removed the file after os.open: then the lock is void.
            if _is_same_file(descriptor, path):
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

        os.lseek(descriptor, 1 << 20, os.SEEK_SET)  # past the process id, which others may read
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


def _is_same_file(descriptor: int, path: Path) -> bool:
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
    """Write ``text`` to ``path`` atomically as UTF-8; lone surrogates are backslash-escaped.

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
    """Write ``value`` to ``path`` atomically as indented JSON.

    Raises:
        CongealError: the file cannot be written.
        ValueError: ``value`` contains NaN or an infinity, which JSON does not have.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "a.json"
        >>> write_json(target, {"a": 1})
        >>> target.read_text().split()
        ['{', '"a":', '1', '}']
    """
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")
