"""Methods: a network, losses and decoding, with the settings of a paper.

Names are imported on first use. Classes of registered methods are attributes of this package too.

Example:
    >>> from congeal.methods import find_method, method_names
    >>> find_method("rpe").title
    'Recurrent Pixel Embedding'
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from congeal.methods.maps import ImageStatistics, MapPrediction
    from congeal.methods.method import Method, Stage
    from congeal.methods.registry import find_method, method_names
    from congeal.methods.rpe import RPE, RPEConfig

__all__ = [
    "RPE",
    "ImageStatistics",
    "MapPrediction",
    "Method",
    "RPEConfig",
    "Stage",
    "find_method",
    "method_names",
]

_HOMES = {
    "ImageStatistics": "maps",
    "MapPrediction": "maps",
    "Method": "method",
    "RPEConfig": "rpe",
    "Stage": "method",
    "find_method": "registry",
    "method_names": "registry",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"congeal.methods.{_HOMES[name]}"), name)
    from congeal.methods.registry import class_homes

    homes = class_homes()
    if name not in homes:
        raise AttributeError(f"module 'congeal.methods' has no attribute {name!r}")
    return getattr(importlib.import_module(homes[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
