"""``congeal info``: versions, devices, threads and paths of the installation."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from pathlib import Path
from typing import Any

from congeal.cli.options import Json
from congeal.cli.terminal import say, show_json
from congeal.version import __version__

__all__ = ["gather", "info"]

_PACKAGES = ("torch", "torchvision", "timm", "lightning", "numpy", "scikit-image")


def info(as_json: Json = False) -> None:
    """Print versions, devices, threads and paths, for bug reports."""
    facts = gather()
    if as_json:
        show_json(facts)
        return
    for title, values in facts.items():
        say(title)
        width = max(map(len, values), default=0)
        for name, value in values.items():
            say(f"  {name:<{width}}  {value}")


def gather() -> dict[str, dict[str, Any]]:
    """Facts about the installation, by group and name."""
    return {
        "versions": _versions(),
        "devices": _devices(),
        "threads": _threads(),
        "paths": _paths(),
    }


def _versions() -> dict[str, Any]:
    found = {"congeal": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "missing"
    return {**found, "system": platform.platform()}


def _devices() -> dict[str, Any]:
    import torch

    from congeal.models.device import choose_device

    cuda = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        "auto": str(choose_device("auto")),
        "cuda": ", ".join(cuda) or "none",
        "mps": "yes" if torch.backends.mps.is_available() else "none",
    }


def _threads() -> dict[str, Any]:
    import torch

    usable = getattr(os, "sched_getaffinity", None)
    return {
        "cores": len(usable(0)) if usable else os.cpu_count() or 1,
        "torch": torch.get_num_threads(),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "not set"),
    }


def _paths() -> dict[str, Any]:
    from congeal.models.shipped import SHIPPED

    return {
        "congeal": str(Path(__file__).parents[1]),
        "python": sys.executable,
        "models": str(SHIPPED),
        "CONGEAL_DATA": os.environ.get("CONGEAL_DATA", "not set"),
    }
