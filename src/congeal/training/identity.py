"""What a resumed training must have in common with the original."""

from __future__ import annotations

import hashlib
from typing import Any

from congeal.data.sample import Dataset
from congeal.methods.method import Method
from congeal.training.config import TrainConfig

__all__ = ["training_identity"]

# Settings that may change when a training is resumed: its length, and what fits the machine.
CHANGEABLE = (
    "max_minutes",
    "epochs",
    "device",
    "devices",
    "nodes",
    "workers",
    "threads",
    "cache_gb",
    "overlays",
    "cpu_replicas",
    "half",
    "keep",
    "patience",
    "tuning_share",
    "validation_share",
    "validation_images",
)


def training_identity(model: Method, config: TrainConfig, training: Dataset) -> dict[str, Any]:
    """Data and settings that a resumed training must share with the original, as plain values."""
    kept = {name: value for name, value in config.flat().items() if name not in CHANGEABLE}
    return {
        "data": training.name,
        "images": len(training),
        "names of the images": _digest(training.names()),
        "method": model.name,
        **model.config.flat(),
        **{f"training.{name}": value for name, value in kept.items()},
    }


def _digest(names: list[str]) -> str:
    """Eight hexadecimal digits of a hash of the names, which may hold bytes that are not UTF-8."""
    text = "\0".join(names).encode("utf-8", "surrogateescape")
    return hashlib.sha256(text).hexdigest()[:8]
