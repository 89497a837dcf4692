"""Checks of available memory before a large array is read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from congeal.errors import CongealError

__all__ = ["available_memory", "check_memory"]

_UNCHECKED = 2**26  # bytes; smaller requests are not checked, because the check takes longer
_CGROUP = Path("/sys/fs/cgroup")


def available_memory() -> int | None:
    """Available memory in bytes without swapping; None if the system does not report it.

    The minimum of the free memory of the system, of the control group (in a container), and of the
    address space limit of the process.

    Example:
        >>> available = available_memory()
        >>> available is None or available > 0
        True
    """
    return min(_limits(), default=None)


def _limits() -> Iterator[int]:
    with suppress(OSError, ValueError, IndexError):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = next((line for line in lines if line.startswith("MemAvailable:")), "")
        yield int(free.split()[1]) * 1024
    for limit, usage in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        with suppress(OSError, ValueError):
            limit_bytes = int((_CGROUP / limit).read_text(encoding="ascii"))
            yield max(0, limit_bytes - int((_CGROUP / usage).read_text(encoding="ascii")))
    with suppress(ImportError, OSError, ValueError, IndexError):
        yield from _address_space()
    if os.name == "posix" and not Path("/proc/meminfo").exists():
        with suppress(OSError, ValueError):  # without /proc: the total, as an upper bound
            yield os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _address_space() -> Iterator[int]:
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        yield max(0, soft - pages * resource.getpagesize())


def check_memory(need: int, name: str) -> None:
    """Raise an error if reading something needs more memory than is available.

    Args:
        need: bytes needed, copies included.
        name: of the array, such as ``"cell.tif (30000 x 40000 pixels)"``.

    Raises:
        CongealError: less memory is available.

    Example:
        >>> check_memory(1000, "cell.png")
        >>> check_memory(10**20, "cell.png")
        Traceback (most recent call last):
        ...
        congeal.errors.CongealError: cannot read cell.png: it needs ... of memory, ... are free...
    """
    if need <= _UNCHECKED:
        return
    available = available_memory()
    if available is not None and need > available:
        raise CongealError(
            f"cannot read {name}: it needs {need // 10**6} MB of memory, "
            f"{available // 10**6} are free; cut it into tiles first"
        )
    if need >= 2**62:
        raise CongealError(f"cannot read {name}: it is too large")
