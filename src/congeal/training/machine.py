"""What a training makes of the machine it is on."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import torch

from congeal.errors import CongealError
from congeal.methods.method import Method
from congeal.training.config import TrainConfig
from congeal.training.replicas import draws_by_chance

__all__ = [
    "choose_accelerator",
    "choose_precision",
    "choose_replicas",
    "choose_workers",
    "is_on_cpu",
    "precision_context",
    "use_threads",
]

SMALLEST_PART = 4  # images of a part, where nobody says how many: batch norm needs several


def choose_workers(config: TrainConfig) -> int:
    """Loader processes: none on small machines, whose cores the training itself fills."""
    if config.workers is not None:
        return config.workers
    cores = os.cpu_count() or 1
    return 0 if cores <= 4 and not torch.cuda.is_available() else min(8, cores - 1)


def choose_replicas(config: TrainConfig, model: Method) -> int:
    """Number of replicas that a batch is split over, each on threads of its own.

    Only one process on a CPU splits batches. Unless a number is given, it is one part a core, of
    four images at least; one in all where layers drop out or the loss compares images of a batch.

    Raises:
        CongealError: more were asked for than fit.
    """
    c = config
    if model.couples_batch:
        if c.cpu_replicas not in (None, 1):
            raise CongealError(
                f"cpu_replicas: expected 1, since the loss of {model.name} compares images of a "
                f"batch, got {c.cpu_replicas}"
            )
        return 1
    alone = c.devices * c.nodes == 1 and is_on_cpu(c.device)
    if c.cpu_replicas is None:
        fair = _fair_parts(c.batch_size, c.threads or torch.get_num_threads())
        return fair if alone and not draws_by_chance(model) else 1
    if c.cpu_replicas > 1 and not alone:
        raise CongealError(
            f"cpu_replicas: expected 1 where it is not one process on a CPU, got {c.cpu_replicas}"
        )
    if c.batch_size % c.cpu_replicas:
        raise CongealError(
            f"cpu_replicas: expected a number that divides batches of {c.batch_size}, "
            f"got {c.cpu_replicas}"
        )
    return c.cpu_replicas


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


def precision_context(config: TrainConfig) -> contextlib.AbstractContextManager[Any]:
    """What a step computes in, where Lightning is not there to say."""
    kinds = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
    kind = kinds.get(choose_precision(config))
    if kind is None:
        return contextlib.nullcontext()
    device = "cpu" if is_on_cpu(config.device) else "cuda"
    return torch.autocast(device, kind)


def _fair_parts(batch: int, cores: int) -> int:
    fair = [n for n in range(1, cores + 1) if batch % n == 0 and batch // n >= SMALLEST_PART]
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
