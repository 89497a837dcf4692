"""Label maps of RPE after the grouping: fragments by the whole image, and the background group."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from congeal.grouping.components import absorb_small, fill_holes
from congeal.grouping.readout import ReadOut
from congeal.labels import relabel
from congeal.methods.maps import ImageStatistics

__all__ = ["group_part", "without_largest"]

Labels = NDArray[np.int64]


def group_part(
    read_out: ReadOut,
    embedding: Tensor,
    mask: Tensor,
    weights: Tensor,
    stride: int,
    statistics: ImageStatistics,
) -> Labels:
    """Group the pixels of a part of an image; what a fragment is follows from the whole image.

    Args:
        read_out: the decoder, with the settings in force.
        embedding: ``(D, h, w)`` unit vectors.
        mask: ``(H, W)`` bool, the foreground.
        weights: ``(H, W)`` trust in each pixel as a seed.
        stride: pixels of the image per pixel of the embedding.
        statistics: of the whole image.

    Returns:
        ``(H, W)`` int64 labels, 1..K.
    """
    plain = replace(read_out, fragment=0.0, holes=False)
    labels = plain(embedding, mask, weights, stride=stride)
    smallest = read_out.fragment * statistics.typical_area
    labels = absorb_small(labels, smallest, spare_edge=True)
    return relabel(fill_holes(labels) if read_out.holes else labels)


def without_largest(labels: Labels) -> Labels:
    """Take the largest group for background.

    Example:
        >>> without_largest(np.array([[1, 1, 2]])).tolist()
        [[0, 0, 1]]
    """
    area = np.bincount(labels.ravel())
    area[0] = 0
    if not area.any():
        return labels
    largest = int(area.argmax())
    rename = np.arange(len(area))
    rename[largest] = 0
    rename[largest + 1 :] -= 1
    return rename[labels]
