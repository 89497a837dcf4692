"""Checks of scores, classes and class names of a result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from congeal.errors import CongealError

__all__ = ["check_class_names", "check_column"]


def check_column(given: ArrayLike | None, count: int, name: str, dtype: Any) -> NDArray[Any]:
    """Check one value per object; None: all 1."""
    if given is None:
        return np.ones(count, dtype)
    values = np.array(given, dtype)
    if values.shape != (count,):
        raise CongealError(f"expected {name} for {count} objects, got shape {values.shape}")
    if not np.isfinite(values).all():
        raise CongealError(f"expected finite {name}, got NaN or infinity")
    return values


def check_class_names(
    classes: NDArray[np.int64], given: Sequence[str] | None, highest_in_maps: int
) -> tuple[str, ...]:
    """Check class names; None: default names. ``highest_in_maps``: highest class id in maps."""
    highest = int(classes.max(initial=max(1, highest_in_maps)))
    if classes.min(initial=1) < 1:
        raise CongealError(f"expected class ids from 1, got {int(classes.min())}")
    if given is None:
        return ("object",) if highest == 1 else tuple(f"class {i + 1}" for i in range(highest))
    if len(given) < highest:
        raise CongealError(f"expected {highest} class names, got {len(given)}")
    return tuple(given)
