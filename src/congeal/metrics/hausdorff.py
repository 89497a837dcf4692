"""Distances between the surfaces of two masks: Hausdorff, its percentiles, averages, NSD.

Libraries agree on the Hausdorff distance of surfaces and differ on its 95th percentile; here
each definition has its own name:

- ``pooled``: percentile of the distances of both directions together (as MedPy);
- ``directed``: the larger of the percentiles of the two directions (as MONAI);
- ``contour``: as ``directed``, where the surface is the contour between pixel centres and each
  piece of it counts by its length (as surface-distance; two dimensions).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import binary_erosion, distance_transform_edt
from skimage.metrics import hausdorff_distance

from congeal.errors import CongealError

__all__ = ["SurfaceMetric", "SurfaceScores", "set_hausdorff", "surface_scores"]

Mask = NDArray[np.bool_]
Values = NDArray[np.float64]


@dataclass(frozen=True)
class SurfaceScores:
    """Distances between two surfaces, in the unit of the spacing.

    Attributes:
        hd: Hausdorff distance between surface pixels.
        hd_pooled: percentile of both directions together.
        hd_directed: larger percentile of the two directions.
        hd_contour: likewise along the contour, by length; NaN beyond two dimensions.
        assd: average symmetric surface distance, over the surface pixels of both.
        asd_pred: mean distance of predicted surface pixels to the true surface.
        asd_true: mean distance of true surface pixels to the predicted surface.
        nsd: normalised surface Dice: share of both contours, by length, within the tolerance;
            NaN beyond two dimensions.
        nsd_pixels: the same share of surface pixels, in any number of dimensions.

    Example:
        >>> surface_scores(prediction=[[True, True]], truth=[[True, True]]).hd
        0.0
    """

    hd: float
    hd_pooled: float
    hd_directed: float
    hd_contour: float
    assd: float
    asd_pred: float
    asd_true: float
    nsd: float
    nsd_pixels: float


class SurfaceMetric:
    """Average surface scores over pairs of masks.

    Distances are averaged over the pairs where they are finite: ``one_empty`` counts the
    others, in which exactly one mask is empty. NSD is averaged over all pairs.

    Args:
        tolerance: as in :func:`surface_scores`.
        percentile: likewise.

    Example:
        >>> metric = SurfaceMetric()
        >>> _ = metric.update(prediction=[[False, True]], truth=[[True, False]])
        >>> metric.compute()["hd"]
        1.0
    """

    def __init__(self, tolerance: float = 1.0, percentile: float = 95.0) -> None:
        self.tolerance, self.percentile = _check_settings(tolerance, percentile)
        self.pairs = 0
        self.one_empty = 0
        self._sums = np.zeros(len(fields(SurfaceScores)))
        self._known = np.zeros(len(self._sums), np.int64)

    def update(
        self,
        *,
        prediction: ArrayLike,
        truth: ArrayLike,
        spacing: Sequence[float] | None = None,
        void: ArrayLike | None = None,
    ) -> SurfaceScores:
        """Add one pair of masks; give its own scores (see :func:`surface_scores`)."""
        found = surface_scores(
            prediction=prediction,
            truth=truth,
            tolerance=self.tolerance,
            percentile=self.percentile,
            spacing=spacing,
            void=void,
        )
        values = np.array(list(asdict(found).values()))
        finite = np.isfinite(values)
        self.pairs += 1
        self.one_empty += math.isinf(found.hd)
        self._sums[finite] += values[finite]
        self._known += finite
        return found

    def merge(self, other: Self) -> Self:
        """Add all that another metric of the same settings has seen.

        Raises:
            CongealError: the settings differ.
        """
        ours, theirs = ((m.tolerance, m.percentile) for m in (self, other))
        if ours != theirs:
            raise CongealError(f"expected a metric of the same settings {ours}, got {theirs}")
        self.pairs += other.pairs
        self.one_empty += other.one_empty
        self._sums += other._sums
        self._known += other._known
        return self

    def compute(self) -> dict[str, float]:
        """Give the mean of each field of :class:`SurfaceScores`, ``pairs`` and ``one_empty``.

        A mean over nothing is NaN: no distance is a good one.

        Example:
            >>> SurfaceMetric().compute()["pairs"]
            0
        """
        means = np.where(self._known > 0, self._sums / np.maximum(self._known, 1), np.nan)
        names = [field.name for field in fields(SurfaceScores)]
        counts = {"pairs": self.pairs, "one_empty": self.one_empty}
        return {**dict(zip(names, means.tolist(), strict=True)), **counts}


def surface_scores(
    *,
    prediction: ArrayLike,
    truth: ArrayLike,
    tolerance: float = 1.0,
    percentile: float = 95.0,
    spacing: Sequence[float] | None = None,
    void: ArrayLike | None = None,
) -> SurfaceScores:
    """Measure how far the surfaces of two masks lie apart.

    Surface pixels are those with a neighbour, face to face, outside the mask; beyond the image
    is outside. Two empty masks are 0 apart with an NSD of 1; where one is empty, distances are
    infinite and NSD is 0.

    Args:
        prediction: booleans of the same shape.
        truth: booleans of any number of dimensions.
        tolerance: distance within which a surface counts as right for NSD.
        percentile: 0 to 100, for ``hd_pooled``, ``hd_directed`` and ``hd_contour``.
        spacing: size of a pixel along each axis, 1 when None.
        void: booleans of the same shape; such pixels are outside both masks.

    Raises:
        CongealError: the masks are not boolean and of the same size, the spacing does not fit, the
            tolerance is negative or NaN, or the percentile is outside 0 to 100.

    Source:
        Nikolov et al., Deep learning to achieve clinically applicable segmentation of head and
        neck anatomy, 2018 (NSD); Maier-Hein, Reinke et al., Metrics Reloaded, 2024.

    Example:
        >>> true, pred = np.zeros((2, 9, 9), bool)
        >>> true[2:5, 2:5] = pred[2:5, 3:6] = True
        >>> found = surface_scores(prediction=pred, truth=true)
        >>> found.hd, found.nsd
        (1.0, 1.0)
    """
    tolerance, percentile = _check_settings(tolerance, percentile)
    true, pred, steps = _check_masks(truth, prediction, spacing, void)
    if not (true.any() and pred.any()):
        same = true.any() == pred.any()
        far = 0.0 if same else math.inf
        return SurfaceScores(*[far] * 7, *[float(same)] * 2)
    to_pred, to_true = _both_ways(_surface(true), _surface(pred), steps)
    pooled = np.concatenate([to_pred, to_true])
    hd_contour, nsd = _along_contours(true, pred, steps, tolerance, percentile)
    return SurfaceScores(
        hd=float(pooled.max()),
        hd_pooled=float(np.percentile(pooled, percentile)),
        hd_directed=float(max(np.percentile(way, percentile) for way in (to_pred, to_true))),
        hd_contour=hd_contour,
        assd=float(pooled.mean()),
        asd_pred=float(to_true.mean()),
        asd_true=float(to_pred.mean()),
        nsd=nsd,
        nsd_pixels=float((pooled <= tolerance).mean()),
    )


def set_hausdorff(*, prediction: ArrayLike, truth: ArrayLike) -> float:
    """Give the Hausdorff distance of all pixels of the masks, as scikit-image has it.

    It differs from that of the surfaces where one mask lies inside the other. Two empty masks
    are 0 apart, one empty mask is infinitely far.

    Args:
        prediction: booleans of the same shape.
        truth: booleans of any number of dimensions.

    Raises:
        CongealError: the masks are not boolean and of the same size.

    Example:
        >>> set_hausdorff(prediction=[[False, False, True]], truth=[[True, False, False]])
        2.0
    """
    true, pred, _ = _check_masks(truth, prediction, None, None)
    return float(hausdorff_distance(true, pred))


def _surface(mask: Mask) -> Mask:
    surface: Mask = mask & ~binary_erosion(mask)
    return surface


def _both_ways(true: Mask, pred: Mask, spacing: Sequence[float]) -> tuple[Values, Values]:
    """Give the distance of each true place to the nearest predicted one, and the reverse."""
    to_pred = distance_transform_edt(~pred, spacing)[true]
    to_true = distance_transform_edt(~true, spacing)[pred]
    return to_pred, to_true


def _along_contours(
    true: Mask, pred: Mask, spacing: Sequence[float], tolerance: float, percentile: float
) -> tuple[float, float]:
    """Give the larger percentile of both directions and NSD, both by length of contour."""
    if true.ndim != 2:
        return math.nan, math.nan
    lengths = _contour_lengths(true, spacing), _contour_lengths(pred, spacing)
    places = lengths[0] > 0, lengths[1] > 0
    ways = _both_ways(*places, spacing)
    weights = [length[place] for length, place in zip(lengths, places, strict=True)]
    parts = list(zip(ways, weights, strict=True))
    far = max(_weighted_percentile(way, weight, percentile) for way, weight in parts)
    near = sum(float(weight[way <= tolerance].sum()) for way, weight in parts)
    return far, near / sum(float(weight.sum()) for weight in weights)


def _contour_lengths(mask: Mask, spacing: Sequence[float]) -> Values:
    """Length of the contour within each block of 2 x 2 pixels, ``(H + 1, W + 1)``.

    Where one pixel of a block differs from the three others, the contour cuts the corner between
    the middles of two sides; two pixels side by side are parted by a straight piece, two across
    by two corners.
    """
    padded = np.pad(mask, 1)
    a, b, c, d = padded[:-1, :-1], padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    high, wide = spacing
    corner = math.hypot(high, wide) / 2
    inside = a.astype(int) + b + c + d
    lengths = np.zeros(inside.shape)
    lengths[(inside == 1) | (inside == 3)] = corner
    lengths[(inside == 2) & (a == d)] = 2 * corner
    lengths[(inside == 2) & (a == b)] = wide
    lengths[(inside == 2) & (a == c)] = high
    return lengths


def _weighted_percentile(values: Values, weights: Values, percentile: float) -> float:
    """Give the first value at which the share of weight reaches the percentile."""
    order = np.argsort(values)
    share = np.cumsum(weights[order]) / weights.sum()
    where = min(int(np.searchsorted(share, percentile / 100)), len(values) - 1)
    return float(values[order[where]])


def _check_settings(tolerance: float, percentile: float) -> tuple[float, float]:
    if not tolerance >= 0:  # NaN fails too
        raise CongealError(f"expected a tolerance of at least 0, got {tolerance}")
    if not 0 <= percentile <= 100:
        raise CongealError(f"expected a percentile of 0 to 100, got {percentile}")
    return float(tolerance), float(percentile)


def _check_masks(
    true: ArrayLike, pred: ArrayLike, spacing: Sequence[float] | None, void: ArrayLike | None
) -> tuple[Mask, Mask, tuple[float, ...]]:
    truth, guess = np.asarray(true), np.asarray(pred)
    hidden = np.zeros(truth.shape, np.bool_) if void is None else np.asarray(void)
    for mask in (truth, guess, hidden):
        if mask.dtype != np.bool_ or mask.shape != truth.shape or not mask.ndim:
            raise CongealError(
                f"expected boolean masks of the same size, got {mask.dtype} of shape {mask.shape} "
                f"beside {truth.shape}"
            )
    steps = (1.0,) * truth.ndim if spacing is None else tuple(float(s) for s in spacing)
    if len(steps) != truth.ndim or not all(0 < step < math.inf for step in steps):
        raise CongealError(f"expected {truth.ndim} positive spacings, got {spacing}")
    return truth & ~hidden, guess & ~hidden, steps
