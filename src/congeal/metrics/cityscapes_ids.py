"""Label ids and instance ids of Cityscapes."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from congeal.errors import CongealError
from congeal.labels import VOID, check_labels

__all__ = ["CLASSES", "GROUP_BELOW", "VOID_IDS", "instance_ids"]

Integers = NDArray[np.int64]

CLASSES = MappingProxyType(
    {
        24: "person",
        25: "rider",
        26: "car",
        27: "truck",
        28: "bus",
        31: "train",
        32: "motorcycle",
        33: "bicycle",
    }
)
VOID_IDS = (-1, 0, 1, 2, 3, 4, 5, 6, 9, 10, 14, 15, 16, 18, 29, 30)
GROUP_BELOW = 1000
"""Smaller ids are a class without an instance: stuff, or a group of unseparated objects."""


def instance_ids(labels: ArrayLike, semantic: ArrayLike) -> Integers:
    """Join a label map and a map of class ids to a map of ids as Cityscapes has them.

    Args:
        labels: ``(H, W)``, 0 background, 1..K objects, -1 void.
        semantic: label id of each pixel, ``(H, W)``, -1 void. An object has the class of its first
            pixel. Pixels of a class with instances outside of objects are a group.

    Returns:
        ``(H, W)`` int64: class * 1000 + n for object n of the class, else the class; -1 void.

    Raises:
        CongealError: the shapes differ, an object has no class, or a class has over 1000 objects.

    Example:
        >>> instance_ids([[0, 5, 9, 0, -1]], [[7, 26, 26, 26, 7]])
        array([[    7, 26000, 26001,    26,    -1]])
    """
    things, classes = check_labels(labels), check_labels(semantic, "classes")
    if things.shape != classes.shape:
        raise CongealError(
            f"expected labels and classes of the same size, got {things.shape} and {classes.shape}"
        )
    values, first, where = np.unique(things, return_index=True, return_inverse=True)
    renamed, last = np.zeros_like(values), dict[int, int]()
    for k in np.flatnonzero(values > 0):
        c = int(classes.flat[first[k]])
        n = last[c] = last.get(c, -1) + 1
        if c < 1 or n >= GROUP_BELOW:
            raise CongealError(
                f"expected a class of up to {GROUP_BELOW} objects, got {c} for object {values[k]}"
            )
        renamed[k] = c * GROUP_BELOW + n
    rest = np.where(things == VOID, VOID, classes)
    return np.where(things > 0, renamed[where].reshape(things.shape), rest)
