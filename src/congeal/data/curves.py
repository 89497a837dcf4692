"""Curves and the tubes around them, for synthetic rods, worms and fibres."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from congeal.data.canvas import Floats

__all__ = ["STEP", "Tube", "curve", "tube"]

STEP = 0.9  # pixels between points of a curve
_MARGIN = 2  # pixels drawn around the outline, for antialiasing and shadows
_OUTSIDE = -9.0  # depth of pixels beyond the margin


@dataclass(frozen=True, eq=False)
class Tube:
    """Coordinates of the pixels around a curve, within its bounding box.

    Attributes:
        top: first row of the box in the image.
        left: first column of the box in the image.
        depth: `(h, w)` signed distance to the outline in pixels, positive inside.
        along: `(h, w)` position along the curve, 0..1.
        across: `(h, w)` signed distance from the curve in radii, -1..1 inside.
    """

    top: int
    left: int
    depth: Floats
    along: Floats
    across: Floats


def curve(
    middle: tuple[float, float],
    angle: float,
    length: float,
    *,
    bend: float = 0.0,
    wave: float = 0.0,
    phase: float = 0.0,
    periods: float = 1.0,
) -> NDArray[np.float64]:
    """Sample points of a curve at a distance of `STEP` pixels.

    Args:
        middle: row and column of the midpoint.
        angle: direction at the midpoint in radians, 0 to the right, pi/2 downwards.
        length: length of the curve in pixels.
        bend: change of direction from end to end in radians.
        wave: amplitude of a sine added to the direction, in radians.
        phase: phase of that sine in radians.
        periods: number of its periods over the whole length.

    Returns:
        `(N, 2)` rows and columns.

    Example:
        >>> curve((5.0, 5.0), 0.0, 1.8).round(2).tolist()
        [[5.0, 4.1], [5.0, 5.0], [5.0, 5.9]]
    """
    count = max(int(length / STEP + 1e-9), 1) + 1
    t = np.linspace(-0.5, 0.5, count)
    heading = angle + bend * t + wave * np.sin(2 * np.pi * periods * t + phase)
    steps = STEP * np.stack([np.sin(heading), np.cos(heading)], axis=1)
    points = np.cumsum(steps, axis=0)
    half = (points[(count - 1) // 2] + points[count // 2]) / 2
    centred: NDArray[np.float64] = points - half + np.array(middle)
    return centred


def tube(points: NDArray[np.float64], radius: NDArray[np.float64], size: tuple[int, int]) -> Tube:
    """Compute a tube of varying radius around a curve.

    Each pixel is assigned to the curve point with the largest depth, radius - distance.

    Args:
        points: `(N, 2)` rows and columns, at most one pixel apart.
        radius: `(N,)` in pixels.
        size: height and width of the image.

    Returns:
        The tube; its box is empty if no point is near the image.

    Example:
        >>> straight = curve((8.0, 8.0), 0.0, 10.0)
        >>> drawn = tube(straight, np.full(len(straight), 2.0), (16, 16))
        >>> drawn.depth.shape, round(float(drawn.depth.max()), 1)
        ((7, 16), 2.0)
    """
    y, x, near = _stamps(points, float(radius.max()), size)
    down, right = y - points[near, 0], x - points[near, 1]
    depth = (radius[near] - np.hypot(down, right)).astype(np.float32)
    close = np.flatnonzero(depth > -_MARGIN)
    # Sorted by depth: of several points near a pixel, the deepest is written last.
    order = close[np.argsort(depth[close], kind="stable")]
    y, x, near, depth = y[order], x[order], near[order], depth[order]
    top, left = (int(at.min()) if len(at) else 0 for at in (y, x))
    bottom, right_end = (int(at.max()) + 1 if len(at) else 0 for at in (y, x))
    tangent = np.gradient(points, axis=0)
    tangent /= np.maximum(np.hypot(tangent[:, 0], tangent[:, 1]), 1e-9)[:, None]
    aside = tangent[near, 1] * (y - points[near, 0]) - tangent[near, 0] * (x - points[near, 1])
    planes = np.full((3, bottom - top, right_end - left), _OUTSIDE, np.float32)
    planes[:, y - top, x - left] = depth, near / max(len(points) - 1, 1), aside / radius[near]
    return Tube(top, left, planes[0], planes[1], planes[2])


def _stamps(
    points: NDArray[np.float64], radius: float, size: tuple[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Rows, columns and points of all (pixel, point) pairs that are near each other."""
    around = np.arange(-int(radius + _MARGIN), int(radius + _MARGIN) + 1)
    corner = np.rint(points).astype(np.int64)
    shape = (len(points), len(around), len(around))
    y = np.broadcast_to((corner[:, :1] + around)[:, :, None], shape).ravel()
    x = np.broadcast_to((corner[:, 1:] + around)[:, None, :], shape).ravel()
    kept = np.flatnonzero((y >= 0) & (y < size[0]) & (x >= 0) & (x < size[1]))
    return y[kept], x[kept], kept // len(around) ** 2
