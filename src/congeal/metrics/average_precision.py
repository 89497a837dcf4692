"""AP^r: average precision of regions, in the two variants that papers on PASCAL VOC report.

``"sds"`` is that of simultaneous detection and segmentation (Hariharan et al. 2014,
https://arxiv.org/abs/1407.1808, section 5.1), ``"fcis"`` that of the ports which MNC and FCIS
(Dai et al. 2016; Li et al. 2017) made of the VOC 2007 devkit. Both go through the detections of a
class over all images in the order of their scores. They differ in this:

============== =============================== ======================================
..             ``"sds"``                       ``"fcis"``
============== =============================== ======================================
a match is     IoU above the threshold         IoU from the threshold on
looked for in  objects of the class in the     all objects of the class in the image:
               image that are still free       when the best is taken, it is a miss
area           under the envelope of the curve mean of the envelope at 11 recalls
image without  its detections do not count     its detections are misses
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
TENTHS = tuple(k / 10 for k in range(1, 10))


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
        """Give the mean over the classes that have objects, and over thresholds (all when None).

        NaN when no class has objects or a threshold was not measured.

        Example:
            >>> one = Objects.from_labels([[1, 1]])
            >>> average_precision(prediction=[one], truth=[one]).mean()
            1.0
        """
        asked = self.thresholds if thresholds is None else tuple(thresholds)
        if not set(asked) <= set(self.thresholds):
            return float("nan")
        rows = self.table[[self.thresholds.index(value) for value in asked]]
        known = rows[~np.isnan(rows)]
        return float(known.mean()) if known.size else float("nan")

    def as_dict(self) -> dict[str, float]:
        """Give the numbers by name, of each class ``apr@0.5/ID`` and ``apr_vol/ID`` as well.

        ``apr@0.5`` is the mean over classes at one threshold. Two means over thresholds go by
        AP^r_avg in papers: ``apr_vol`` is that over .1, .2 to .9 (Hariharan et al. 2014 and
        most), ``apr_dvis`` that over .5, .6 to .9 (tables 4 and 5 of DVIS).

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
            alone = replace(self, classes=(label,), table=self.table[:, [k]])
            scores[f"apr@0.5/{label}"] = alone.mean([0.5])
            scores[f"apr_vol/{label}"] = alone.mean(TENTHS)
        return scores


@dataclass(frozen=True, eq=False)
class _ImageMatches:
    """What one image adds: its detections, which of them match at each threshold, its objects."""

    classes: Integers
    scores: Scores
    matched: Flags
    true_classes: Integers


class AveragePrecisionMetric(Recorded[_ImageMatches]):
    """AP^r over images that come one by one.

    - Of detections with equal scores those of earlier images, and in an image the earlier ones,
      go first (a stable sort); this the official programmes leave open in parts.
    - Void means nothing here, as in the official programmes: void pixels are background. Give
      ``remove_void`` to cut the void of the truth out of detections first.
    - Per detection a score and one flag for each threshold are kept, no masks.

    Args:
        classes: classes to score; when None those that occur in the truth.
        variant: ``"sds"`` or ``"fcis"``, see the module.
        curve: ``"area"`` under the envelope or ``"11-point"``; when None that of the variant.
        thresholds: of IoU, each above 0 and up to 1.
        remove_void: cut void pixels out of detections.

    Raises:
        CongealError: a name is unknown or a threshold out of range.

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
            raise unknown("area of a curve", curve, CURVES)
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
            prediction: the detections with their scores.
            truth: the true objects.
            image: its name or number, which makes the order in which images come irrelevant.

        Raises:
            CongealError: the sizes differ, a class is unknown, or the image came before with
                another outcome.

        Example:
            >>> one = Objects.from_labels([[1]])
            >>> AveragePrecisionMetric().update(prediction=one, truth=one, image="2007_000033")
        """
        check_pair(truth, prediction)
        for side in (truth, prediction):
            check_classes(side, self.classes)
        found = prediction.without(truth.void) if self.remove_void else prediction
        if self.variant == "sds" and not len(truth):
            found = found.take([])
        matched = np.zeros((len(self.thresholds), len(found)), np.bool_)
        for c in np.intersect1d(truth.classes, found.classes):
            mine = np.flatnonzero(found.classes == c)
            mine = mine[np.argsort(-found.scores[mine], kind="stable")]
            iou = mask_iou(truth.take(truth.classes == c), found.take(mine)).T
            matched[:, mine] = _match(iou, np.array(self.thresholds), self.variant)
        self._records.add(_ImageMatches(found.classes, found.scores, matched, truth.classes), image)

    def compute(self) -> dict[str, float]:
        """Give the numbers by name, as :meth:`AveragePrecision.as_dict`.

        Example:
            >>> AveragePrecisionMetric().compute()["apr_vol"]
            nan
        """
        return self.result().as_dict()

    def result(self) -> AveragePrecision:
        """Give average precision by threshold and class.

        Example:
            >>> AveragePrecisionMetric([1, 2]).result().table.shape
            (9, 2)
        """
        images = self._records.ordered()
        scores = np.concatenate([np.zeros(0), *(one.scores for one in images)])
        classes = np.concatenate([np.zeros(0, np.int64), *(one.classes for one in images)])
        true = np.concatenate([np.zeros(0, np.int64), *(one.true_classes for one in images)])
        none = np.zeros((len(self.thresholds), 0), np.bool_)
        matched = np.concatenate([none, *(one.matched for one in images)], axis=1)
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
    """Score all images at once, as :class:`AveragePrecisionMetric` does one by one.

    Args:
        prediction: detections of each image.
        truth: objects of each image.
        classes: classes to score; when None those that occur in the truth.
        variant: ``"sds"`` or ``"fcis"``, see the module.
        curve: ``"area"`` under the envelope or ``"11-point"``; when None that of the variant.
        thresholds: of IoU, each above 0 and up to 1.
        remove_void: cut void pixels out of detections.

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
    """Match detections in the order of rows ``(N, G)``, at each threshold by itself: ``(T, N)``."""
    matched = np.zeros((len(thresholds), len(iou)), np.bool_)
    taken = np.zeros((len(thresholds), iou.shape[1]), np.bool_)
    every = np.arange(len(thresholds))
    for k, row in enumerate(iou):
        if variant == "sds":
            open_to = np.where(taken, -1.0, row)
            best = open_to.argmax(1)
            matched[:, k] = open_to[every, best] > thresholds
        else:
            best = np.full(len(thresholds), row.argmax())
            matched[:, k] = (row[best] >= thresholds) & ~taken[every, best]
        taken[every, best] |= matched[:, k]
    return matched


def _check_thresholds(thresholds: Sequence[float]) -> tuple[float, ...]:
    values = tuple(float(value) for value in thresholds)
    if not values or not all(0 < value <= 1 for value in values):
        raise CongealError(f"expected thresholds above 0 and up to 1, got {list(values)}")
    return values
