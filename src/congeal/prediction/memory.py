"""Memory that an image needs and memory that is free, estimated before the network runs."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from congeal.errors import CongealError

__all__ = ["available_memory", "check_memory", "fits_memory", "largest_tile", "needed_memory"]

BYTES_PER_PIXEL = 500
"""Peak memory of a built-in model on a CPU per pixel of its input (benchmarks/tiling.py)."""

BUDGET = 2_500_000_000
"""Most bytes that an image may take beyond itself and its result."""

LARGEST_TILE, SMALLEST_TILE = 2048, 128  # pixels of the network's input; larger is not faster


def needed_memory(model: object, height: int, width: int, shown: float = 1.0) -> int:
    """Estimate the bytes that segmenting an image takes.

    Args:
        model: where it has a method ``memory_for(height, width)``, that gives the estimate.
        height: of the image, in pixels.
        width: of the image, in pixels.
        shown: relative size at which the network sees it.

    Example:
        >>> needed_memory(None, 1000, 1000)
        500000000
    """
    own: Any = getattr(model, "memory_for", None)
    if callable(own):
        return int(own(height, width))
    return int(BYTES_PER_PIXEL * height * width * shown**2)


def fits_memory(model: object, height: int, width: int, shown: float = 1.0) -> bool:
    """Whether an image can be segmented whole, within the budget and the free memory.

    Example:
        >>> fits_memory(None, 1000, 1000), fits_memory(None, 16_384, 16_384)
        (True, False)
    """
    return needed_memory(model, height, width, shown) <= _budget()


def largest_tile(model: object, shown: float = 1.0) -> int:
    """Side in pixels of the largest tile that the free memory allows.

    Args:
        model: as for :func:`needed_memory`.
        shown: relative size at which the network sees the image.

    Raises:
        CongealError: there is not enough memory for the smallest one.

    Example:
        >>> largest_tile(None), largest_tile(None, 2.0)
        (2048, 1024)
    """
    needed = max(1, needed_memory(model, 1000, 1000, 1.0)) / 1e6  # bytes of a pixel shown
    side = min(LARGEST_TILE, int(math.sqrt(_budget() / needed)))
    if side < SMALLEST_TILE:
        raise CongealError(
            f"not enough memory for a tile of {SMALLEST_TILE} x {SMALLEST_TILE} pixels: "
            f"{_gigabytes(_budget())} are free"
        )
    return int(side / shown)


def _budget() -> float:
    available = available_memory()
    return BUDGET if available is None else min(BUDGET, available)


def available_memory(root: str | Path = "/") -> int | None:
    """Bytes that this process can still allocate.

    Args:
        root: where ``proc`` and ``sys`` are.

    Returns:
        The least of what the machine, control groups and the address-space limit leave; None where
        the system does not tell.

    Example:
        >>> available_memory("/nowhere") is None
        True
    """
    return min((*_of_machine(Path(root)), *_of_groups(Path(root)), *_of_limit(root)), default=None)


def check_memory(model: object, height: int, width: int) -> None:
    """Refuse an image that needs more memory than is free; memory of a GPU is not checked.

    Raises:
        CongealError: it needs more than there is.

    Example:
        >>> check_memory(None, 10, 10)
    """
    needed, available = needed_memory(model, height, width), available_memory()
    if available is not None and needed > available and _on_cpu(model):
        raise CongealError(
            f"not enough memory for an image of {height:,} x {width:,} pixels: it takes about "
            f"{_gigabytes(needed)}, {_gigabytes(available)} are free; give --tile (tile= in Python)"
        )


def _on_cpu(model: object) -> bool:
    parameters: Any = getattr(model, "parameters", None)
    first = next(iter(parameters()), None) if callable(parameters) else None
    return first is None or first.device.type == "cpu"


def _of_machine(root: Path) -> Iterator[int]:
    for line in _text(root / "proc/meminfo").splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            yield int(value.split()[0]) * 1024


def _of_groups(root: Path) -> Iterator[int]:
    """What each control group above this process leaves (version 2, and version 1)."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        kinds, _, path = rest.partition(":")
        if kinds and "memory" not in kinds.split(","):
            continue
        top = root / "sys/fs/cgroup" / ("memory" if kinds else "")
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
        names = names if kinds else ("memory.max", "memory.current")
        group = top / path.strip("/")
        for folder in (group, *group.parents):
            yield from _of_group(folder, *names)
            if folder == top:
                break


def _of_group(folder: Path, limit: str, usage: str) -> Iterator[int]:
    most, used = _text(folder / limit).strip(), _text(folder / usage).strip()
    if most.isdecimal() and used.isdecimal():
        # Pages of files that were read count as used, and are given up when needed.
        facts = dict(line.split()[:2] for line in _text(folder / "memory.stat").splitlines())
        spare = facts.get("total_inactive_file", facts.get("inactive_file", "0"))
        yield max(int(most) - int(used) + int(spare), 0)


def _of_limit(root: str | Path) -> Iterator[int]:
    """What the limit of the address space (``ulimit -v``) leaves."""
    if sys.platform == "win32":
        return
    import resource

    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    pages = _text(Path(root) / "proc/self/statm").split()
    if most != resource.RLIM_INFINITY and pages:
        yield max(most - int(pages[0]) * resource.getpagesize(), 0)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


def _gigabytes(count: float) -> str:
    return f"{count / 1e9:,.1f} GB"
