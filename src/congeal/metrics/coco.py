"""COCO average precision and recall of masks, computed by the official tool.

Lin et al. 2014 (https://arxiv.org/abs/1405.0312) and the rules of the evaluation server, as
implemented in pycocotools: at IoU .5, .55 to .95, per image and class, detections in descending
order of scores match the best unmatched object; precision is interpolated at recall 0, .01 to 1
after making the curve non-increasing. A score without ground-truth objects is -1.

Only the matching within an image is our own (``coco_matching``): bit-identical, and fast enough for
hundreds of objects per image.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from congeal.errors import CongealError
from congeal.metrics.objects import Objects, check_classes, check_pair
from congeal.metrics.records import Recorded
from congeal.metrics.run_lengths import as_rle

__all__ = ["CocoMetric", "CocoResult", "coco_scores"]

Curves = NDArray[np.float64]
Entry = dict[str, Any]

SIZES = ("all", "small", "medium", "large")


@dataclass(frozen=True, eq=False)
class CocoResult:
    """Precision-recall curves over all images, and the scores derived from them.

    Axes: T IoU thresholds (.5 to .95), R recalls (0 to 1), K classes, A size ranges (all, small
    below 32 * 32 pixels, medium, large above 96 * 96), M maximum numbers of detections per image.
    Values without ground-truth objects are -1.

    Attributes:
        classes: the K classes; a single -1 if classes are ignored.
        max_detections: the M limits, ascending.
        precision: ``(T, R, K, A, M)``.
        recall: ``(T, K, A, M)``.
        scores: minimum score at each point of the curve, ``(T, R, K, A, M)``.
        images: number of images.
        objects: number of ground-truth objects, without crowds.
        predicted: number of predicted objects.
    """

    classes: tuple[int, ...]
    max_detections: tuple[int, ...]
    precision: Curves
    recall: Curves
    scores: Curves
    images: int
    objects: int
    predicted: int

    def ap(self, threshold: float | None = None, size: str = "all") -> float:
        """Mean precision over recalls and classes, at one IoU threshold or over all.

        Uses the largest maximum number of detections.

        Args:
            threshold: one of .5, .55 to .95, or None for the mean over them.
            size: ``"all"``, ``"small"``, ``"medium"`` or ``"large"``.

        Example:
            >>> one = Objects.from_labels([[1, 1]])
            >>> round(coco_scores(prediction=[one], truth=[one]).ap(0.5), 6)
            1.0
        """
        return _mean(self.precision[_row(threshold), :, :, SIZES.index(size), -1])

    def ar(self, limit: int | None = None, size: str = "all") -> float:
        """Mean recall over IoU thresholds and classes, at a maximum number of detections.

        Example:
            >>> one = Objects.from_labels([[1, 1]])
            >>> (
            ...     coco_scores(prediction=[], truth=[one]).ar(),
            ...     coco_scores(prediction=[one], truth=[one]).ar(10),
            ... )
            (0.0, 1.0)
        """
        column = -1 if limit is None else self.max_detections.index(limit)
        return _mean(self.recall[:, :, SIZES.index(size), column])

    def per_class(self) -> dict[int, float]:
        """Average precision of each class; -1 without objects.

        Example:
            >>> one = Objects.from_labels([[1, 1]], classes=[7])
            >>> coco_scores(prediction=[one.take([])], truth=[one]).per_class()
            {7: 0.0}
        """
        return {c: _mean(self.precision[:, :, k, 0, -1]) for k, c in enumerate(self.classes)}

    def as_dict(self) -> dict[str, float]:
        """Return the scores by name: ``ap``, ``ap@0.5``, ``ap_small``, ``ar@10``, ``ap/ID``.

        Example:
            >>> one = Objects.from_labels([[1, 1]])
            >>> coco_scores(prediction=[one], truth=[one]).as_dict()["ap_large"]
            -1.0
        """
        return {
            "ap": self.ap(),
            "ap@0.5": self.ap(0.5),
            "ap@0.75": self.ap(0.75),
            **{f"ap_{size}": self.ap(size=size) for size in SIZES[1:]},
            **{f"ar@{limit}": self.ar(limit) for limit in self.max_detections},
            **{f"ar_{size}": self.ar(size=size) for size in SIZES[1:]},
            **{f"ap/{label}": value for label, value in self.per_class().items() if label >= 0},
            "images": self.images,
            "objects": self.objects,
            "predicted": self.predicted,
        }


@dataclass(frozen=True, eq=False)
class _Pair:
    true: Objects
    pred: Objects


class CocoMetric(Recorded[_Pair]):
    """COCO average precision and recall, accumulated image by image.

    - A crowd matches any number of detections, by intersection over the area of the detection; such
      detections are ignored. Void in the ground truth is a crowd of every class.
    - Objects outside of a size range, by their stated area, are ignored for that range.
    - Detections with equal scores are ordered by image and position in the image.
    - Only run-length codes are kept; the official tool runs in :meth:`compute`.

    Args:
        classes: classes to score; None: those that occur. A class without any object in the
            truth scores -1 and is excluded from means.
        class_agnostic: treat all objects as one class, as for proposals.
        max_detections: limits on detections in an image (and class), ascending; those with the
            highest scores are kept. When None 1, 10, 100, and 1000 if class-agnostic.

    Raises:
        CongealError: the limits are not ascending from 1.

    Example:
        >>> metric = CocoMetric()
        >>> true = Objects.from_labels([[1, 1, 2, 2]], classes=[5, 6])
        >>> pred = Objects.from_labels([[1, 1, 0, 2]], classes=[5, 6], scores=[0.9, 0.8])
        >>> metric.update(prediction=pred, truth=true)
        >>> round(metric.compute()["ap@0.75"], 6), round(metric.compute()["ap@0.5"], 6)
        (0.5, 1.0)
    """

    def __init__(
        self,
        classes: Sequence[int] | None = None,
        *,
        class_agnostic: bool = False,
        max_detections: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.classes = None if classes is None else tuple(sorted({int(c) for c in classes}))
        self.class_agnostic = class_agnostic
        default = (1, 10, 100, 1000) if class_agnostic else (1, 10, 100)
        self.max_detections = _check_limits(default if max_detections is None else max_detections)

    def update(
        self, *, prediction: Objects, truth: Objects, image: int | str | None = None
    ) -> None:
        """Add one image.

        Args:
            prediction: detections with scores.
            truth: ground-truth objects.
            image: id of the image; with ids the order of the images does not matter.

        Raises:
            CongealError: the sizes differ, a class is unknown, or the image came before with
                other objects.

        Example:
            >>> CocoMetric().update(
            ...     prediction=Objects.from_labels([[0]]),
            ...     truth=Objects.from_labels([[1]]),
            ...     image="a",
            ... )
        """
        check_pair(truth, prediction)
        for side in (truth, prediction):
            check_classes(side, self.classes)
        self._records.add(_Pair(truth, prediction), image)

    def compute(self) -> dict[str, float]:
        """Return the scores by name, see :meth:`CocoResult.as_dict`.

        Example:
            >>> CocoMetric().compute()["ap"]
            -1.0
        """
        return self.result().as_dict()

    def result(self) -> CocoResult:
        """Curves over all images so far.

        Example:
            >>> CocoMetric(classes=[1, 2]).result().recall.shape
            (10, 2, 4, 3)
        """
        evaluation = self.evaluation()
        pairs = self._records.ordered()
        return CocoResult(
            (-1,) if self.class_agnostic else tuple(int(c) for c in evaluation.params.catIds),
            self.max_detections,
            np.asarray(evaluation.eval["precision"], np.float64),
            np.asarray(evaluation.eval["recall"], np.float64),
            np.asarray(evaluation.eval["scores"], np.float64),
            len(pairs),
            sum(int((~pair.true.crowd).sum()) for pair in pairs),
            sum(len(pair.pred) for pair in pairs),
        )

    def evaluation(self) -> Any:
        """Run the official ``COCOeval`` with our matching, and return it after accumulation.

        Images and objects are numbered from 1 in order; ``evalImgs`` contains the matches.

        Example:
            >>> CocoMetric().evaluation().params.iouType
            'segm'
        """
        from congeal.metrics.coco_matching import CocoRun

        pairs = self._records.ordered()
        classes = self._all_classes(pairs)
        with redirect_stdout(io.StringIO()):  # the tool prints progress
            true = _index(pairs, classes, (_true_entries(pair, classes) for pair in pairs))
            pred = _index(pairs, classes, (_entries(pair.pred) for pair in pairs))
            run = CocoRun(true, pred, "segm")
            run.params.useCats = int(not self.class_agnostic)
            run.params.maxDets = list(self.max_detections)
            run.evaluate()
            run.accumulate()
        return run

    def _all_classes(self, pairs: Sequence[_Pair]) -> tuple[int, ...]:
        if self.classes is not None:
            return self.classes
        sides = (side.classes for pair in pairs for side in (pair.true, pair.pred))
        return tuple(np.unique(np.concatenate([np.zeros(0, np.int64), *sides])).tolist())


def coco_scores(
    *,
    prediction: Sequence[Objects],
    truth: Sequence[Objects],
    classes: Sequence[int] | None = None,
    class_agnostic: bool = False,
    max_detections: Sequence[int] | None = None,
) -> CocoResult:
    """Score all images at once; :class:`CocoMetric` is the incremental form.

    Args:
        prediction: detections by image; an empty list: no detections in any image.
        truth: ground-truth objects by image.
        classes: classes to score; None: those that occur.
        class_agnostic: treat all objects as one class.
        max_detections: maximum numbers of detections per image, ascending.

    Raises:
        CongealError: as in :class:`CocoMetric`, or the numbers of images differ.

    Example:
        >>> true = Objects.from_labels([[1, 1, 0, 2]])
        >>> coco_scores(prediction=[true.take([0])], truth=[true]).as_dict()["ar@100"]
        0.5
    """
    metric = CocoMetric(classes, class_agnostic=class_agnostic, max_detections=max_detections)
    predictions = prediction or [true.take([]) for true in truth]
    if len(truth) != len(predictions):
        raise CongealError(f"expected predictions for {len(truth)} images, got {len(predictions)}")
    for true, pred in zip(truth, predictions, strict=True):
        metric.update(prediction=pred, truth=true)
    return metric.result()


def _index(pairs: Sequence[_Pair], classes: Iterable[int], entries: Iterable[list[Entry]]) -> Any:
    """Fill the tool's own container directly, since its loader fails without annotations."""
    from pycocotools.coco import COCO

    numbered = [
        {**entry, "image_id": image} for image, group in enumerate(entries, 1) for entry in group
    ]
    sizes = [pair.true.size for pair in pairs]
    container = COCO()
    container.dataset = {
        "images": [{"id": n, "height": h, "width": w} for n, (h, w) in enumerate(sizes, 1)],
        "categories": [{"id": c, "name": str(c)} for c in classes],
        "annotations": [{**entry, "id": n} for n, entry in enumerate(numbered, 1)],
    }
    container.createIndex()
    return container


