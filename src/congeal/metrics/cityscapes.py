"""Instance-level average precision of the Cityscapes benchmark.

Cordts et al. 2016 (https://arxiv.org/abs/1604.01685, section 4.1) and the rules of the official
program (cityscapesScripts 2.3.0, instance level), including the distances of AP100m and AP50m:

- A prediction matches an object of its class if their IoU is above the threshold (.5, .55 to .95).
  Of several that match one object, the one with the highest score is a true positive, the others
  are false positives.
- Objects are ignored if they have fewer than 100 pixels (1000 for AP100m and AP50m), are farther
  than the limit, or have a distance measured on less than half of their pixels.
- A prediction without a match is a false positive, unless the fraction of its pixels on void,
  groups or ignored objects is above the threshold: then it is ignored. Pixels of a group that is
  itself ignored count twice, as in the program.
- The curve has one point per distinct score and ends at recall 0 and precision 1. The area is
  sum P_i (R_(i-1) - R_(i+1)) / 2, without a precision envelope.
- A class without objects is NaN and excluded from means; a class without predictions is 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from congeal.errors import CongealError
from congeal.labels import VOID, check_labels
from congeal.metrics.cityscapes_ids import CLASSES, GROUP_BELOW, VOID_IDS
from congeal.metrics.objects import Objects, intersections, void_pixels
from congeal.metrics.records import Recorded

__all__ = ["CityscapesMetric", "CityscapesResult", "cityscapes_scores"]

Scores = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]
Distances = Mapping[int, tuple[float, float]]

IOU_THRESHOLDS = tuple(k / 100 for k in range(50, 100, 5))
IGNORED, TRUE_POSITIVE, FALSE_POSITIVE = 0, 1, 2


@dataclass(frozen=True)
class _Range:
    """Criteria of the evaluated objects."""

    name: str
    min_pixels: int
    max_distance: float
    min_measured: float


EVERYTHING = _Range("", 100, np.inf, -np.inf)
NEARBY = (_Range("100m", 1000, 100.0, 0.5), _Range("50m", 1000, 50.0, 0.5))


@dataclass(frozen=True, eq=False)
class CityscapesResult:
    """Average precision by range, class and threshold.

    Attributes:
        classes: names of the K classes.
        ranges: names of the D ranges: ``""`` for any distance, ``"100m"`` and ``"50m"``.
        table: average precision, ``(D, K, T)``, T = 10 thresholds .5, .55 to .95; NaN for a
            class without objects.
        images: number of images.
        objects: number of evaluated ground-truth objects at any distance.
        predicted: number of predictions of the classes.
    """

    classes: tuple[str, ...]
    ranges: tuple[str, ...]
    table: Scores
    images: int
    objects: int
    predicted: int

    def per_class(self) -> dict[str, dict[str, float]]:
        """Return the scores of each class by its name.

        Example:
            >>> cityscapes_scores(prediction=[], truth=[]).per_class()["car"]
            {'ap': nan, 'ap@0.5': nan}
        """
        return {
            name: _named(self.table[:, [k]], self.ranges) for k, name in enumerate(self.classes)
        }

    def as_dict(self) -> dict[str, float]:
        """Return the scores by name: ``ap``, ``ap@0.5``, ``ap_100m``, ``ap_50m``, ``ap/NAME``.

        Example:
            >>> sorted(cityscapes_scores(prediction=[], truth=[]).as_dict())[:4]
            ['ap', 'ap/bicycle', 'ap/bus', 'ap/car']
        """
        counts = {"images": self.images, "objects": self.objects, "predicted": self.predicted}
        each = {f"ap/{name}": scores["ap"] for name, scores in self.per_class().items()}
        return {**_named(self.table, self.ranges), **each, **counts}


@dataclass(frozen=True, eq=False)
class _ImageOutcomes:
    """Record of one image: outcomes of predictions ``(D, T, P)``, number of objects ``(D, K)``."""

    classes: Integers
    scores: Scores
    outcomes: NDArray[np.int8]
    objects: Integers


@dataclass(frozen=True, eq=False)
class _Overlap:
    """Overlap of R true objects and groups with C predictions of the same class."""

    areas: Integers  # (R,)
    sizes: Integers  # (C,)
    group: Flags  # (R,)
    shared: Integers  # (R, C)
    iou: Scores  # (R, C)
    void: Integers  # (C,) pixels on void


class CityscapesMetric(Recorded[_ImageOutcomes]):
    """AP of Cityscapes accumulated image by image.

    The order of images and predictions does not matter. Memory: one score and T outcomes per
    prediction, no masks.

    Args:
        classes: class names by id; predictions of other classes are ignored.
        void: void ids of the ground truth, besides -1.
        distances: whether to also evaluate objects within 100 m and 50 m.

    Example:
        >>> metric = CityscapesMetric()
        >>> ids = np.full((20, 20), 26001)
        >>> metric.update(
        ...     prediction=Objects.from_labels(np.ones((20, 20), int), classes=[26]), truth=ids
        ... )
        >>> metric.compute()["ap"]
        1.0
    """

    def __init__(
        self,
        classes: Mapping[int, str] = CLASSES,
        void: Sequence[int] = VOID_IDS,
        *,
        distances: bool = False,
    ) -> None:
        super().__init__()
        self.classes = dict(sorted(classes.items()))
        self.void = tuple(sorted({VOID, *void}))
        self.distances = distances

    def update(
        self,
        *,
        prediction: Objects,
        truth: ArrayLike,
        distances: Distances | None = None,
        image: int | str | None = None,
    ) -> None:
        """Add one image.

        Args:
            prediction: predicted objects with class ids and scores; they may overlap.
            truth: map of ids ``(H, W)``, as in ``*_instanceIds.png``: class * 1000 + n for object
                n, and the class for stuff, groups and void; see :func:`instance_ids`.
            distances: median distance in metres and fraction of measured pixels, by object id.
                Objects without entry are not evaluated within 100 m and 50 m.
            image: id of the image.

        Raises:
            CongealError: sizes differ, ``truth`` is not a map of ids, or the image was added before
                with a different result.

        Example:
            >>> blank = np.zeros((2, 3), int)
            >>> CityscapesMetric().update(
            ...     prediction=Objects.from_labels(blank), truth=blank, image="aachen_0"
            ... )
        """
        true, ids = self._truth(truth)
        pred = prediction.take(
            np.isin(prediction.classes, list(self.classes)) & (prediction.pixels() > 0)
        )
        overlap = _overlap(true, ids, pred)
        evaluated = [_within(overlap.areas, ids, distances or {}, r) for r in self._ranges()]
        outcomes = np.stack([_outcomes(overlap, pred.scores, chosen) for chosen in evaluated])
        singles = np.stack(evaluated) & (ids >= GROUP_BELOW)
        objects = np.stack([singles[:, true.classes == c].sum(1) for c in self.classes], axis=1)
        self._records.add(_ImageOutcomes(pred.classes, pred.scores, outcomes, objects), image)

    def compute(self) -> dict[str, float]:
        """Return the scores by name, see :meth:`CityscapesResult.as_dict`.

        Example:
            >>> CityscapesMetric(distances=True).compute()["ap_50m"]
            nan
        """
        return self.result().as_dict()

    def result(self) -> CityscapesResult:
        """Average precision by range, class and threshold over all images so far.

        Example:
            >>> CityscapesMetric(distances=True).result().table.shape
            (3, 8, 10)
        """
        images, ranges = self._records.ordered(), self._ranges()
        shape = len(ranges), len(self.classes), len(IOU_THRESHOLDS)
        empty = np.zeros((shape[0], shape[2], 0), np.int8)
        outcomes = np.concatenate([empty, *(image.outcomes for image in images)], axis=2)
        scores = np.concatenate([np.zeros(0), *(image.scores for image in images)])
        classes = np.concatenate([np.zeros(0, np.int64), *(image.classes for image in images)])
        objects = sum((image.objects for image in images), np.zeros(shape[:2], np.int64))
        table = np.full(shape, np.nan)
        for d, k, t in np.ndindex(shape):
            of_class = classes == list(self.classes)[k]
            table[d, k, t] = _area(scores[of_class], outcomes[d, t, of_class], int(objects[d, k]))
        return CityscapesResult(
            tuple(self.classes.values()),
            tuple(scope.name for scope in ranges),
            table,
            len(images),
            int(objects[0].sum()),
            len(scores),
        )

    def _truth(self, ids: ArrayLike) -> tuple[Objects, Integers]:
        """Objects and groups of the evaluated classes, and their ids."""
        array = check_labels(ids, "ids")
        classes = np.where(array < GROUP_BELOW, array, array // GROUP_BELOW)
        kept = np.where(np.isin(classes, list(self.classes)), array, 0)
        present = np.unique(kept[kept > 0])
        kept[np.isin(array, self.void)] = VOID
        present = present[~np.isin(present, self.void)]
        classes = np.where(present < GROUP_BELOW, present, present // GROUP_BELOW)
        return Objects.from_labels(kept, classes), present

    def _ranges(self) -> tuple[_Range, ...]:
        return (EVERYTHING, *NEARBY) if self.distances else (EVERYTHING,)


def cityscapes_scores(
    *,
    prediction: Sequence[Objects],
    truth: Sequence[ArrayLike],
    classes: Mapping[int, str] = CLASSES,
    void: Sequence[int] = VOID_IDS,
    distances: Sequence[Distances] | None = None,
) -> CityscapesResult:
    """Score all images at once; :class:`CityscapesMetric` is the incremental form.

    Args:
        prediction: predicted objects by image.
        truth: map of ids ``(H, W)`` by image, see :meth:`CityscapesMetric.update`.
        classes: class names by id.
        void: void ids of the ground truth, besides -1.
        distances: distances of the objects by image; None: no AP100m and AP50m.

    Raises:
        CongealError: as in :class:`CityscapesMetric`, or the numbers of images differ.

    Example:
        >>> ids = np.full((20, 20), 26001)
        >>> pred = Objects.from_labels(np.ones((20, 20), int), classes=[26])
        >>> cityscapes_scores(
        ...     prediction=[pred], truth=[ids], distances=[{26001: (30.0, 1.0)}]
        ... ).as_dict()["ap"]
        1.0
    """
    measured = [{} for _ in truth] if distances is None else distances
    if not len(truth) == len(prediction) == len(measured):
        raise CongealError(
            f"expected predictions (and distances) for {len(truth)} images, "
            f"got {len(prediction)} (and {len(measured)})"
        )
    metric = CityscapesMetric(classes, void, distances=distances is not None)
    for true, pred, known in zip(truth, prediction, measured, strict=True):
        metric.update(prediction=pred, truth=true, distances=known)
    return metric.result()


def _within(pixels: Integers, ids: Integers, distances: Distances, scope: _Range) -> Flags:
    missing = (-1.0, 0.0)  # as in the official program: not measured on any pixel
    entries = np.array([distances.get(i, missing) for i in ids.tolist()]).reshape(-1, 2)
    return np.asarray(
        (pixels >= scope.min_pixels)
        & (entries[:, 0] <= scope.max_distance)
        & (entries[:, 1] >= scope.min_measured)
    )


def _overlap(true: Objects, ids: Integers, pred: Objects) -> _Overlap:
    same = true.classes[:, None] == pred.classes
    shared = np.where(same, intersections(true, pred), 0)
    areas, sizes = true.pixels(), pred.pixels()
    iou = shared / (areas[:, None] + sizes - shared)
    return _Overlap(areas, sizes, ids < GROUP_BELOW, shared, iou, void_pixels(true, pred))


def _outcomes(overlap: _Overlap, scores: Scores, evaluated: Flags) -> NDArray[np.int8]:
    """Classify predictions as true positive, false positive or ignored per threshold, ``(T, P)``.

    At IoU > .5 a prediction matches at most one object, since objects do not overlap.
    """
    outcomes = np.zeros((len(IOU_THRESHOLDS), len(scores)), np.int8)
    times = overlap.group.astype(np.int64) + ~evaluated
    ignored = (overlap.void + times @ overlap.shared) / overlap.sizes
    for t, threshold in enumerate(IOU_THRESHOLDS):
        matches = overlap.iou > threshold
        outcomes[t, ~matches.any(0) & (ignored <= threshold)] = FALSE_POSITIVE
        for row in matches[evaluated & ~overlap.group]:
            outcomes[t, row] = FALSE_POSITIVE
            if row.any():
                outcomes[t, np.where(row, scores, -np.inf).argmax()] = TRUE_POSITIVE
    return outcomes


def _area(scores: Scores, outcomes: NDArray[np.int8], objects: int) -> float:
    if not objects:
        return float("nan")
    kept = np.flatnonzero(outcomes != IGNORED)
    kept = kept[np.argsort(scores[kept])]
    correct = (outcomes[kept] == TRUE_POSITIVE).astype(np.int64)
    _, first = np.unique(scores[kept], return_index=True)
    tp = correct.sum() - np.concatenate([[0], np.cumsum(correct)])[first]
    precision = np.append(tp / (len(kept) - first), 1.0)
    recall = np.append(tp / objects, 0.0)
    padded = np.concatenate([recall[:1], recall, [0.0]])
    return float(precision @ (padded[:-2] - padded[2:]) / 2)


def _named(table: Scores, ranges: Sequence[str]) -> dict[str, float]:
    """Means of ``(D, K, T)`` as reported by the benchmark, which has no AP50 within 100 m."""
    named: dict[str, float] = {}
    for name, values in zip(ranges, table, strict=True):
        suffix = f"_{name}" if name else ""
        named[f"ap{suffix}"] = _mean(values)
        if name != "100m":
            named[f"ap{suffix}@0.5"] = _mean(values[:, 0])
    return named


def _mean(values: Scores) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float("nan")
