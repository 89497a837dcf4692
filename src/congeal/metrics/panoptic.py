"""Panoptic quality of segments of thing and stuff classes.

The protocol of panopticapi (Kirillov et al., Panoptic segmentation, CVPR 2019). A predicted and a
true segment of one class match when their IoU is above 1/2, which makes matches one to one. For
each class, over all images,

    SQ = sum of the IoU of the matches / TP,    RQ = TP / (TP + FP/2 + FN/2),    PQ = SQ RQ,

and the three are averaged over the classes that occur. Void pixels of the ground truth are removed
from predicted segments before computing the IoU. An unmatched predicted segment is ignored if more
than half of it lies in void or in a crowd of its class. An unmatched crowd is not a false negative.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from congeal.errors import CongealError
from congeal.labels import BACKGROUND, VOID, Contingency, check_labels, contingency
from congeal.metrics.metric import ratio, require_image

__all__ = ["PanopticClass", "PanopticMetric", "panoptic_counts", "panoptic_segments"]

Labels = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class PanopticClass:
    """The segments of one class, in one image or pooled over many.

    Attributes:
        tp: matched segments.
        fp: predicted segments without a match.
        fn: ground-truth segments without a match.
        iou_sum: sum of the IoU of the matches.

    Example:
        >>> found = PanopticClass(tp=3, fp=1, fn=1, iou_sum=2.4)
        >>> round(found.sq, 12), found.rq, round(found.pq, 12)
        (0.8, 0.75, 0.6)
    """

    tp: int = 0
    fp: int = 0
    fn: int = 0
    iou_sum: float = 0.0

    def __add__(self, other: PanopticClass) -> PanopticClass:
        """Pool the segments of two sets of images."""
        iou_sum = self.iou_sum + other.iou_sum
        return PanopticClass(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn, iou_sum)

    @property
    def occurs(self) -> bool:
        """Whether the class has an evaluated segment, in the ground truth or the prediction."""
        return bool(self.tp or self.fp or self.fn)

    @property
    def sq(self) -> float:
        """Segmentation quality: mean IoU of the matches, 0 without matches."""
        return self.iou_sum / self.tp if self.tp else 0.0

    @property
    def rq(self) -> float:
        """Recognition quality: F1 of the segments, 0 if the class does not occur."""
        return self.tp / (self.tp + self.fp / 2 + self.fn / 2) if self.occurs else 0.0

    @property
    def pq(self) -> float:
        """Panoptic quality, SQ times RQ."""
        return self.sq * self.rq


class PanopticMetric:
    """Panoptic quality, accumulated image by image.

    Args:
        things: ids of the classes with instances.
        stuff: ids of the classes without instances, such as sky.

    Raises:
        CongealError: there is no class, or one is both thing and stuff.

    Example:
        >>> metric = PanopticMetric(things=[1], stuff=[7])
        >>> _ = metric.update(
        ...     prediction=[[4, 4, 5, 6]],
        ...     truth=[[1, 1, 2, 2]],
        ...     prediction_classes={4: 1, 5: 7, 6: 1},
        ...     truth_classes={1: 1, 2: 7},
        ... )
        >>> metric.compute()["pq_stuff"], metric.compute()["rq_things"]
        (0.0, 0.6666666666666666)
    """

    def __init__(self, things: Iterable[int], stuff: Iterable[int] = ()) -> None:
        self.things, self.stuff = tuple(sorted(set(things))), tuple(sorted(set(stuff)))
        both = set(self.things) & set(self.stuff)
        if both or not (self.things or self.stuff):
            raise CongealError(
                f"expected classes that are either things or stuff, got {sorted(both) or 'none'}"
            )
        self.images = 0
        self._classes = {label: PanopticClass() for label in (*self.things, *self.stuff)}

    def update(
        self,
        *,
        prediction: ArrayLike,
        truth: ArrayLike,
        prediction_classes: Mapping[int, int],
        truth_classes: Mapping[int, int],
        crowds: Iterable[int] = (),
    ) -> dict[int, PanopticClass]:
        """Add one image, see :func:`panoptic_counts`; return its counts by class.

        Raises:
            CongealError: as there, or a class is neither thing nor stuff.

        Example:
            >>> PanopticMetric([3]).update(
            ...     prediction=[[8, 8]],
            ...     truth=[[1, 1]],
            ...     prediction_classes={8: 3},
            ...     truth_classes={1: 3},
            ... )
            {3: PanopticClass(tp=1, fp=0, fn=0, iou_sum=1.0)}
        """
        require_image(truth)
        found = panoptic_counts(
            prediction=prediction,
            truth=truth,
            prediction_classes=prediction_classes,
            truth_classes=truth_classes,
            crowds=crowds,
        )
        _known_classes(found, self._classes)
        self._add(found, images=1)
        return found

    def merge(self, other: PanopticMetric) -> PanopticMetric:
        """Add the counts of another metric with the same classes.

        Raises:
            CongealError: the classes differ.

        Example:
            >>> PanopticMetric([1]).merge(PanopticMetric([1])).images
            0
        """
        ours, theirs = ((m.things, m.stuff) for m in (self, other))
        if ours != theirs:
            raise CongealError(f"expected a metric of the same classes {ours}, got {theirs}")
        self._add(other._classes, images=other.images)
        return self

    def per_class(self) -> dict[int, PanopticClass]:
        """Counts of every class over all images so far.

        Example:
            >>> PanopticMetric([1]).per_class()
            {1: PanopticClass(tp=0, fp=0, fn=0, iou_sum=0.0)}
        """
        return dict(self._classes)

    def compute(self) -> dict[str, float]:
        """Return ``pq``, ``sq``, ``rq`` over all classes, things and stuff, and per class.

        Names are ``pq``, ``pq_things``, ``pq_stuff`` and ``pq/ID``; ``classes``,
        ``classes_things`` and ``classes_stuff`` are the numbers of classes in each mean. A class
        that does not occur is NaN and excluded; a mean over no classes is NaN.

        Example:
            >>> PanopticMetric([1]).compute()["pq"]
            nan
        """
        everything = (*self.things, *self.stuff)
        scores = self._means(everything, "") | self._means(self.things, "_things")
        scores |= self._means(self.stuff, "_stuff")
        for label, found in self._classes.items():
            for name in ("pq", "sq", "rq"):
                scores[f"{name}/{label}"] = getattr(found, name) if found.occurs else math.nan
        return {**scores, "images": self.images}

    def _means(self, labels: Iterable[int], suffix: str) -> dict[str, float]:
        present = [self._classes[label] for label in labels if self._classes[label].occurs]
        scores: dict[str, float] = {}
        for name in ("pq", "sq", "rq"):
            total = sum(getattr(found, name) for found in present)
            scores[f"{name}{suffix}"] = ratio(total, len(present))
        return scores | {f"classes{suffix}": len(present)}

    def _add(self, found: Mapping[int, PanopticClass], images: int) -> None:
        self.images += images
        for label, counts in found.items():
            self._classes[label] += counts


def panoptic_counts(
    *,
    prediction: ArrayLike,
    truth: ArrayLike,
    prediction_classes: Mapping[int, int],
    truth_classes: Mapping[int, int],
    crowds: Iterable[int] = (),
) -> dict[int, PanopticClass]:
    """Match the segments of one image and count them by class.

    Equal to torchmetrics for predictions without void; otherwise torchmetrics ignores ground-truth
    segments mostly in predicted void, which are false negatives here and in panopticapi. Of several
    crowds of a class in an image panopticapi uses only the last; here all are used.

    Args:
        prediction: predicted segment ids; pixels of 0 or -1 are in no segment.
        truth: ground-truth segment ids of the same shape; pixels of 0 or -1 are void.
        prediction_classes: class of each predicted segment.
        truth_classes: class of each ground-truth segment; ids that do not occur are ignored.
        crowds: ids of ground-truth segments that are crowds of unseparated objects.

    Returns:
        Counts of each class with a segment in either map, in ascending order of classes.

    Raises:
        CongealError: an argument is not a label map, the shapes differ, or a segment has no class.

    Source:
        Kirillov et al., Panoptic segmentation, CVPR 2019, section 4.

    Example:
        >>> panoptic_counts(
        ...     prediction=[[5, 5, 0, 5]],
        ...     truth=[[1, 1, 1, 0]],
        ...     prediction_classes={5: 3},
        ...     truth_classes={1: 3},
        ... )
        {3: PanopticClass(tp=1, fp=0, fn=0, iou_sum=0.6666666666666666)}
    """
    true = np.maximum(check_labels(truth, "ground truth"), BACKGROUND)  # keeps void in the table
    table = contingency(true, prediction).objects()
    true_class = _classes_of(table.true_ids, truth_classes, "true")
    pred_class = _classes_of(table.pred_ids, prediction_classes, "predicted")
    crowd = np.isin(table.true_ids, np.fromiter(crowds, np.int64))
    matched, iou, ignored = _match(table, true_class[table.rows] == pred_class[table.cols], crowd)
    found, missed = np.zeros(len(pred_class), np.bool_), ~crowd
    found[table.cols[matched]] = True
    missed[table.rows[matched]] = False
    counts = {}
    for label in sorted({*true_class.tolist(), *pred_class.tolist()}):
        of_class = iou[matched & (true_class[table.rows] == label)]
        fp = int(((pred_class == label) & ~found & ~ignored).sum())
        fn = int(((true_class == label) & missed).sum())
        counts[label] = PanopticClass(len(of_class), fp, fn, float(of_class.sum()))
    return counts


def panoptic_segments(
    labels: ArrayLike, semantic: ArrayLike, things: Iterable[int]
) -> tuple[Labels, dict[int, int]]:
    """Combine a label map of objects and a semantic map to panoptic segments.

    Each object is a segment of the most frequent class of its pixels (the smallest in a tie);
    outside of objects each stuff class is one segment. Pixels of thing classes outside of objects
    are void, and so are pixels that are void in the map that determines them.

    Args:
        labels: label map of any shape, 0 background, -1 void.
        semantic: class of each pixel, in the same shape, -1 void.
        things: ids of the classes with instances.

    Returns:
        Segment ids (0 void) in the shape of ``labels``, and the class of each segment.

    Raises:
        CongealError: an argument is not a label map, or the shapes differ.

    Example:
        >>> panoptic_segments([[1, 1, 0, 0]], [[4, 4, 4, 9]], things=[4])
        (array([[1, 1, 0, 2]]), {1: 4, 2: 9})
    """
    objects, semantic = check_labels(labels, "labels"), check_labels(semantic, "classes")
    if objects.shape != semantic.shape:
        raise CongealError(
            "expected labels and classes of the same size, got "
            f"{objects.shape} and {semantic.shape}"
        )
    table = contingency(np.where(semantic == VOID, VOID, objects), semantic + 1)
    classes: dict[int, int] = {}
    for row in np.flatnonzero(table.true_ids > BACKGROUND):
        mine = table.rows == row
        most = table.cols[mine][table.counts[mine].argmax()]
        classes[int(table.true_ids[row])] = int(table.pred_ids[most]) - 1
    segments = np.where(np.isin(objects, list(classes)), objects, BACKGROUND)
    outside = objects == BACKGROUND
    following = max(classes, default=0) + 1
    stuff = sorted(set(np.unique(semantic[outside]).tolist()) - {VOID, *things})
    for number, label in enumerate(stuff, following):
        segments[outside & (semantic == label)] = number
        classes[number] = label
    return segments, classes


def _match(
    table: Contingency, same: Flags, crowd: Flags
) -> tuple[Flags, NDArray[np.float64], Flags]:
    """Which pairs match, the IoU of each pair, and which predicted segments are ignored.

    ``same`` marks the pairs of equal class. Crowds do not match.
    """
    cols, areas = table.cols, table.pred_areas
    inside = np.bincount(cols, table.counts, minlength=len(areas))
    void = areas - inside
    union = table.true_areas[table.rows] + areas[cols] - table.counts - void[cols]
    iou = table.counts / union
    crowded = same & crowd[table.rows]
    in_crowd = np.bincount(cols[crowded], table.counts[crowded], minlength=len(areas))
    return same & ~crowd[table.rows] & (iou > 0.5), iou, (void + in_crowd) / areas > 0.5


def _classes_of(ids: Labels, classes: Mapping[int, int], side: str) -> Labels:
    missing = [label for label in ids.tolist() if label not in classes]
    if missing:
        raise CongealError(f"expected a class for each {side} segment, got none for {missing[:5]}")
    return np.array([classes[label] for label in ids.tolist()], dtype=np.int64)


def _known_classes(found: Iterable[int], known: Mapping[int, PanopticClass]) -> None:
    unlisted = sorted(set(found) - set(known))
    if unlisted:
        raise CongealError(f"expected segments of the classes {sorted(known)}, got {unlisted}")
