"""Choice of device, precision, loader processes, threads and replicas for the machine."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import torch

from congeal.errors import CongealError
from congeal.methods.method import Method
from congeal.training.config import TrainConfig
from congeal.training.replicas import uses_dropout

__all__ = [
    "choose_accelerator",
    "choose_precision",
    "choose_replicas",
    "choose_workers",
    "is_on_cpu",
    "precision_context",
    "use_threads",
]

MIN_PART = 4  # images per replica, unless cpu_replicas is given: batch norm needs several


def choose_workers(config: TrainConfig) -> int:
    """Number of loader processes: 0 on up to 4 cores without GPU, which the network keeps busy.

    Args:
        config: settings of the training.
    """
    if config.workers is not None:
        return config.workers
    cores = os.cpu_count() or 1
    return 0 if cores <= 4 and not torch.cuda.is_available() else min(8, cores - 1)


def choose_replicas(config: TrainConfig, model: Method) -> int:
    """Number of CPU replicas that a batch is split over.

    It is 1 on a GPU, in a distributed training, for models with dropout, and for losses that
    compare images of a batch. Otherwise at most one per core, with at least four images each.

    Args:
        config: settings of the training; ``cpu_replicas`` fixes the number.
        model: model to train.

    Raises:
        CongealError: the number given does not divide the batch, or must be 1 here.
    """
    c = config
    if model.couples_batch:
        if c.cpu_replicas not in (None, 1):
            raise CongealError(
                f"cpu_replicas: expected 1, because the loss of {model.name} compares images of a "
                f"batch, got {c.cpu_replicas}"
            )
        return 1
    alone = c.devices * c.nodes == 1 and is_on_cpu(c.device)
    if c.cpu_replicas is None:
        parts = _parts_per_core(c.batch_size, c.threads or torch.get_num_threads())
        return parts if alone and not uses_dropout(model) else 1
    if c.cpu_replicas > 1 and not alone:
        raise CongealError(
            f"cpu_replicas: expected 1 on a GPU or with several processes, got {c.cpu_replicas}"
        )
    if c.batch_size % c.cpu_replicas:
        raise CongealError(
            f"cpu_replicas: expected a divisor of the batch size {c.batch_size}, "
            f"got {c.cpu_replicas}"
        )
    return c.cpu_replicas


def is_on_cpu(device: str) -> bool:
    """Whether the training runs on the CPU.

    Args:
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.

    Example:
        >>> is_on_cpu("cpu")
        True
    """
    accelerated = torch.cuda.is_available() or torch.backends.mps.is_available()
    return device == "cpu" or (device == "auto" and not accelerated)


def choose_accelerator(device: str) -> str:
    """Lightning's name for a device.

    Args:
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.

    Raises:
        CongealError: the name is unknown, or the machine has no CUDA device.

    Example:
        >>> choose_accelerator("cpu")
        'cpu'
    """
    names = {"auto": "auto", "cpu": "cpu", "cuda": "gpu", "gpu": "gpu", "mps": "mps"}
    if device not in names:
        raise CongealError(f"expected device auto, cpu, cuda or mps, got {device!r}")
    if device in ("cuda", "gpu") and not torch.cuda.is_available():
        raise CongealError("expected a CUDA device, found none on this machine; use device cpu")
    return names[device]


def choose_precision(config: TrainConfig) -> Any:
    """Lightning's precision: bfloat16 where the hardware supports it (about twice as fast).

    Otherwise float16 on a GPU and float32 on a CPU, unless ``precision`` is given.

    Args:
        config: settings of the training.
    """
    if config.precision != "auto":
        return config.precision
    if config.device in ("auto", "cuda", "gpu") and torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    fast = any(getattr(torch.cpu, name, bool)() for name in names)  # some versions lack them
    return "bf16-mixed" if fast else "32-true"


def precision_context(config: TrainConfig) -> contextlib.AbstractContextManager[Any]:
    """Autocast context with the precision of the training, for steps outside of Lightning.

    Args:
        config: settings of the training.
    """
    dtypes = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
    dtype = dtypes.get(choose_precision(config))
    if dtype is None:
        return contextlib.nullcontext()
    device = "cpu" if is_on_cpu(config.device) else "cuda"
    return torch.autocast(device, dtype)


def _parts_per_core(batch: int, cores: int) -> int:
    """Largest number of equal parts of a batch, at most one per core, of at least MIN_PART."""
    parts = [n for n in range(1, cores + 1) if batch % n == 0 and batch // n >= MIN_PART]
    return max(parts, default=1)


@contextlib.contextmanager
def use_threads(number: int | None) -> Iterator[None]:
    """Set the number of PyTorch threads inside the block; None: leave it."""
    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
