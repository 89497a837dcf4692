"""Boundary metrics: boundary F and region J of DAVIS, Boundary IoU, contour F1."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import binary_erosion, distance_transform_edt

from congeal.errors import CongealError
from congeal.labels import VOID, boundaries, check_labels
from congeal.metrics.boundary_matching import corner_boundaries
from congeal.metrics.metric import means, ratio

__all__ = [
    "BoundaryIouMetric",
    "ContourF1Metric",
    "DavisMetric",
    "boundary_band",
    "boundary_f",
    "boundary_iou",
    "contour_f1",
    "region_j",
]

Mask = NDArray[np.bool_]
Labels = NDArray[np.int64]


def boundary_f(
    *, prediction: ArrayLike, truth: ArrayLike, bound: float = 0.008, void: ArrayLike | None = None
) -> float:
    """Compute the boundary F of the DAVIS benchmark for one object.

    A boundary pixel of one mask is correct if a boundary pixel of the other mask lies within
    ``bound``. F is the harmonic mean of precision and recall; 1 if neither mask has boundary
    pixels, 0 if only one has.

    Args:
        prediction: predicted mask, booleans ``(H, W)``.
        truth: ground-truth mask, booleans ``(H, W)``.
        bound: distance tolerance; below 1 a fraction of the image diagonal (rounded up to pixels),
            otherwise in pixels.
        void: booleans ``(H, W)``; void pixels are removed from both masks.

    Raises:
        CongealError: masks are not boolean or differ in size, or the bound is not positive.

    Source:
        Perazzi et al., A benchmark dataset and evaluation methodology for video object
        segmentation, CVPR 2016, section 5.

    Example:
        >>> mask = np.zeros((50, 50), bool)
        >>> mask[10:20, 10:20] = True
        >>> boundary_f(prediction=np.roll(mask, 1, 0), truth=mask)
        1.0
    """
    if not (math.isfinite(bound) and bound > 0):
        raise CongealError(f"expected a positive bound, got {bound}")
    true, pred = _masks(truth, prediction, void)
    pixels = bound if bound >= 1 else math.ceil(bound * math.hypot(*true.shape))
    edges = corner_boundaries(true), corner_boundaries(pred)
    if not (edges[0].any() and edges[1].any()):
        return float(edges[0].any() == edges[1].any())
    recall, precision = (float((near <= pixels).mean()) for near in _distances(*edges))
    return _f1(precision, recall)


def region_j(*, prediction: ArrayLike, truth: ArrayLike, void: ArrayLike | None = None) -> float:
    """Compute the region score J of the DAVIS benchmark: IoU, 1 for two empty masks.

    Args:
        prediction: predicted mask, booleans ``(H, W)``.
        truth: ground-truth mask, booleans ``(H, W)``.
        void: booleans ``(H, W)``; void pixels are removed from both masks.

    Raises:
        CongealError: masks are not boolean or differ in size.

    Example:
        >>> region_j(prediction=[[True, False]], truth=[[True, True]])
        0.5
    """
    true, pred = _masks(truth, prediction, void)
    union = int((true | pred).sum())
    return int((true & pred).sum()) / union if union else 1.0


def boundary_band(mask: ArrayLike, width: float = 0.02) -> Mask:
    """Mark the pixels of a mask within a chessboard distance of its outside.

    Pixels beyond the image count as outside.

    Args:
        mask: the mask, booleans ``(H, W)``.
        width: fraction of the image diagonal, rounded to pixels, at least 1 pixel.

    Raises:
        CongealError: the mask is not boolean ``(H, W)``, or the width is not positive.

    Source:
        Cheng, Girshick, Dollar, Berg, Kirillov, Boundary IoU, CVPR 2021.

    Example:
        >>> boundary_band(np.ones((3, 4), bool)).sum()
        np.int64(10)
    """
    inside, _ = _masks(mask, mask, None)
    if not (math.isfinite(width) and width > 0):
        raise CongealError(f"expected a positive width, got {width}")
    steps = max(round(width * math.hypot(*inside.shape)), 1)
    core = binary_erosion(inside, np.ones((3, 3), bool), iterations=steps)
    band: Mask = inside & ~core
    return band


def boundary_iou(*, prediction: ArrayLike, truth: ArrayLike, width: float = 0.02) -> float:
    """Compute Boundary IoU: the IoU of the boundary bands of both masks.

    Args:
        prediction: predicted mask, booleans ``(H, W)``.
        truth: ground-truth mask, booleans ``(H, W)``.
        width: of the band, as in :func:`boundary_band`.

    Returns:
        0 to 1; NaN if both masks are empty.

    Raises:
        CongealError: masks are not boolean or differ in size, or the width is not positive.

    Source:
        Cheng, Girshick, Dollar, Berg, Kirillov, Boundary IoU, CVPR 2021, section 4.

    Example:
        >>> mask = np.ones((9, 9), bool)
        >>> boundary_iou(prediction=mask, truth=mask)
        1.0
    """
    true, pred = _masks(truth, prediction, None)
    bands = boundary_band(true, width), boundary_band(pred, width)
    union = int((bands[0] | bands[1]).sum())
    return int((bands[0] & bands[1]).sum()) / union if union else float("nan")


def contour_f1(
    *,
    prediction: ArrayLike,
    truth: ArrayLike,
    thresholds: Sequence[float] = (1, 5, 10),
    background: bool = True,
) -> dict[int, list[float]]:
    """Compute the contour F1 of each class of one image.

    The contour of a class consists of its pixels with a 4-neighbour of another class, except void
    and the image border. Precision is the fraction of predicted contour pixels closer than the
    threshold to the true contour; recall is the reverse (the recall printed in the paper, equal to
    1 - precision, is a typo). F1 is 0 if only one map has a contour of the class; a ground-truth
    class without contour in either map is ignored.

    Args:
        prediction: predicted semantic map ``(H, W)``; pixels in void are ignored.
        truth: ground-truth semantic map ``(H, W)``, -1 void.
        thresholds: distances in pixels; at 1 only coinciding pixels match.
        background: whether class 0 is scored.

    Returns:
        F1 at each threshold, by ground-truth class.

    Raises:
        CongealError: an argument is not a label map ``(H, W)``, the shapes differ, or a threshold
            is not positive.

    Source:
        Csurka, Larlus, Perronnin, What is a good evaluation measure for semantic segmentation?,
        BMVC 2013; DVIS (Yuan et al. 2021), table 8.

    Example:
        >>> true = np.repeat([[0, 0, 0, 1, 1, 1]], 4, axis=0)
        >>> contour_f1(
        ...     prediction=np.roll(true, 1, axis=1)[:, :] * (true >= 0),
        ...     truth=true,
        ...     thresholds=(1, 2),
        ... )[1]
        [0.0, 0.6666666666666666]
    """
    true, pred = check_labels(truth, "truth"), check_labels(prediction, "prediction")
    if true.shape != pred.shape or true.ndim != 2:
        raise CongealError(
            f"expected truth and prediction (H, W) of the same size, got {true.shape}, {pred.shape}"
        )
    limits = np.asarray(thresholds, np.float64)
    if limits.ndim != 1 or not (limits > 0).all():
        raise CongealError(f"expected positive thresholds, got {thresholds}")
    pred = np.where(true == VOID, VOID, pred)
    edges = boundaries(true, "thick"), boundaries(pred, "thick")
    scores = {}
    for name in np.unique(true[true >= (0 if background else 1)]).tolist():
        contours = edges[0] & (true == name), edges[1] & (pred == name)
        if contours[0].any() or contours[1].any():
            scores[name] = [_contour_f1(*_distances(*contours), limit) for limit in limits]
    return scores


class DavisMetric:
    """Region J, boundary F and their mean, averaged over objects as in DAVIS.

    Args:
        bound: as in :func:`boundary_f`.

    Example:
        >>> metric = DavisMetric()
        >>> metric.update(prediction=[[True]], truth=[[True]])
        (1.0, 1.0)
        >>> metric.compute()["j_and_f"]
        1.0
    """

    def __init__(self, bound: float = 0.008) -> None:
        self.bound = bound
        self.objects = 0
        self._sums = np.zeros(2)

    def update(
        self, *, prediction: ArrayLike, truth: ArrayLike, void: ArrayLike | None = None
    ) -> tuple[float, float]:
        """Add the masks of one object; return its J and F."""
        found = (
            region_j(prediction=prediction, truth=truth, void=void),
            boundary_f(prediction=prediction, truth=truth, bound=self.bound, void=void),
        )
        self.objects += 1
        self._sums += found
        return found

    def merge(self, other: Self) -> Self:
        """Add the counts of another metric with the same bound."""
        _check_same(self.bound, other.bound)
        self.objects += other.objects
        self._sums += other._sums
        return self

    def compute(self) -> dict[str, float]:
        """Return ``j``, ``f``, ``j_and_f`` and ``objects``; NaN without images."""
        j, f = means(self._sums, self.objects)
        return {"j": j, "f": f, "j_and_f": (j + f) / 2, "objects": self.objects}


class BoundaryIouMetric:
    """Boundary IoU averaged over pairs of masks; pairs of empty masks are ignored.

    Args:
        width: as in :func:`boundary_iou`.

    Example:
        >>> metric = BoundaryIouMetric()
        >>> metric.update(prediction=[[True]], truth=[[True]])
        1.0
        >>> metric.compute()
        {'boundary_iou': 1.0, 'objects': 1}
    """

    def __init__(self, width: float = 0.02) -> None:
        self.width = width
        self.objects = 0
        self._sum = 0.0

    def update(self, *, prediction: ArrayLike, truth: ArrayLike) -> float:
        """Add a pair of masks; return its score."""
        found = boundary_iou(prediction=prediction, truth=truth, width=self.width)
        if not math.isnan(found):
            self.objects += 1
            self._sum += found
        return found

    def merge(self, other: Self) -> Self:
        """Add the counts of another metric with the same width."""
        _check_same(self.width, other.width)
        self.objects += other.objects
        self._sum += other._sum
        return self

    def compute(self) -> dict[str, float]:
        """Return ``boundary_iou`` and ``objects``; NaN without images."""
        return {"boundary_iou": ratio(self._sum, self.objects), "objects": self.objects}


class ContourF1Metric:
    """Contour F1, averaged over the classes of an image, then over images with contours.

    Args:
        thresholds: as in :func:`contour_f1`.
        background: likewise.

    Example:
        >>> metric = ContourF1Metric((2,))
        >>> _ = metric.update(prediction=[[0, 1]], truth=[[0, 1]])
        >>> metric.compute()
        {'contour_f1@2': 1.0, 'images': 1}
    """

    def __init__(self, thresholds: Sequence[float] = (1, 5, 10), background: bool = True) -> None:
        self.thresholds = tuple(float(value) for value in thresholds)
        self.background = background
        self.images = 0
        self._sums = np.zeros(len(self.thresholds))

    def update(self, *, prediction: ArrayLike, truth: ArrayLike) -> dict[int, list[float]]:
        """Add one image; return the F1 of its classes (see :func:`contour_f1`)."""
        found = contour_f1(
            prediction=prediction,
            truth=truth,
            thresholds=self.thresholds,
            background=self.background,
        )
        if found:
            self.images += 1
            self._sums += np.mean(list(found.values()), axis=0)
        return found

    def merge(self, other: Self) -> Self:
        """Add the counts of another metric with the same settings."""
        _check_same(*((m.thresholds, m.background) for m in (self, other)))
        self.images += other.images
        self._sums += other._sums
        return self

    def compute(self) -> dict[str, float]:
        """Return the means, such as ``contour_f1@5``, and ``images``; NaN without images."""
        named = zip(self.thresholds, means(self._sums, self.images), strict=True)
        return {f"contour_f1@{limit:g}": mean for limit, mean in named} | {"images": self.images}


def _distances(true: Mask, pred: Mask) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distance of each marked pixel to the nearest one of the other map, in both directions."""
    return _to_nearest(true, pred), _to_nearest(pred, true)


