"""Semantic segmentation: confusion matrix, mean IoU, and mean IoU near the boundaries.

The protocol of PASCAL VOC (Everingham et al. 2010): IoU = TP / (TP + FP + FN) of each class on the
counts of the whole data set, void pixels of the truth left out. A class that is in neither map of
any image has no IoU; the mean over the classes either skips it (``miou``) or counts it as 0
(``miou_absent_zero``, as MaskContrast's code does), and both are given.
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
    """Pool the confusion of classes over images and score it.

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
        """Add one image, maps of classes of one shape; give its own confusion matrix.

        Raises:
            CongealError: one is not a map of these classes, the shapes differ, or it is a batch.

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
        """Add all that another metric of the same classes has seen.

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
        """Give ``miou``, ``miou_absent_zero``, ``pixel_accuracy``, ``mean_accuracy``, ``iou/ID``.

        ``mean_accuracy`` is the mean over the classes of the truth of the share of their pixels
        that is right. A class without IoU has NaN, and so has all else where no pixel was seen.

        Example:
            >>> SemanticMetric(1).compute()["miou"]
            nan
        """
        values = enumerate(class_iou(self.confusion).tolist())
        ious = {f"iou/{label}": value for label, value in values}
        return {**_summary(self.confusion), **ious, "images": self.images}


class TrimapMetric:
    """Score pixels near void, the band between objects in PASCAL VOC, as a function of its width.

    A band of width w holds the pixels within the square of side 2 w + 1 around a void pixel of
    the truth, void itself left out; each width is scored as :class:`SemanticMetric` does.

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
        # Ring by ring: pixels beyond the width before and up to this one.
        self._rings: Counts = np.zeros((len(self.widths), classes, classes + 1), np.int64)

    def update(self, *, prediction: ArrayLike, truth: ArrayLike) -> None:
        """Add one image, maps of classes of one shape.

        Raises:
            CongealError: one is not a map of these classes, the shapes differ, or it is a batch.

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
        """Add all that another metric of the same settings has seen.

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
        """Give the confusion matrix of each width, ``(W, C, C + 1)``.

        Example:
            >>> TrimapMetric(2, widths=(1, 3)).confusion().shape
            (2, 2, 3)
        """
        bands: Counts = self._rings.cumsum(axis=0)
        return bands

    def compute(self) -> dict[str, float]:
        """Give the scores of :class:`SemanticMetric` for each width, such as ``miou@3``.

        Example:
            >>> TrimapMetric(2, widths=(3,)).compute()["miou@3"]
            nan
        """
        scores: dict[str, float] = {}
        for width, confusion in zip(self.widths, self.confusion(), strict=True):
            scores |= {f"{name}@{width}": value for name, value in _summary(confusion).items()}
        return {**scores, "images": self.images}


def confusion_matrix(*, prediction: ArrayLike, truth: ArrayLike, classes: int) -> Counts:
    """Count for each true class what is predicted on its pixels.

    Args:
        prediction: predicted classes in the same shape; -1, no class, is a mistake on any pixel.
        truth: class of each pixel, of any shape, -1 void: such pixels are left out.
        classes: number of classes C.

    Returns:
        Pixels of each true class (row) by predicted class, ``(C, C + 1)``; in the last column
        those without a predicted class.

    Raises:
        CongealError: one is not a map of these classes, the shapes differ, or there is no class.

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
    """Compute TP / (TP + FP + FN) of each class, NaN for one that is in neither map.

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
    return _share(right, missed + counts[:, : len(counts)].sum(axis=0) - right)


def mean_iou(confusion: ArrayLike, absent: str = "skip") -> float:
    """Average the IoU over the classes.

    Args:
        confusion: pixels by true and predicted class, ``(C, C)`` or ``(C, C + 1)``.
        absent: a class that is in neither map, ``"skip"``: does not enter the mean; ``"zero"``:
            enters it with an IoU of 0. One that is predicted but never true has an IoU of 0 in
            either case.

    Returns:
        The mean, 0 to 1; NaN where there is no pixel at all.

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
    """Give for each pixel how far the next void pixel is, in steps to any of its neighbours.

    A pixel is in a trimap of width w when its distance is 1 to w. Steps go to diagonal neighbours
    too, so that the pixels of one distance lie on a square.

    Args:
        truth: label map of any number of dimensions.

    Returns:
        Distances in pixels, 0 on void; without any void pixel the largest int64 everywhere.

    Raises:
        CongealError: it is not a label map.

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
        "mean_accuracy": _nanmean(_share(right, areas)),
    }


def _count(planes: Counts, truth: Counts, guess: Counts, shape: tuple[int, ...]) -> Counts:
    """Count (plane, true class, predicted class); void in the guess goes to the last column."""
    rows, cols = shape[1:]
    codes = (planes * rows + truth) * cols + np.where(guess == VOID, cols - 1, guess)
    size = shape[0] * rows * cols
    return np.bincount(codes, minlength=size).astype(np.int64, copy=False).reshape(shape)


def _share(above: Counts, below: Counts) -> Scores:
    shares: Scores = np.divide(above, below, out=np.full(len(above), np.nan), where=below > 0)
    return shares


def _nanmean(values: Scores) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan


def _check_pair(true: ArrayLike, pred: ArrayLike, classes: int) -> tuple[Counts, Counts]:
    truth, guess = check_labels(true, "truth"), check_labels(pred, "prediction")
    if truth.shape != guess.shape:
        raise CongealError(
            f"expected truth and prediction of the same size, got {truth.shape} and {guess.shape}"
        )
    for name, values in (("truth", truth), ("prediction", guess)):
        if values.size and values.max() >= classes:
            raise CongealError(
                f"expected classes up to {classes - 1} in the {name}, got {values.max()}"
            )
    return truth, guess


def _check_classes(classes: int) -> int:
    if classes < 1:
        raise CongealError(f"expected at least one class, got {classes}")
    return classes


def _same(what: str, ours: object, theirs: object) -> None:
    if ours != theirs:
        raise CongealError(f"expected a metric of the same {what} {ours}, got {theirs}")
