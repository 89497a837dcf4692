"""Conversion between semantic maps and classes of objects."""

from __future__ import annotations

import numpy as np

from congeal.data.sample import LabelMap
from congeal.labels import relabel

__all__ = ["class_regions", "object_classes"]


def object_classes(labels: LabelMap, semantic: LabelMap) -> LabelMap:
    """Assign each object the most frequent class of its pixels, ignoring background and void.

    Args:
        labels: objects 1..K, `(H, W)`.
        semantic: class ids, `(H, W)`.

    Returns:
        `(K,)` int64, K the highest label; -1 if no pixel has a class. Ties go to the lower id.

    Example:
        >>> object_classes(np.array([[1, 1, 1, 2]]), np.array([[5, 0, 5, -1]])).tolist()
        [5, -1]
    """
    count, highest = int(labels.max(initial=0)), int(semantic.max(initial=0))
    if not count or not highest:
        return np.full(count, -1, np.int64)
    valid = (labels > 0) & (semantic > 0)
    pairs = labels[valid] * (highest + 1) + semantic[valid]
    table = np.bincount(pairs, minlength=(count + 1) * (highest + 1))
    votes = table.reshape(count + 1, highest + 1)[1:]
    return np.where(votes.any(axis=1), votes.argmax(axis=1), -1).astype(np.int64)


def class_regions(semantic: LabelMap) -> tuple[LabelMap, LabelMap]:
    """Make one label of each class of an image, for data without instances.

    Returns:
        Labels 1..K `(H, W)` in the order of class ids, and the class of each label `(K,)`.

    Example:
        >>> labels, classes = class_regions(np.array([[9, 0, 4, -1]]))
        >>> labels.tolist(), classes.tolist()
        ([[2, 0, 1, -1]], [4, 9])
    """
    return relabel(semantic), np.unique(semantic[semantic > 0])
