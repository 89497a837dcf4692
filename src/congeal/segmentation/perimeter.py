"""Perimeters of all objects at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from congeal.segmentation.contents import Contents

__all__ = ["measure_perimeters"]

# Length that a border pixel stands for, by 1 + 2 * (border pixels beside it) + 10 * (those at its
# corners): a straight step is 1, a diagonal one the root of 2, and where both meet it is their
# mean. Sums that are not named stand for no length.
_LENGTHS = np.zeros(64)
_LENGTHS[[5, 7, 15, 17, 25, 27]] = 1
_LENGTHS[[21, 33]] = np.sqrt(2)
_LENGTHS[[13, 23]] = (1 + np.sqrt(2)) / 2


def measure_perimeters(result: Contents) -> NDArray[np.float64]:
    """Measure the perimeter of every object in pixels, `(N,)`, as scikit-image's ``perimeter``.

    A border pixel is one with a pixel beside it that is not of its object. Objects that overlap
    are measured whole.

    Source: Benkrid & Crookes, Design and FPGA implementation of a perimeter estimator, 2000.

    Example:
        >>> from congeal.segmentation import Segmentation
        >>> measure_perimeters(Segmentation.from_labels(np.ones((3, 4), int))).tolist()
        [10.0]
    """
    index, y, x = result.pixels()
    canvas, place, stride = _canvas(result, index, y, x)
    own = canvas[place]

    def alike(values: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Count the neighbours with an object's own number: beside a pixel, and at its corners."""
        beside = sum((values[place + s] == own).astype(np.int64) for s in (stride, -stride, 1, -1))
        diagonal = (stride + 1, stride - 1, 1 - stride, -1 - stride)
        corners = sum((values[place + s] == own).astype(np.int64) for s in diagonal)
        return np.asarray(beside), np.asarray(corners)

    border = alike(canvas)[0] < 4
    edges = np.zeros_like(canvas)
    edges[place[border]] = own[border]
    beside, corners = alike(edges)
    lengths = np.where(border, _LENGTHS[1 + 2 * beside + 10 * corners], 0)
    return np.bincount(index, lengths, len(result)).astype(np.float64)


def _canvas(
    result: Contents, index: NDArray[np.int64], y: NDArray[np.int64], x: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
    """Lay the objects side by side in one flat array, with a margin around them.

    Objects that are disjoint stay in the image; the others get their box each.

    Returns:
        The array with 1..N, the place of each pixel in it, and the step to the row below.
    """
    height, width = result.shape
    if result.disjoint:
        stride = np.full(len(index), width + 2)
        place = (y + 1) * (width + 2) + x + 1
        size = (height + 2) * (width + 2)
    else:
        left, top, right, bottom = result.boxes.T
        rows, columns = bottom - top + 2, right - left + 2
        starts = np.cumsum(rows * columns) - rows * columns
        stride = columns[index]
        place = starts[index] + (y - top[index] + 1) * stride + x - left[index] + 1
        size = int((rows * columns).sum())
    canvas = np.zeros(size, np.int32)
    canvas[place] = index + 1
    return canvas, place, stride
