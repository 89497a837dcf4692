"""From classes of pixels to classes of objects, and back."""

from __future__ import annotations

import numpy as np

from congeal.data.sample import LabelMap
from congeal.labels import relabel

__all__ = ["class_regions", "object_classes"]


def object_classes(labels: LabelMap, semantic: LabelMap) -> LabelMap:
    """Give each object the class of most of its pixels, background and void aside.

    Args:
        labels: objects 1..K, `(H, W)`.
        semantic: class ids, `(H, W)`.

    Returns:
        `(K,)` int64, K the highest label; -1 where no pixel has a class. Ties go to the lower id.

    Example:
        >>> object_classes(np.array([[1, 1, 1, 2]]), np.array([[5, 0, 5, -1]])).tolist()
        [5, -1]
    """
    count, highest = int(labels.max(initial=0)), int(semantic.max(initial=0))
    if not count or not highest:
        return np.full(count, -1, np.int64)
    known = (labels > 0) & (semantic > 0)
    pairs = labels[known] * (highest + 1) + semantic[known]
    table = np.bincount(pairs, minlength=(count + 1) * (highest + 1))
    votes = table.reshape(count + 1, highest + 1)[1:]
    return np.where(votes.any(axis=1), votes.argmax(axis=1), -1).astype(np.int64)


def class_regions(semantic: LabelMap) -> tuple[LabelMap, LabelMap]:
    """Take every class of an image for one object, where nobody told objects apart.

    Returns:
        Labels `(H, W)`, 1..K in the order of the class ids, and the class of each, `(K,)`.

    Example:
        >>> labels, classes = class_regions(np.array([[9, 0, 4, -1]]))
        >>> labels.tolist(), classes.tolist()
        ([[2, 0, 1, -1]], [4, 9])
    """
    return relabel(semantic), np.unique(semantic[semantic > 0])
