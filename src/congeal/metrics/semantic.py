"""Semantic segmentation scores: confusion matrix, mean IoU, and mean IoU near boundaries.

The protocol is that of PASCAL VOC (Everingham et al. 2010): IoU = TP / (TP + FP + FN) per class,
with counts pooled over the dataset and void pixels of the ground truth ignored. A class in neither
map of any image has no IoU: the mean over classes either excludes it (``miou``) or counts it as 0
(``miou_absent_zero``, as in the code of MaskContrast).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from congeal.errors import CongealError, unknown
from congeal.labels import VOID, check_labels
from congeal.metrics.metric import ratio, require_image

__all__ = [
    "ABSENT",
    "TRIMAP_WIDTHS",
    "SemanticMetric",
    "TrimapMetric",
    "class_iou",
    "confusion_matrix",
    "mean_iou",
    "void_distance",
]

ABSENT = ("skip", "zero")
TRIMAP_WIDTHS = tuple(range(1, 41))

Counts = NDArray[np.int64]
Scores = NDArray[np.float64]


class SemanticMetric:
    """Semantic scores of the confusion matrix pooled over images.

    Args:
        classes: number of classes; ids are 0 to ``classes - 1``, background among them.

    Raises:
        CongealError: there is no class.

    Example:
        >>> metric = SemanticMetric(classes=3)
        >>> _ = metric.update(prediction=[[0, 1, 1, 1]], truth=[[0, 0, 1, -1]])
        >>> scores = metric.compute()
        >>> scores["miou"], round(scores["miou_absent_zero"], 4)
        (0.5, 0.3333)
    """

    def __init__(self, classes: int) -> None:
        self.classes = _check_classes(classes)
        self.images = 0
        self.confusion: Counts = np.zeros((classes, classes + 1), np.int64)

    def update(self, *, prediction: ArrayLike, truth: ArrayLike) -> Counts:
        """Add one image, semantic maps of one shape; give its own confusion matrix.

        Raises:
            CongealError: an argument is no map of these classes, shapes differ, or it is a batch.

        Example:
            >>> SemanticMetric(2).update(prediction=[[0, 0]], truth=[[0, 1]])
            array([[1, 0, 0],
                   [1, 0, 0]])
        """
        require_image(truth)
        found = confusion_matrix(prediction=prediction, truth=truth, classes=self.classes)
        self.images += 1
        self.confusion += found
        return found

    def merge(self, other: SemanticMetric) -> SemanticMetric:
        """Add the counts of another metric with the same classes.

        Raises:
            CongealError: the numbers of classes differ.

        Example:
            >>> SemanticMetric(2).merge(SemanticMetric(2)).images
            0
        """
        _same("number of classes", self.classes, other.classes)
        self.images += other.images
        self.confusion += other.confusion
        return self

    def compute(self) -> dict[str, float]:
        """Return ``miou``, ``miou_absent_zero``, ``pixel_accuracy``, ``mean_accuracy``, ``iou/ID``.

        ``mean_accuracy`` is the mean recall over ground-truth classes. The IoU of a class in
        neither map is NaN; without pixels all scores are NaN.

        Example:
            >>> SemanticMetric(1).compute()["miou"]
            nan
        """
        values = enumerate(class_iou(self.confusion).tolist())
        ious = {f"iou/{label}": value for label, value in values}
        return {**_summary(self.confusion), **ious, "images": self.images}


class TrimapMetric:
    """Semantic scores within a band around void (object borders in PASCAL VOC), by band width.

    A band of width w holds the pixels within the square of side 2 w + 1 around a void pixel of
    the truth, void itself ignored; each width is scored as :class:`SemanticMetric` does.

    Args:
        classes: number of classes.
        widths: widths in pixels, ascending.

    Raises:
        CongealError: there is no class, or the widths are not ascending from 1 or more.

    Source:
        Kohli et al., Robust higher order potentials for enforcing label consistency, 2009; Chen
        et al., Semantic image segmentation with deep convolutional nets and fully connected
        CRFs, 2015.

    Example:
        >>> metric = TrimapMetric(classes=2, widths=(1, 2))
        >>> metric.update(prediction=[[0, 1, 0, 0, 1]], truth=[[0, 0, 0, -1, 1]])
        >>> metric.compute()["miou@1"], metric.compute()["pixel_accuracy@2"]
        (1.0, 0.6666666666666666)
    """

    def __init__(self, classes: int, widths: Sequence[int] = TRIMAP_WIDTHS) -> None:
        self.classes, self.widths = _check_classes(classes), tuple(int(width) for width in widths)
        if not self.widths or self.widths[0] < 1 or list(widths) != sorted(set(self.widths)):
            raise CongealError(f"expected ascending widths of at least 1, got {list(widths)}")
        self.images = 0
        # By ring: pixels beyond the previous width, up to this one.
        self._rings: Counts = np.zeros((len(self.widths), classes, classes + 1), np.int64)

    def update(self, *, prediction: ArrayLike, truth: ArrayLike) -> None:
        """Add one image, semantic maps of one shape.

        Raises:
            CongealError: an argument is no map of these classes, shapes differ, or it is a batch.

        Example:
            >>> metric = TrimapMetric(2, widths=(1,))
            >>> metric.update(prediction=[[0, 0]], truth=[[0, 1]])  # no void, so no band
            >>> metric.compute()["miou@1"]
            nan
        """
        require_image(truth)
        true, pred = _check_pair(truth, prediction, self.classes)
        ring = np.searchsorted(self.widths, void_distance(true))
        near = (true != VOID) & (ring < len(self.widths))
        self._rings += _count(ring[near], true[near], pred[near], self._rings.shape)
        self.images += 1

    def merge(self, other: TrimapMetric) -> TrimapMetric:
        """Add the counts of another metric with the same settings.

        Raises:
            CongealError: the numbers of classes or the widths differ.

        Example:
            >>> TrimapMetric(2).merge(TrimapMetric(2)).images
            0
        """
        _same("settings", (self.classes, self.widths), (other.classes, other.widths))
        self.images += other.images
        self._rings += other._rings
        return self

    def confusion(self) -> Counts:
        """Confusion matrix of each width, ``(W, C, C + 1)``.

        Example:
            >>> TrimapMetric(2, widths=(1, 3)).confusion().shape
            (2, 2, 3)
        """
        bands: Counts = self._rings.cumsum(axis=0)
        return bands

    def compute(self) -> dict[str, float]:
        """Return the scores of :class:`SemanticMetric` for each width, such as ``miou@3``.

        Example:
            >>> TrimapMetric(2, widths=(3,)).compute()["miou@3"]
            nan
        """
        scores: dict[str, float] = {}
        for width, confusion in zip(self.widths, self.confusion(), strict=True):
            scores |= {f"{name}@{width}": value for name, value in _summary(confusion).items()}
        return {**scores, "images": self.images}


def confusion_matrix(*, prediction: ArrayLike, truth: ArrayLike, classes: int) -> Counts:
    """Count pixels by ground-truth and predicted class.

    Args:
        prediction: predicted class ids; -1 (no class) is an error on any pixel.
        truth: ground-truth class ids in the same shape; void pixels (-1) are ignored.
        classes: number of classes C.

    Returns:
        Pixels of each true class (row) by predicted class, ``(C, C + 1)``; in the last column
        those without a predicted class.

    Raises:
        CongealError: an argument is not a map of these classes, shapes differ, or ``classes`` < 1.

    Example:
        >>> confusion_matrix(prediction=[[1, -1, 0]], truth=[[0, 1, -1]], classes=2)
        array([[0, 1, 0],
               [0, 0, 1]])
    """
    true, pred = _check_pair(truth, prediction, _check_classes(classes))
    known = true != VOID
    shape = (1, classes, classes + 1)
    counts: Counts = _count(np.zeros(1, np.int64), true[known], pred[known], shape)[0]
    return counts


def class_iou(confusion: ArrayLike) -> Scores:
    """Compute IoU = TP / (TP + FP + FN) of each class; NaN for a class in neither map.

    Args:
        confusion: pixels by true and predicted class, ``(C, C)`` or ``(C, C + 1)``.

    Returns:
        One value for each class, 0 to 1 or NaN, ``(C,)``.

    Example:
        >>> class_iou([[2, 1, 0], [0, 1, 0], [0, 0, 0]])
        array([0.66666667, 0.5       ,        nan])
    """
    counts = np.asarray(confusion, dtype=np.int64)
    right, missed = np.diagonal(counts), counts.sum(axis=1)
    return _ratios(right, missed + counts[:, : len(counts)].sum(axis=0) - right)


def mean_iou(confusion: ArrayLike, absent: str = "skip") -> float:
    """Average the IoU over the classes.

    Args:
        confusion: pixels by true and predicted class, ``(C, C)`` or ``(C, C + 1)``.
        absent: treatment of classes in neither map: ``"skip"`` excludes them, ``"zero"`` counts an
            IoU of 0. A class that is predicted but not in the ground truth always has an IoU of 0.

    Returns:
        The mean, 0 to 1; NaN without pixels.

    Raises:
        CongealError: the convention is unknown.

    Example:
        >>> mean_iou([[1, 0], [0, 0]]), mean_iou([[1, 0], [0, 0]], absent="zero")
        (1.0, 0.5)
    """
    if absent not in ABSENT:
        raise unknown("convention for absent classes", absent, ABSENT)
    values = class_iou(confusion)
    if absent == "zero" and not np.isnan(values).all():
        values = np.nan_to_num(values)
    return _nanmean(values)


def void_distance(truth: ArrayLike) -> Counts:
    """Chessboard distance of each pixel to the nearest void pixel.

    A pixel is in a trimap of width w if its distance is 1 to w.

    Args:
        truth: label map of any number of dimensions.

    Returns:
        Distances in pixels, 0 on void; the largest int64 if there is no void pixel.

    Raises:
        CongealError: the argument is not a label map.

    Example:
        >>> void_distance([[0, 0, -1, 3]])
        array([[2, 1, 0, 1]])
    """
    known = check_labels(truth, "truth") != VOID
    if known.all():
        return np.full(known.shape, np.iinfo(np.int64).max)
    distance: Counts = ndimage.distance_transform_cdt(known, metric="chessboard").astype(np.int64)
    return distance


def _summary(confusion: Counts) -> dict[str, float]:
    right, areas = np.diagonal(confusion), confusion.sum(axis=1)
    total = int(areas.sum())
    return {
        "miou": mean_iou(confusion, "skip"),
        "miou_absent_zero": mean_iou(confusion, "zero"),
        "pixel_accuracy": ratio(int(right.sum()), total),
        "mean_accuracy": _nanmean(_ratios(right, areas)),
    }


def _count(planes: Counts, truth: Counts, pred: Counts, shape: tuple[int, ...]) -> Counts:
    """Count (plane, true class, predicted class); predicted void goes to the last column."""
    rows, cols = shape[1:]
    codes = (planes * rows + truth) * cols + np.where(pred == VOID, cols - 1, pred)
    size = shape[0] * rows * cols
    return np.bincount(codes, minlength=size).astype(np.int64, copy=False).reshape(shape)


def _ratios(numerators: Counts, denominators: Counts) -> Scores:
    undefined = np.full(len(numerators), np.nan)
    ratios: Scores = np.divide(numerators, denominators, out=undefined, where=denominators > 0)
    return ratios


def _nanmean(values: Scores) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan


def _check_pair(true: ArrayLike, pred: ArrayLike, classes: int) -> tuple[Counts, Counts]:
    truth, prediction = check_labels(true, "ground truth"), check_labels(pred, "prediction")
    if truth.shape != prediction.shape:
        raise CongealError(
            "expected ground truth and prediction of the same shape, got "
            f"{truth.shape} and {prediction.shape}"
        )
    for name, values in (("ground truth", truth), ("prediction", prediction)):
        if values.size and values.max() >= classes:
            raise CongealError(
                f"expected classes up to {classes - 1} in the {name}, got {values.max()}"
            )
    return truth, prediction


def _check_classes(classes: int) -> int:
    if classes < 1:
        raise CongealError(f"expected at least one class, got {classes}")
    return classes


def _same(what: str, ours: object, theirs: object) -> None:
    if ours != theirs:
        raise CongealError(f"expected a metric of the same {what} {ours}, got {theirs}")
