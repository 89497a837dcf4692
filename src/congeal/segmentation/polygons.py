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
        outer: corners `(n, 2)` as x, y, in pixels from the upper left corner of the image; the
            first is not repeated. Their order is counter-clockwise where y points up.
        holes: the same of each hole, the other way round.
    """

    outer: Ring
    holes: tuple[Ring, ...] = ()


def trace(crop: Crop) -> list[Polygon]:
    """Trace a mask exactly: the polygons hold its pixels and nothing else, of the same area.

    Pixels that touch at corners only are parts of their own, so that no ring touches itself.

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
    """Give closed paths from corner to corner of pixels `(n, 2)` as x, y, each corner once."""
    for contour in find_contours(mask.astype(np.float64), 0.5):
        # A point of the contour is the middle of a pixel's edge. The corner that two such edges
        # share has each coordinate that is a half in either, or else the one between them.
        here, there = contour[:-1], contour[1:]
        corner = np.where(
            here % 1 == 0.5, here, np.where(there % 1 == 0.5, there, (here + there) / 2)
        )
        yield from _simple(np.rint(corner[:, ::-1] + 0.5).astype(np.int64))


def _simple(path: Ring) -> list[Ring]:
    """Cut a closed path where it meets itself, so that no ring touches itself."""
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
    """Which part of the object, from 0, lies along a ring: at one side of its first edge."""
    (x0, y0), (x1, y1) = ring[0].tolist(), ring[1].tolist()
    if y0 == y1:
        sides = parts[y0 - 1, min(x0, x1)], parts[y0, min(x0, x1)]
    else:
        sides = parts[min(y0, y1), x0 - 1], parts[min(y0, y1), x0]
    return int(max(sides)) - 1


def _corners(ring: Ring) -> Ring:
    """Leave the corners at which the path turns."""
    steps = np.roll(ring, -1, 0) - ring
    turns: Ring = ring[(steps != np.roll(steps, 1, 0)).any(1)]
    return turns


def _area(ring: Ring) -> float:
    """Twice the area by the shoelace formula, positive counter-clockwise where y points up."""
    x, y = ring.T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum())
