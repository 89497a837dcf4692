"""Precision-recall curves from counts of boundary pixels: ODS, OIS and AP of BSDS500.

Definitions and interpolation are those of the Berkeley benchmark.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from congeal.errors import CongealError

__all__ = [
    "FULL",
    "BoundaryPoint",
    "BoundaryScores",
    "boundary_scores",
    "boundary_thresholds",
    "f_measure",
    "rates",
]

FULL = 99
"""Number of thresholds of the official benchmark; fewer give an estimate."""

Values = NDArray[np.float64]


@dataclass(frozen=True)
class BoundaryPoint:
    """A point of a precision-recall curve: threshold, recall, precision and F (harmonic mean).

    Example:
        >>> BoundaryPoint(threshold=0.5, recall=1.0, precision=0.5, f=2 / 3).recall
        1.0
    """

    threshold: float
    recall: float
    precision: float
    f: float


@dataclass(frozen=True)
class BoundaryScores:
    """Scores of many images.

    Attributes:
        ods: point of largest F on the pooled curve.
        ois: pooled point at the best threshold of each image (``threshold`` is NaN).
        ap: area under the pooled curve, 0 to 1.
        images: point of largest F of each image.
        curve: the pooled point at each threshold.

    Example:
        >>> boundary_scores(np.array([[[3, 4, 3, 3]]]), [0.5]).ods.recall
        0.75
    """

    ods: BoundaryPoint
    ois: BoundaryPoint
    ap: float
    images: list[BoundaryPoint]
    curve: list[BoundaryPoint]


def boundary_thresholds(thresholds: int | Sequence[float] = FULL) -> tuple[float, ...]:
    """Return thresholds evenly inside 0 to 1, both ends ignored, or check given ones.

    Raises:
        CongealError: there are none, or they are not finite and ascending.

    Example:
        >>> boundary_thresholds(3)
        (0.25, 0.5, 0.75)
    """
    if isinstance(thresholds, int):
        # This order of operations reproduces the official values, which 8-bit strengths may equal.
        end = 1 / (max(thresholds, 0) + 1)
        inside = np.linspace(end, 1 - end, max(thresholds, 0))
    else:
        inside = np.asarray(thresholds, np.float64)
    if inside.ndim != 1 or not len(inside) or not (np.diff(inside) > 0).all():
        raise CongealError(f"expected one or more ascending thresholds, got {thresholds}")
    if not np.isfinite(inside).all():
        raise CongealError(f"expected finite thresholds, got {thresholds}")
    return tuple(inside.tolist())


def boundary_scores(tables: ArrayLike, thresholds: Sequence[float]) -> BoundaryScores:
    """Compute ODS, OIS and AP from counts, with 100 interpolated points between thresholds.

    Ratios 0 / 0 are 0. For AP, precision is interpolated linearly at recall 0, 0.01, ... 1, and is
    0 outside the range of recalls.

    Args:
        tables: counts ``(N, T, 4)``, N images (see :func:`boundary_counts`).
        thresholds: the T values.

    Raises:
        CongealError: there is no image, or the shapes do not match.

    Example:
        >>> boundary_scores([[[1, 2, 1, 1]]], [0.5]).ois.recall
        0.5
    """
    counts, values = np.asarray(tables, np.float64), np.asarray(boundary_thresholds(thresholds))
    if counts.ndim != 3 or counts.shape[1:] != (len(values), 4) or not len(counts):
        raise CongealError(
            f"expected counts of shape (N, {len(values)}, 4) with N >= 1, got {counts.shape}"
        )
    best = f_measure(*rates(counts)).argmax(axis=1)  # (N,)
    recall, precision = rates(counts[np.arange(len(counts)), best].sum(axis=0))
    ois = BoundaryPoint(
        float("nan"), float(recall), float(precision), float(f_measure(recall, precision))
    )
    curve = rates(counts.sum(axis=0))
    points = zip(values, *curve, f_measure(*curve), strict=True)
    return BoundaryScores(
        ods=_best(values, *curve),
        ois=ois,
        ap=_area(*curve),
        images=[_best(values, *rates(table)) for table in counts],
        curve=[BoundaryPoint(*(float(value) for value in point)) for point in points],
    )


def rates(counts: ArrayLike) -> tuple[Values, Values]:
    """Recall and precision of counts ``(..., 4)``; 0 for 0 / 0.

    Example:
        >>> [rate.tolist() for rate in rates([[1, 2, 3, 4], [0, 0, 0, 0]])]
        [[0.5, 0.0], [0.75, 0.0]]
    """
    counts = np.asarray(counts)
    recall = counts[..., 0] / np.maximum(counts[..., 1], 1)
    precision = counts[..., 2] / np.maximum(counts[..., 3], 1)
    return recall, precision


def f_measure(recall: ArrayLike, precision: ArrayLike) -> Values:
    """Harmonic mean of recall and precision; 0 if both are 0.

    Example:
        >>> f_measure([1.0, 0.0], [0.5, 0.0]).round(3).tolist()
        [0.667, 0.0]
    """
    recall, precision = np.asarray(recall), np.asarray(precision)
    total = recall + precision
    f: Values = 2 * precision * recall / np.where(total == 0, 1, total)
    return f


def _best(thresholds: Values, recall: Values, precision: Values) -> BoundaryPoint:
    """The point of largest F (the first in a tie), interpolated between thresholds."""
    weight = np.linspace(0, 1, 100)[None]

    def between(values: Values) -> Values:
        lines = values[1:, None] * weight + values[:-1, None] * (1 - weight)  # (T - 1, 100)
        return np.concatenate([values[:1], lines.ravel()])

    rates = between(recall), between(precision)
    f = f_measure(*rates)
    where = int(f.argmax())
    point = (between(thresholds)[where], rates[0][where], rates[1][where], f[where])
    return BoundaryPoint(*(float(value) for value in point))


def _area(recall: Values, precision: Values) -> float:
    distinct, last = np.unique(recall[::-1], return_index=True)
    if len(distinct) < 2:
        return 0.0
    grid = np.arange(101) / 100
    curve = np.interp(grid, distinct, precision[::-1][last], left=0, right=0)
    return float(0.01 * curve.sum())
