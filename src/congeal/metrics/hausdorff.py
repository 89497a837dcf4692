"""Surface distances of two masks: Hausdorff distance, percentiles, averages, NSD.

Libraries agree on the Hausdorff distance of surfaces and differ in its 95th percentile. Three
definitions are given here:

- ``pooled``: percentile of the distances of both directions together (as MedPy);
- ``directed``: the larger of the percentiles of the two directions (as MONAI);
- ``contour``: as ``directed``, with the surface as the contour between pixel centres, weighted by
  its length (as surface-distance; 2-D only).
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
        hd_contour: the same along the contour, weighted by length; NaN beyond 2-D.
        assd: average symmetric surface distance, over the surface pixels of both.
        asd_pred: mean distance of predicted surface pixels to the true surface.
        asd_true: mean distance of true surface pixels to the predicted surface.
        nsd: normalised surface Dice: fraction of both contours, by length, within the tolerance;
            NaN beyond two dimensions.
        nsd_pixels: fraction of surface pixels within the tolerance, in any number of dimensions.

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
    """Surface scores averaged over pairs of masks.

    Distances are averaged over pairs with finite distance; ``one_empty`` counts the other pairs, in
    which exactly one mask is empty. NSD is averaged over all pairs.

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
        """Add a pair of masks; return its scores (see :func:`surface_scores`)."""
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
        """Add the counts of another metric with the same settings.

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
        """Return the mean of each field of :class:`SurfaceScores`, ``pairs`` and ``one_empty``.

        A mean over no pairs is NaN.

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
    """Compute the distances between the surfaces of two masks.

    Surface pixels are those with a face-connected neighbour outside the mask or the image. For two
    empty masks distances are 0 and NSD is 1; if one is empty, distances are infinite and NSD is 0.

    Args:
        prediction: predicted mask, booleans.
        truth: ground-truth mask, booleans of the same shape, in any number of dimensions.
        tolerance: distance within which a surface is correct, for NSD.
        percentile: 0 to 100, for ``hd_pooled``, ``hd_directed`` and ``hd_contour``.
        spacing: size of a pixel along each axis; None: 1.
        void: booleans of the same shape; void pixels are removed from both masks.

    Raises:
        CongealError: masks are not boolean or differ in size, the spacing does not match, the
            tolerance is negative or NaN, or the percentile is outside [0, 100].

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
        both_empty = true.any() == pred.any()
        distance = 0.0 if both_empty else math.inf
        return SurfaceScores(*[distance] * 7, *[float(both_empty)] * 2)
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
    """Hausdorff distance of all pixels of two masks, as in scikit-image.

    It differs from the distance of the surfaces if one mask lies inside the other. It is 0 for two
    empty masks, and infinite if one is empty.

    Args:
        prediction: predicted mask, booleans.
        truth: ground-truth mask, booleans of the same shape, in any number of dimensions.

    Raises:
        CongealError: masks are not boolean or differ in size.

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
    """Distance of each true surface pixel to the nearest predicted one, and vice versa."""
    to_pred = distance_transform_edt(~pred, spacing)[true]
    to_true = distance_transform_edt(~true, spacing)[pred]
    return to_pred, to_true


def _along_contours(
    true: Mask, pred: Mask, spacing: Sequence[float], tolerance: float, percentile: float
) -> tuple[float, float]:
    """The larger percentile of both directions, and NSD, both weighted by contour length."""
    if true.ndim != 2:
        return math.nan, math.nan
    lengths = _contour_lengths(true, spacing), _contour_lengths(pred, spacing)
    occupied = lengths[0] > 0, lengths[1] > 0
    distances = _both_ways(*occupied, spacing)
    weights = [length[inside] for length, inside in zip(lengths, occupied, strict=True)]
    pairs = list(zip(distances, weights, strict=True))
    largest = max(_weighted_percentile(d, weight, percentile) for d, weight in pairs)
    within = sum(float(weight[d <= tolerance].sum()) for d, weight in pairs)
    return largest, within / sum(float(weight.sum()) for weight in weights)


def _contour_lengths(mask: Mask, spacing: Sequence[float]) -> Values:
    """Contour length within each block of 2 x 2 pixels, ``(H + 1, W + 1)`` (marching squares).

    If one pixel differs from the three others, the contour cuts a corner, between the midpoints of
    two sides. Two adjacent pixels give a straight segment, two diagonal ones two corners.
    """
    padded = np.pad(mask, 1)
    a, b, c, d = padded[:-1, :-1], padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    height, width = spacing
    corner = math.hypot(height, width) / 2
    inside = a.astype(int) + b + c + d
    lengths = np.zeros(inside.shape)
    lengths[(inside == 1) | (inside == 3)] = corner
    lengths[(inside == 2) & (a == d)] = 2 * corner
    lengths[(inside == 2) & (a == b)] = width
    lengths[(inside == 2) & (a == c)] = height
    return lengths


def _weighted_percentile(values: Values, weights: Values, percentile: float) -> float:
    """The smallest value at which the cumulative weight reaches the percentile."""
    order = np.argsort(values)
    cumulative = np.cumsum(weights[order]) / weights.sum()
    where = min(int(np.searchsorted(cumulative, percentile / 100)), len(values) - 1)
    return float(values[order[where]])


def _check_settings(tolerance: float, percentile: float) -> tuple[float, float]:
    if not tolerance >= 0:  # also rejects NaN
        raise CongealError(f"expected a tolerance of at least 0, got {tolerance}")
    if not 0 <= percentile <= 100:
        raise CongealError(f"expected a percentile of 0 to 100, got {percentile}")
    return float(tolerance), float(percentile)


def _check_masks(
    true: ArrayLike, pred: ArrayLike, spacing: Sequence[float] | None, void: ArrayLike | None
) -> tuple[Mask, Mask, tuple[float, ...]]:
    truth, prediction = np.asarray(true), np.asarray(pred)
    excluded = np.zeros(truth.shape, np.bool_) if void is None else np.asarray(void)
    for mask in (truth, prediction, excluded):
        if mask.dtype != np.bool_ or mask.shape != truth.shape or not mask.ndim:
            raise CongealError(
                f"expected boolean masks of the same size, got {mask.dtype} of shape {mask.shape} "
                f"and {truth.shape}"
            )
    steps = (1.0,) * truth.ndim if spacing is None else tuple(float(s) for s in spacing)
    if len(steps) != truth.ndim or not all(0 < step < math.inf for step in steps):
        raise CongealError(f"expected {truth.ndim} positive spacings, got {spacing}")
    return truth & ~excluded, prediction & ~excluded, steps
