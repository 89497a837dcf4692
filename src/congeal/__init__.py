"""Group pixels into objects: instance segmentation by pixel embeddings, without boxes.

Names are looked up when first used, so that ``import congeal`` and ``congeal --help`` stay quick.

Example:
    >>> import congeal
    >>> "segment" in dir(congeal)
    True
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from congeal.version import __version__

if TYPE_CHECKING:
    from congeal import (
        data,
        figures,
        grouping,
        labels,
        losses,
        methods,
        metrics,
        models,
        networks,
        sphere,
    )
    from congeal.errors import CongealError
    from congeal.evaluation import evaluate
    from congeal.methods import RPE
    from congeal.models.folder import load
    from congeal.prediction import segment, segment_volume
    from congeal.segmentation import Segmentation, stitch_planes
    from congeal.training import train, tune

__all__ = [
    "RPE",
    "CongealError",
    "Segmentation",
    "__version__",
    "data",
    "evaluate",
    "figures",
    "grouping",
    "labels",
    "load",
    "losses",
    "methods",
    "metrics",
    "models",
    "networks",
    "segment",
    "segment_volume",
    "sphere",
    "stitch_planes",
    "train",
    "tune",
]

# Where each name comes from; a name that is not here is a module or subpackage.
_HOMES = {
    "CongealError": "congeal.errors",
    "Segmentation": "congeal.segmentation",
    "evaluate": "congeal.evaluation",
    "load": "congeal.models.folder",
    "segment": "congeal.prediction",
    "segment_volume": "congeal.prediction",
    "stitch_planes": "congeal.segmentation",
    "train": "congeal.training",
    "tune": "congeal.training",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
        globals()[name] = value
        return value
    if name.islower() and name in __all__:
        return importlib.import_module(f"congeal.{name}")
    from congeal.methods.registry import class_homes  # classes of methods

    if name in class_homes():
        return getattr(importlib.import_module(class_homes()[name]), name)
    raise AttributeError(f"module 'congeal' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
