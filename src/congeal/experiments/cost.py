"""Measurement of a forward pass on this machine: seconds and peak memory."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from congeal.clock import now

__all__ = ["Cost", "forward_cost", "least_seconds", "peak_megabytes"]

ROUNDS = 5  # timed calls after the warm-up
MAX_SECONDS = 10.0  # no further call is timed after this
STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Cost(NamedTuple):
    """Minimum seconds, and additional peak memory in MB (None if unknown), for one image."""

    seconds: float
    megabytes: float | None


def forward_cost(network: nn.Module, size: tuple[int, int], device: str = "cpu") -> Cost:
    """Measure the forward pass of one image in evaluation mode.

    Args:
        network: takes ``(1, 3, H, W)``.
        size: width and height in pixels.
        device: ``"cpu"`` or ``"cuda"``.

    Example:
        >>> cost = forward_cost(nn.Conv2d(3, 4, 3), (64, 32))
        >>> cost.seconds > 0
        True
    """
    network = network.eval().to(device)
    image = torch.rand(1, 3, size[1], size[0], device=device)

    def run() -> None:
        with torch.inference_mode():
            network(image)

    return Cost(least_seconds(run, device), peak_megabytes(run, device))


def least_seconds(run: Callable[[], Any], device: str = "cpu") -> float:
    """Minimum time of several calls, without the first one unless it takes long.

    Example:
        >>> import time
        >>> least_seconds(lambda: time.sleep(0.001)) >= 0.001
        True
    """
    times = [_seconds(run, device)]
    while len(times) <= ROUNDS and sum(times) < MAX_SECONDS:
        times.append(_seconds(run, device))
    return min(times[1:] or times)


def _seconds(run: Callable[[], Any], device: str) -> float:
    _wait(device)
    started = now()
    run()
    _wait(device)
    return now() - started


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def peak_megabytes(run: Callable[[], Any], device: str = "cpu") -> float | None:
    """Additional peak memory of a call in MB; None if the system does not provide it.

    Example:
        >>> (peak_megabytes(lambda: torch.ones(2**23)) or 32) > 16  # 32 MB
        True
    """
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)  # else freed memory still counts as held
        RESET.write_text("5")  # resets the peak (Linux)
    except (OSError, AttributeError):
        return None
    before = _kilobytes("VmRSS")
    run()
    return max(0, _kilobytes("VmHWM") - before) / 1024


def _kilobytes(name: str) -> int:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1])
