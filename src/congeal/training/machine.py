"""What a training makes of the machine it is on."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import torch

from congeal.errors import CongealError
from congeal.methods.rpe import RPE
from congeal.training.config import TrainConfig
from congeal.training.shares import draws_by_chance

__all__ = [
    "choose_accelerator",
    "choose_precision",
    "choose_shares",
    "choose_workers",
    "is_on_cpu",
    "use_threads",
]

LEAST = 4  # images of a share, where nobody says how many: batch norm needs some company


def choose_workers(config: TrainConfig) -> int:
    """Loader processes: none on small machines, whose cores the training itself fills."""
    if config.workers is not None:
        return config.workers
    cores = os.cpu_count() or 1
    return 0 if cores <= 4 and not torch.cuda.is_available() else min(8, cores - 1)


def choose_shares(config: TrainConfig, model: RPE) -> int:
    """Into how many parts a batch is cut, each for threads of its own.

    That is for one process on a CPU. Unless a number is given, it is one part a core, of four
    images at least, and one in all where layers drop out.

    Raises:
        CongealError: more were asked for than fit.
    """
    c = config
    alone = c.devices * c.nodes == 1 and is_on_cpu(c.device)
    if c.shares is None:
        fair = _fair_shares(c.batch_size, c.threads or torch.get_num_threads())
        return fair if alone and not draws_by_chance(model) else 1
    if c.shares > 1 and not alone:
        raise CongealError(
            f"shares: expected 1 where it is not one process on a CPU, got {c.shares}"
        )
    if c.batch_size % c.shares:
        raise CongealError(
            f"shares: expected a number that divides batches of {c.batch_size}, got {c.shares}"
        )
    return c.shares


def is_on_cpu(device: str) -> bool:
    """Whether a device, or what ``auto`` stands for here, is the CPU."""
    accelerated = torch.cuda.is_available() or torch.backends.mps.is_available()
    return device == "cpu" or (device == "auto" and not accelerated)


def choose_accelerator(device: str) -> str:
    """Lightning's name of a device.

    Raises:
        CongealError: there is no such device, or not here.
    """
    names = {"auto": "auto", "cpu": "cpu", "cuda": "gpu", "gpu": "gpu", "mps": "mps"}
    if device not in names:
        raise CongealError(f"expected device auto, cpu, cuda or mps, got {device!r}")
    if device in ("cuda", "gpu") and not torch.cuda.is_available():
        raise CongealError("expected a CUDA device, this machine shows none; use device cpu")
    return names[device]


def choose_precision(config: TrainConfig) -> Any:
    """bfloat16 where the hardware multiplies it, which is about twice as fast; else float32."""
    if config.precision != "auto":
        return config.precision
    if config.device in ("auto", "cuda", "gpu") and torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    fast = any(getattr(torch.cpu, name, bool)() for name in names)  # not in every version
    return "bf16-mixed" if fast else "32-true"


def _fair_shares(batch: int, cores: int) -> int:
    fair = [n for n in range(1, cores + 1) if batch % n == 0 and batch // n >= LEAST]
    return max(fair, default=1)


@contextlib.contextmanager
def use_threads(number: int | None) -> Iterator[None]:
    """Compute with so many threads, and afterwards with as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
