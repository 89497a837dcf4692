"""Outlines of objects as polygons along the edges of pixels, with their parts and holes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import find_contours

from congeal.segmentation.objects import Crop

__all__ = ["Polygon", "trace"]

Ring = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Polygon:
    """One part of an object.

    Attributes:
        outer: corners `(n, 2)` as x, y in pixels from the upper left corner of the image, without
            a repeated first corner; counter-clockwise for a y axis that points up.
        holes: corners of each hole, clockwise.
    """

    outer: Ring
    holes: tuple[Ring, ...] = ()


def trace(crop: Crop) -> list[Polygon]:
    """Trace a mask exactly: the polygons have the same pixels and the same area.

    Pixels connected at corners only are separate parts, so that no ring touches itself.

    Example:
        >>> trace(Crop(0, 5, np.ones((2, 3), bool)))[0].outer.tolist()
        [[5, 2], [5, 0], [8, 0], [8, 2]]
    """
    mask = np.pad(crop.mask, 1)
    parts, count = ndimage.label(mask)
    outers: list[Ring | None] = [None] * count
    holes: list[list[Ring]] = [[] for _ in range(count)]
    shift = np.array([crop.left - 1, crop.top - 1])
    for ring in _rings(mask):
        part = _part_inside(ring, parts)
        corners = _corners(ring) + shift
        if _area(corners) > 0:
            outers[part] = corners
        else:
            holes[part].append(corners)
    return [
        Polygon(outer, tuple(inner))
        for outer, inner in zip(outers, holes, strict=True)
        if outer is not None
    ]


def _rings(mask: NDArray[np.bool_]) -> Iterator[Ring]:
    """Closed paths along pixel corners, `(n, 2)` as x, y, each corner once."""
    for contour in find_contours(mask.astype(np.float64), 0.5):
        # Points of a contour are midpoints of pixel edges: one coordinate ends in .5. The corner
        # between two successive points has the coordinate ending in .5 of either, else their mean.
        first, second = contour[:-1], contour[1:]
        corner = np.where(
            first % 1 == 0.5, first, np.where(second % 1 == 0.5, second, (first + second) / 2)
        )
        yield from _simple(np.rint(corner[:, ::-1] + 0.5).astype(np.int64))


def _simple(path: Ring) -> list[Ring]:
    """Split a closed path at corners it visits twice, so that no ring touches itself."""
    rings: list[Ring] = []
    kept: list[tuple[int, int]] = []
    place: dict[tuple[int, int], int] = {}
    for x, y in path.tolist():
        if (x, y) in place:
            start = place[x, y]
            rings.append(np.array(kept[start:]))
            for corner in kept[start + 1 :]:
                del place[corner]
            del kept[start + 1 :]
        else:
            place[x, y] = len(kept)
            kept.append((x, y))
    return [*rings, np.array(kept)]


def _part_inside(ring: Ring, parts: NDArray[np.int32]) -> int:
    """Index of the part next to the first edge of a ring, from 0."""
    (x0, y0), (x1, y1) = ring[0].tolist(), ring[1].tolist()
    if y0 == y1:
        sides = parts[y0 - 1, min(x0, x1)], parts[y0, min(x0, x1)]
    else:
        sides = parts[min(y0, y1), x0 - 1], parts[min(y0, y1), x0]
    return int(max(sides)) - 1


def _corners(ring: Ring) -> Ring:
    """Keep only the corners where the path changes direction."""
    steps = np.roll(ring, -1, 0) - ring
    turns: Ring = ring[(steps != np.roll(steps, 1, 0)).any(1)]
    return turns


def _area(ring: Ring) -> float:
    """Twice the signed area (shoelace formula), positive for the order of outer rings."""
    x, y = ring.T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum())
