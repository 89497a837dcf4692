"""AP^r: average precision of regions, in two variants reported on PASCAL VOC.

``"sds"`` is the evaluation of simultaneous detection and segmentation (Hariharan et al. 2014,
https://arxiv.org/abs/1407.1808, section 5.1), ``"fcis"`` that of the ports of the VOC 2007 devkit
in MNC and FCIS (Dai et al. 2016; Li et al. 2017). Both process the detections of a class over all
images in descending order of scores. The differences:

============== =============================== ======================================
..             ``"sds"``                       ``"fcis"``
============== =============================== ======================================
match          IoU > threshold                 IoU >= threshold
candidates     unmatched objects of the class  all objects of the class in the image: if
               in the image                    the best is matched already, false positive
area           under the precision envelope    mean of the envelope at 11 recalls
image without  detections are ignored          detections are false positives
any object
============== =============================== ======================================
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from congeal.errors import CongealError, unknown
from congeal.metrics.objects import Objects, check_classes, check_pair, mask_iou
from congeal.metrics.records import Recorded

__all__ = [
    "AveragePrecision",
    "AveragePrecisionMetric",
    "average_precision",
    "eleven_point_area",
    "envelope_area",
]

Variant = Literal["sds", "fcis"]
Curve = Literal["area", "11-point"]
Scores = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

VARIANTS = ("sds", "fcis")
CURVES = ("area", "11-point")
TENTHS = tuple(k / 10 for k in range(1, 10))  # IoU thresholds .1 to .9


@dataclass(frozen=True, eq=False)
class AveragePrecision:
    """AP^r by threshold and class.

    Attributes:
        thresholds: the T thresholds of IoU.
        classes: the K classes.
        table: average precision, ``(T, K)``; NaN for a class without objects.
        images: number of images.
        objects: number of true objects.
        predicted: number of predicted objects.
    """

    thresholds: tuple[float, ...]
    classes: tuple[int, ...]
    table: Scores
    images: int
    objects: int
    predicted: int

    def mean(self, thresholds: Sequence[float] | None = None) -> float:
        """Mean over classes with objects and over thresholds (None: all).

        NaN if no class has objects or a threshold was not evaluated.

        Example:
            >>> one = Objects.from_labels([[1, 1]])
            >>> average_precision(prediction=[one], truth=[one]).mean()
            1.0
        """
        chosen = self.thresholds if thresholds is None else tuple(thresholds)
        if not set(chosen) <= set(self.thresholds):
            return float("nan")
        rows = self.table[[self.thresholds.index(value) for value in chosen]]
        values = rows[~np.isnan(rows)]
        return float(values.mean()) if values.size else float("nan")

    def as_dict(self) -> dict[str, float]:
        """Return the scores by name, per class as ``apr@0.5/ID`` and ``apr_vol/ID``.

        ``apr@0.5`` is the mean over classes at one threshold. Two means over thresholds are called
        AP^r_avg in papers: ``apr_vol`` over .1, .2 to .9 (Hariharan et al. 2014 and most papers)
        and ``apr_dvis`` over .5, .6 to .9 (DVIS, tables 4 and 5).

        Example:
            >>> one = Objects.from_labels([[1, 1]])
            >>> average_precision(prediction=[one], truth=[one]).as_dict()["apr_vol"]
            1.0
        """
        return {
            **{f"apr@{value:g}": self.mean([value]) for value in self.thresholds},
            "apr_vol": self.mean(TENTHS),
            "apr_dvis": self.mean(TENTHS[4:]),
            **self._by_class(),
            "images": self.images,
            "objects": self.objects,
            "predicted": self.predicted,
        }

    def _by_class(self) -> dict[str, float]:
        scores = {}
        for k, label in enumerate(self.classes):
            single = replace(self, classes=(label,), table=self.table[:, [k]])
            scores[f"apr@0.5/{label}"] = single.mean([0.5])
            scores[f"apr_vol/{label}"] = single.mean(TENTHS)
        return scores


@dataclass(frozen=True, eq=False)
class _ImageMatches:
    """Record of one image: detections, their matches at each threshold, and classes of objects."""

    classes: Integers
    scores: Scores
    matched: Flags
    true_classes: Integers


class AveragePrecisionMetric(Recorded[_ImageMatches]):
    """AP^r accumulated image by image.

    - Detections with equal scores are ordered by image and position in the image (stable sort);
      the official programs do not fully define this order.
    - Void pixels are background, as in the official programs, unless ``remove_void`` is set.
    - Memory: one score and T flags per detection, no masks.

    Args:
        classes: classes to score; None: those in the ground truth.
        variant: ``"sds"`` or ``"fcis"``, see the module docstring.
        curve: ``"area"`` under the envelope or ``"11-point"``; None: that of the variant.
        thresholds: IoU thresholds in (0, 1].
        remove_void: remove void pixels of the ground truth from detections.

    Raises:
        CongealError: a name is unknown or a threshold is outside (0, 1].

    Example:
        >>> metric = AveragePrecisionMetric(thresholds=[0.5])
        >>> true = Objects.from_labels([[1, 1, 2, 2]])
        >>> metric.update(
        ...     prediction=Objects.from_labels([[1, 1, 0, 2]], scores=[0.9, 0.8]), truth=true
        ... )
        >>> metric.compute()["apr@0.5"]
        0.5
    """

    def __init__(
        self,
        classes: Sequence[int] | None = None,
        *,
        variant: Variant = "sds",
        curve: Curve | None = None,
        thresholds: Sequence[float] = TENTHS,
        remove_void: bool = False,
    ) -> None:
        super().__init__()
        if variant not in VARIANTS:
            raise unknown("variant of AP^r", variant, VARIANTS)
        if curve is not None and curve not in CURVES:
            raise unknown("curve", curve, CURVES)
        self.classes = None if classes is None else tuple(sorted({int(c) for c in classes}))
        self.variant = variant
        self.curve = curve or ("area" if variant == "sds" else "11-point")
        self.thresholds = _check_thresholds(thresholds)
        self.remove_void = remove_void

    def update(
        self, *, prediction: Objects, truth: Objects, image: int | str | None = None
    ) -> None:
        """Add one image.

        Args:
            prediction: detections with scores.
            truth: ground-truth objects.
            image: id of the image; with ids the order of the images does not matter.

        Raises:
            CongealError: sizes differ, a class is unknown, or the image was added before with a
                different result.

        Example:
            >>> one = Objects.from_labels([[1]])
            >>> AveragePrecisionMetric().update(prediction=one, truth=one, image="2007_000033")
        """
        check_pair(truth, prediction)
        for side in (truth, prediction):
            check_classes(side, self.classes)
        pred = prediction.without(truth.void) if self.remove_void else prediction
        if self.variant == "sds" and not len(truth):
            pred = pred.take([])
        matched = np.zeros((len(self.thresholds), len(pred)), np.bool_)
        for c in np.intersect1d(truth.classes, pred.classes):
            of_class = np.flatnonzero(pred.classes == c)
            of_class = of_class[np.argsort(-pred.scores[of_class], kind="stable")]
            iou = mask_iou(truth.take(truth.classes == c), pred.take(of_class)).T
            matched[:, of_class] = _match(iou, np.array(self.thresholds), self.variant)
        self._records.add(_ImageMatches(pred.classes, pred.scores, matched, truth.classes), image)

    def compute(self) -> dict[str, float]:
        """Return the scores by name, see :meth:`AveragePrecision.as_dict`.

        Example:
            >>> AveragePrecisionMetric().compute()["apr_vol"]
            nan
        """
        return self.result().as_dict()

    def result(self) -> AveragePrecision:
        """Average precision by threshold and class over all images so far.

        Example:
            >>> AveragePrecisionMetric([1, 2]).result().table.shape
            (9, 2)
        """
        images = self._records.ordered()
        scores = np.concatenate([np.zeros(0), *(image.scores for image in images)])
        classes = np.concatenate([np.zeros(0, np.int64), *(image.classes for image in images)])
        true = np.concatenate([np.zeros(0, np.int64), *(image.true_classes for image in images)])
        empty = np.zeros((len(self.thresholds), 0), np.bool_)
        matched = np.concatenate([empty, *(image.matched for image in images)], axis=1)
        order = np.argsort(-scores, kind="stable")
        classes, matched = classes[order], matched[:, order]
        names = self.classes if self.classes is not None else tuple(np.unique(true).tolist())
        table = np.full((len(self.thresholds), len(names)), np.nan)
        for k, c in enumerate(names):
            for t in range(len(self.thresholds)):
                table[t, k] = self._area(matched[t, classes == c], int((true == c).sum()))
        return AveragePrecision(self.thresholds, names, table, len(images), len(true), len(scores))

    def _area(self, matched: Flags, objects: int) -> float:
        if not objects:
            return float("nan")
        hits = np.cumsum(matched)
        recall, precision = hits / objects, hits / np.arange(1, len(hits) + 1)
        area = envelope_area if self.curve == "area" else eleven_point_area
        return area(recall, precision)


def average_precision(
    *,
    prediction: Sequence[Objects],
    truth: Sequence[Objects],
    classes: Sequence[int] | None = None,
    variant: Variant = "sds",
    curve: Curve | None = None,
    thresholds: Sequence[float] = TENTHS,
    remove_void: bool = False,
) -> AveragePrecision:
    """Score all images at once; :class:`AveragePrecisionMetric` is the incremental form.

    Args:
        prediction: detections by image.
        truth: ground-truth objects by image.
        classes: classes to score; None: those in the ground truth.
        variant: ``"sds"`` or ``"fcis"``, see the module docstring.
        curve: ``"area"`` under the envelope or ``"11-point"``; None: that of the variant.
        thresholds: IoU thresholds in (0, 1].
        remove_void: remove void pixels of the ground truth from detections.

    Raises:
        CongealError: as in :class:`AveragePrecisionMetric`, or the numbers of images differ.

    Example:
        >>> true = Objects.from_labels([[1, 1, 2, 2]], classes=[3, 4])
        >>> average_precision(prediction=[true.take([0])], truth=[true], thresholds=[0.5]).table
        array([[1., 0.]])
    """
    if len(truth) != len(prediction):
        raise CongealError(f"expected predictions for {len(truth)} images, got {len(prediction)}")
    metric = AveragePrecisionMetric(
        classes, variant=variant, curve=curve, thresholds=thresholds, remove_void=remove_void
    )
    for one, other in zip(truth, prediction, strict=True):
        metric.update(prediction=other, truth=one)
    return metric.result()


def envelope_area(recall: Scores, precision: Scores) -> float:
    """Measure the area under a curve of precision made non-increasing (VOC from 2010 on).

    Args:
        recall: ascending, ``(N,)``.
        precision: at each of them, ``(N,)``.

    Example:
        >>> envelope_area(np.array([0.5, 0.5, 1.0]), np.array([1.0, 0.5, 2 / 3]))
        0.8333333333333333
    """
    ceiling = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.diff(recall, prepend=0.0) @ ceiling)


def eleven_point_area(recall: Scores, precision: Scores) -> float:
    """Average the best precision from recall 0, .1, .2 to 1 on (VOC 2007).

    The eleven recalls carry the rounding of the devkit's steps of .1, so that a recall of exactly
    .3, .6 or .7 stays just below its step.

    Example:
        >>> eleven_point_area(np.array([0.5, 1.0]), np.array([1.0, 0.5]))
        0.7727272727272727
    """
    steps = np.arange(0.0, 1.1, 0.1)
    return float(np.mean([np.max(precision[recall >= step], initial=0.0) for step in steps]))


def _match(iou: Scores, thresholds: Scores, variant: str) -> Flags:
    """Match detections in order of rows ``(N, G)``, independently per threshold: ``(T, N)``."""
    matched = np.zeros((len(thresholds), len(iou)), np.bool_)
    taken = np.zeros((len(thresholds), iou.shape[1]), np.bool_)
    every = np.arange(len(thresholds))
    for k, row in enumerate(iou):
        if variant == "sds":
            free = np.where(taken, -1.0, row)
            best = free.argmax(1)
            matched[:, k] = free[every, best] > thresholds
        else:
            best = np.full(len(thresholds), row.argmax())
            matched[:, k] = (row[best] >= thresholds) & ~taken[every, best]
        taken[every, best] |= matched[:, k]
    return matched


def _check_thresholds(thresholds: Sequence[float]) -> tuple[float, ...]:
    values = tuple(float(value) for value in thresholds)
    if not values or not all(0 < value <= 1 for value in values):
        raise CongealError(f"expected thresholds in (0, 1], got {list(values)}")
    return values