def _to_nearest(mask: Mask, other: Mask) -> NDArray[np.float64]:
    if not other.any():
        return np.full(int(mask.sum()), np.inf)
    distances: NDArray[np.float64] = distance_transform_edt(~other)[mask]
    return distances


def _contour_f1(to_pred: NDArray[np.float64], to_true: NDArray[np.float64], limit: float) -> float:
    if not (len(to_pred) and len(to_true)):
        return 0.0
    return _f1(float((to_true < limit).mean()), float((to_pred < limit).mean()))


def _f1(precision: float, recall: float) -> float:
    total = precision + recall
    return 2 * precision * recall / total if total else 0.0


def _masks(true: ArrayLike, pred: ArrayLike, void: ArrayLike | None) -> tuple[Mask, Mask]:
    truth, prediction = np.asarray(true), np.asarray(pred)
    excluded = np.zeros(truth.shape, np.bool_) if void is None else np.asarray(void)
    for mask in (truth, prediction, excluded):
        if mask.dtype != np.bool_ or mask.ndim != 2 or mask.shape != truth.shape:
            raise CongealError(
                f"expected boolean masks (H, W) of the same size, got {mask.dtype} of shape "
                f"{mask.shape} and {truth.shape}"
            )
    return truth & ~excluded, prediction & ~excluded


def _check_same(ours: object, theirs: object) -> None:
    if ours != theirs:
        raise CongealError(f"expected a metric of the same settings {ours}, got {theirs}")
