"""How much memory there is, asked before something large is read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from congeal.errors import CongealError

__all__ = ["available_memory", "check_memory"]

_UNASKED = 2**26  # bytes that are there on any machine: asking costs more than it tells
_CGROUP = Path("/sys/fs/cgroup")


def available_memory() -> int | None:
    """Give the bytes that can be had without swapping, None where the system does not tell.

    The least of what the system has free, what the control group may still take (in a
    container) and what the limits of the process allow.

    Example:
        >>> have = available_memory()
        >>> have is None or have > 0
        True
    """
    return min(_limits(), default=None)


def _limits() -> Iterator[int]:
    with suppress(OSError, ValueError, IndexError):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = next((line for line in lines if line.startswith("MemAvailable:")), "")
        yield int(free.split()[1]) * 1024
    for most, taken in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        with suppress(OSError, ValueError):
            most_bytes = int((_CGROUP / most).read_text(encoding="ascii"))
            yield max(0, most_bytes - int((_CGROUP / taken).read_text(encoding="ascii")))
    with suppress(ImportError, OSError, ValueError, IndexError):
        yield from _address_space()
    if os.name == "posix" and not Path("/proc/meminfo").exists():
        with suppress(OSError, ValueError):  # all there is: better than nothing
            yield os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _address_space() -> Iterator[int]:
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        yield max(0, soft - pages * resource.getpagesize())


def check_memory(need: int, what: str) -> None:
    """Refuse to read something that needs more memory than there is.

    Args:
        need: bytes that reading takes, copies included.
        what: what is to be read, such as ``"cell.tif (30000 x 40000 pixels)"``.

    Raises:
        CongealError: there is less memory.

    Example:
        >>> check_memory(1000, "cell.png")
        >>> check_memory(10**20, "cell.png")
        Traceback (most recent call last):
        ...
        congeal.errors.CongealError: cannot read cell.png: it needs ... of memory, ... are free...
    """
    if need <= _UNASKED:
        return
    have = available_memory()
    if have is not None and need > have:
        raise CongealError(
            f"cannot read {what}: it needs {need // 10**6} MB of memory, "
            f"{have // 10**6} are free; cut it into tiles first"
        )
    if need >= 2**62:
        raise CongealError(f"cannot read {what}: it is too large")
