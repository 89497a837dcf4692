"""Curves of recall and precision from counts of boundary pixels, and the points read off them.

The reading of the Berkeley benchmark (BSDS500): ODS, OIS and the area under the curve.
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
"""Thresholds of the official benchmark; fewer are a quick estimate."""

Values = NDArray[np.float64]


@dataclass(frozen=True)
class BoundaryPoint:
    """A point of a curve: threshold, recall, precision and their harmonic mean F.

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
    """What count tables of many images amount to.

    Attributes:
        ods: the best point of the pooled curve.
        ois: the pooled point where each image has its own threshold (``threshold`` is NaN).
        ap: area under the pooled curve, 0 to 1.
        images: the best point of each image.
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
    """Give thresholds evenly inside 0 to 1, both ends left out, or check given ones.

    Raises:
        CongealError: there are none, or they are not ascending numbers.

    Example:
        >>> boundary_thresholds(3)
        (0.25, 0.5, 0.75)
    """
    if isinstance(thresholds, int):
        # In this order of operations, since strengths of 8 bits meet some of the values exactly.
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
    """Score tables of counts: between neighbouring thresholds a hundred points are interpolated.

    A rate with nothing below it is 0. For AP, precision is interpolated linearly at recall 0,
    0.01, ... 1 and is 0 outside the recalls that occur.

    Args:
        tables: counts ``(N, T, 4)``, N images (see :func:`boundary_counts`).
        thresholds: the T values.

    Raises:
        CongealError: there is no image, or the shapes do not fit.

    Example:
        >>> boundary_scores([[[1, 2, 1, 1]]], [0.5]).ois.recall
        0.5
    """
    counts, values = np.asarray(tables, np.float64), np.asarray(boundary_thresholds(thresholds))
    if counts.ndim != 3 or counts.shape[1:] != (len(values), 4) or not len(counts):
        raise CongealError(
            f"expected counts of shape (N, {len(values)}, 4) with N >= 1, got {counts.shape}"
        )
    own = f_measure(*rates(counts)).argmax(axis=1)  # (N,)
    recall, precision = rates(counts[np.arange(len(counts)), own].sum(axis=0))
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
    """Give recall and precision of counts ``(..., 4)``, 0 where nothing is below.

    Example:
        >>> [rate.tolist() for rate in rates([[1, 2, 3, 4], [0, 0, 0, 0]])]
        [[0.5, 0.0], [0.75, 0.0]]
    """
    counts = np.asarray(counts)
    recall = counts[..., 0] / np.maximum(counts[..., 1], 1)
    precision = counts[..., 2] / np.maximum(counts[..., 3], 1)
    return recall, precision


def f_measure(recall: ArrayLike, precision: ArrayLike) -> Values:
    """Give the harmonic mean of recall and precision, 0 where both are 0.

    Example:
        >>> f_measure([1.0, 0.0], [0.5, 0.0]).round(3).tolist()
        [0.667, 0.0]
    """
    recall, precision = np.asarray(recall), np.asarray(precision)
    both = recall + precision
    f: Values = 2 * precision * recall / np.where(both == 0, 1, both)
    return f


def _best(thresholds: Values, recall: Values, precision: Values) -> BoundaryPoint:
    """Find the point of largest F, the first of equal ones, on lines between neighbours."""
    share = np.linspace(0, 1, 100)[None]

    def between(values: Values) -> Values:
        lines = values[1:, None] * share + values[:-1, None] * (1 - share)  # (T - 1, 100)
        return np.concatenate([values[:1], lines.ravel()])

    rates = between(recall), between(precision)
    f = f_measure(*rates)
    where = int(f.argmax())
    point = (between(thresholds)[where], rates[0][where], rates[1][where], f[where])
    return BoundaryPoint(*(float(value) for value in point))


def _area(recall: Values, precision: Values) -> float:
    known, last = np.unique(recall[::-1], return_index=True)
    if len(known) < 2:
        return 0.0
    at = np.arange(101) / 100
    curve = np.interp(at, known, precision[::-1][last], left=0, right=0)
    return float(0.01 * curve.sum())
