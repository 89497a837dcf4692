"""A palette of distinct colours, and its assignment to neighbouring objects."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["NEAR", "oklab", "palette", "spread_colours"]

BASE = 20
"""Number of colours in the palette; more would be hard to distinguish."""

NEAR = 0.15
"""Minimum distance in OKLab of the colours of objects that touch."""

_RGB_TO_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_LMS_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def oklab(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Convert colours `(..., 3)` to OKLab, where distances are perceptually uniform.

    Source: B. Ottosson, "A perceptual color space for image processing", 2020.

    Example:
        >>> oklab(np.array([255, 255, 255], np.uint8)).round(2).tolist()
        [1.0, 0.0, 0.0]
    """
    value = rgb.astype(np.float64) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    lab: NDArray[np.float64] = np.cbrt(linear @ _RGB_TO_LMS.T) @ _LMS_TO_LAB.T
    return lab


def _candidates() -> NDArray[np.uint8]:
    """List colours of medium lightness and chroma, visible on black and on white."""
    level = np.linspace(0, 255, 18).astype(np.uint8)
    grid = np.stack(np.meshgrid(level, level, level, indexing="ij"), -1).reshape(-1, 3)
    lab = oklab(grid)
    chroma = np.hypot(lab[:, 1], lab[:, 2])
    keep = (lab[:, 0] > 0.6) & (lab[:, 0] < 0.9) & (chroma > 0.11) & (chroma < 0.205)
    return grid[keep]


@cache
def _palette() -> NDArray[np.uint8]:
    """Pick colours one by one, each the farthest from all picked before."""
    grid = _candidates()
    lab = oklab(grid)
    picked = [int(np.abs(lab - oklab(np.array([255, 80, 60], np.uint8))).sum(1).argmin())]
    nearest = np.full(len(grid), np.inf)
    for _ in range(BASE - 1):
        nearest = np.minimum(nearest, np.linalg.norm(lab - lab[picked[-1]], axis=1))
        picked.append(int(nearest.argmax()))
    return grid[picked]


def palette() -> NDArray[np.uint8]:
    """Give the base colours `(20, 3)`, 0 to 255, most different first.

    Example:
        >>> palette().shape
        (20, 3)
    """
    return _palette().copy()


@cache
def _distances() -> NDArray[np.float64]:
    lab = oklab(_palette())
    return np.asarray(np.linalg.norm(lab[:, None] - lab[None], axis=-1))


def _choose(first: int, taken: list[int]) -> int:
    """First palette entry, counted from ``first``, that is far enough from the taken ones."""
    order = (first + np.arange(BASE)) % BASE
    if not taken:
        return first
    gap = _distances()[order][:, taken].min(1)
    enough = np.flatnonzero(gap >= NEAR)
    return int(order[enough[0] if len(enough) else gap.argmax()])


def spread_colours(wanted: NDArray[np.int64], pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Choose palette entries `(N,)` such that neighbours have distinct colours.

    Greedy: an object keeps its preferred entry unless an earlier neighbour has a similar one, so
    an object mostly has the same colour in several maps.

    Args:
        wanted: preferred palette entry of each object, `(N,)`.
        pairs: indices of objects that touch, `(P, 2)`.

    Example:
        >>> spread_colours(np.array([3, 3]), np.array([[0, 1]])).tolist()[0]
        3
    """
    chosen = np.asarray(wanted, np.int64) % BASE
    if len(pairs) == 0:
        return chosen
    low, high = pairs.min(1), pairs.max(1)
    order = np.argsort(high, kind="stable")
    low, high = low[order], high[order]
    starts = np.flatnonzero(np.r_[True, high[1:] != high[:-1]])
    for start, stop in zip(starts, [*starts[1:], len(high)], strict=True):
        taken = [int(i) for i in chosen[low[start:stop]]]
        chosen[high[start]] = _choose(int(chosen[high[start]]), taken)
    return chosen
