"""Perimeters of all objects, vectorised over objects."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from congeal.segmentation.contents import Contents

__all__ = ["measure_perimeters"]

# Length of a border pixel, indexed by 1 + 2 * (border pixels among its 4-neighbours) + 10 * (border
# pixels among its diagonal neighbours): 1 for straight steps, sqrt(2) for diagonal steps, the mean
# of both for corners between them; 0 for all other sums.
_LENGTHS = np.zeros(64)
_LENGTHS[[5, 7, 15, 17, 25, 27]] = 1
_LENGTHS[[21, 33]] = np.sqrt(2)
_LENGTHS[[13, 23]] = (1 + np.sqrt(2)) / 2


def measure_perimeters(result: Contents) -> NDArray[np.float64]:
    """Perimeter of every object in pixels `(N,)`, equal to scikit-image's ``perimeter``.

    A border pixel has a 4-neighbour outside of its object. Overlapping objects are measured
    completely.

    Source: Benkrid & Crookes, Design and FPGA implementation of a perimeter estimator, 2000.

    Example:
        >>> from congeal.segmentation import Segmentation
        >>> measure_perimeters(Segmentation.from_labels(np.ones((3, 4), int))).tolist()
        [10.0]
    """
    index, y, x = result.pixels()
    canvas, place, stride = _canvas(result, index, y, x)
    own = canvas[place]

    def count_same(values: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Number of 4-neighbours and of diagonal neighbours with the label of the pixel."""
        beside = sum((values[place + s] == own).astype(np.int64) for s in (stride, -stride, 1, -1))
        diagonal = (stride + 1, stride - 1, 1 - stride, -1 - stride)
        corners = sum((values[place + s] == own).astype(np.int64) for s in diagonal)
        return np.asarray(beside), np.asarray(corners)

    border = count_same(canvas)[0] < 4
    edges = np.zeros_like(canvas)
    edges[place[border]] = own[border]
    beside, corners = count_same(edges)
    lengths = np.where(border, _LENGTHS[1 + 2 * beside + 10 * corners], 0)
    return np.bincount(index, lengths, len(result)).astype(np.float64)


def _canvas(
    result: Contents, index: NDArray[np.int64], y: NDArray[np.int64], x: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
    """Arrange the objects in one flat array, with a margin of one pixel around each.

    Disjoint objects stay in the image; overlapping ones get a bounding box each.

    Returns:
        The array with labels 1..N, and for each pixel its index and the offset to the next row.
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