def _entries(objects: Objects) -> list[Entry]:
    return [
        {
            "category_id": int(objects.classes[k]),
            "segmentation": code,
            "score": float(objects.scores[k]),
            "area": float(objects.areas[k]),
            "iscrowd": int(objects.crowd[k]),
        }
        for k, code in enumerate(objects.rle())
    ]


def _true_entries(pair: _Pair, classes: Sequence[int]) -> list[Entry]:
    true = pair.true
    if true.void is None:
        return _entries(true)
    void = {"segmentation": as_rle(true.size, true.void), "iscrowd": 1, "area": 0.0}
    return _entries(true) + [{**void, "category_id": c} for c in classes]


def _check_limits(limits: Sequence[int]) -> tuple[int, ...]:
    values = tuple(int(limit) for limit in limits)
    if not values or values[0] < 1 or any(a >= b for a, b in itertools.pairwise(values)):
        raise CongealError(f"expected max_detections ascending from 1, got {list(values)}")
    return values


def _row(threshold: float | None) -> slice:
    if threshold is None:
        return slice(None)
    row = round((threshold - 0.5) / 0.05)
    if not 0 <= row < 10 or abs(0.5 + 0.05 * row - threshold) > 1e-9:
        raise CongealError(f"expected a threshold of 0.5, 0.55 to 0.95, got {threshold}")
    return slice(row, row + 1)


def _mean(values: Curves) -> float:
    defined = values[values > -1]
    return float(defined.mean()) if defined.size else -1.0
