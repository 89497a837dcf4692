"""Average precision of instances as the Cityscapes benchmark measures it.

Cordts et al. 2016 (https://arxiv.org/abs/1604.01685, section 4.1) and the rules of its programme
(cityscapesScripts 2.3.0, instance level), with the distances of AP100m and AP50m:

- A prediction finds an object of its class when their IoU is above the threshold (.5, .55 to
  .95). Several may find one object: that of the highest score is right, the others are wrong.
- Objects with fewer than 100 pixels (1000 where distances count), farther than the limit, or with
  a distance measured on less than half of their pixels are not looked for.
- A prediction that finds nothing is wrong, unless the share of its pixels that are void, group,
  or of objects not looked for is above the threshold: then it is dropped. Pixels of a group that
  is too small or far as well count twice, as in the programme.
- The curve has one point for each distinct score and ends in recall 0 and precision 1. The area
  is a sum of steps centred on the points, sum P_i (R_(i-1) - R_(i+1)) / 2, without an envelope.
- A class without objects to look for is NaN and is left out of means; one without predictions 0.
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
DROPPED, RIGHT, WRONG = 0, 1, 2


@dataclass(frozen=True)
class _Range:
    """Which objects are looked for."""

    name: str
    least_pixels: int
    farthest: float
    least_measured: float


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
        objects: number of true objects that are looked for at any distance.
        predicted: number of predictions of the classes.
    """

    classes: tuple[str, ...]
    ranges: tuple[str, ...]
    table: Scores
    images: int
    objects: int
    predicted: int

    def per_class(self) -> dict[str, dict[str, float]]:
        """Give the numbers of each class by its name.

        Example:
            >>> cityscapes_scores(prediction=[], truth=[]).per_class()["car"]
            {'ap': nan, 'ap@0.5': nan}
        """
        return {
            name: _named(self.table[:, [k]], self.ranges) for k, name in enumerate(self.classes)
        }

    def as_dict(self) -> dict[str, float]:
        """Give the means by name: ``ap``, ``ap@0.5``, ``ap_100m``, ``ap_50m``, ``ap/NAME``.

        Example:
            >>> sorted(cityscapes_scores(prediction=[], truth=[]).as_dict())[:4]
            ['ap', 'ap/bicycle', 'ap/bus', 'ap/car']
        """
        counted = {"images": self.images, "objects": self.objects, "predicted": self.predicted}
        each = {f"ap/{name}": scores["ap"] for name, scores in self.per_class().items()}
        return {**_named(self.table, self.ranges), **each, **counted}


@dataclass(frozen=True, eq=False)
class _ImageFates:
    """What one image adds: predictions with their fate ``(D, T, P)``, objects ``(D, K)``."""

    classes: Integers
    scores: Scores
    fates: NDArray[np.int8]
    objects: Integers


@dataclass(frozen=True, eq=False)
class _Overlap:
    """How R true objects and groups meet C predictions; of other classes they do not."""

    areas: Integers  # (R,)
    sizes: Integers  # (C,)
    group: Flags  # (R,)
    shared: Integers  # (R, C)
    iou: Scores  # (R, C)
    hidden: Integers  # (C,) pixels on void


class CityscapesMetric(Recorded[_ImageFates]):
    """AP of Cityscapes over images that come one by one.

    The order of images and predictions plays no part. Per prediction a score and its fate at each
    threshold are kept, no masks.

    Args:
        classes: name by id of the classes to score; predictions of others take no part.
        void: ids of the truth that are void, besides -1.
        distances: whether to measure within 100 m and 50 m too.

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
                n, and the class alone for stuff, groups and void; :func:`instance_ids` makes it.
            distances: median distance in metres of objects by their id, and the share of their
                pixels where it was measured. Objects that are not there are not near.
            image: its name or number.

        Raises:
            CongealError: the sizes differ, ``truth`` is no map of ids, or the image came before
                with another outcome.

        Example:
            >>> blank = np.zeros((2, 3), int)
            >>> CityscapesMetric().update(
            ...     prediction=Objects.from_labels(blank), truth=blank, image="aachen_0"
            ... )
        """
        true, own = self._truth(truth)
        found = prediction.take(
            np.isin(prediction.classes, list(self.classes)) & (prediction.pixels() > 0)
        )
        overlap = _overlap(true, own, found)
        sought = [_within(overlap.areas, own, distances or {}, scope) for scope in self._ranges()]
        fates = np.stack([_fates(overlap, found.scores, chosen) for chosen in sought])
        wanted = np.stack(sought) & (own >= GROUP_BELOW)
        objects = np.stack([wanted[:, true.classes == c].sum(1) for c in self.classes], axis=1)
        self._records.add(_ImageFates(found.classes, found.scores, fates, objects), image)

    def compute(self) -> dict[str, float]:
        """Give the numbers by name, as :meth:`CityscapesResult.as_dict`.

        Example:
            >>> CityscapesMetric(distances=True).compute()["ap_50m"]
            nan
        """
        return self.result().as_dict()

    def result(self) -> CityscapesResult:
        """Give average precision by range, class and threshold.

        Example:
            >>> CityscapesMetric(distances=True).result().table.shape
            (3, 8, 10)
        """
        images, ranges = self._records.ordered(), self._ranges()
        shape = len(ranges), len(self.classes), len(IOU_THRESHOLDS)
        none = np.zeros((shape[0], shape[2], 0), np.int8)
        fates = np.concatenate([none, *(one.fates for one in images)], axis=2)
        scores = np.concatenate([np.zeros(0), *(one.scores for one in images)])
        classes = np.concatenate([np.zeros(0, np.int64), *(one.classes for one in images)])
        objects = sum((one.objects for one in images), np.zeros(shape[:2], np.int64))
        table = np.full(shape, np.nan)
        for d, k, t in np.ndindex(shape):
            mine = classes == list(self.classes)[k]
            table[d, k, t] = _area(scores[mine], fates[d, t, mine], int(objects[d, k]))
        return CityscapesResult(
            tuple(self.classes.values()),
            tuple(scope.name for scope in ranges),
            table,
            len(images),
            int(objects[0].sum()),
            len(scores),
        )

    def _truth(self, ids: ArrayLike) -> tuple[Objects, Integers]:
        """Take objects and groups of the classes, and their ids."""
        array = check_labels(ids, "ids")
        classes = np.where(array < GROUP_BELOW, array, array // GROUP_BELOW)
        kept = np.where(np.isin(classes, list(self.classes)), array, 0)
        own = np.unique(kept[kept > 0])
        kept[np.isin(array, self.void)] = VOID
        own = own[~np.isin(own, self.void)]
        return Objects.from_labels(kept, np.where(own < GROUP_BELOW, own, own // GROUP_BELOW)), own

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
    """Score all images at once, as :class:`CityscapesMetric` does one by one.

    Args:
        prediction: the predictions of each image.
        truth: map of ids of each image, ``(H, W)``, see :meth:`CityscapesMetric.update`.
        classes: name by id of the classes to score.
        void: ids of the truth that are void, besides -1.
        distances: of each image the distances of its objects; without, AP100m and AP50m are
            left out.

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
    for true, found, known in zip(truth, prediction, measured, strict=True):
        metric.update(prediction=found, truth=true, distances=known)
    return metric.result()


def _within(pixels: Integers, ids: Integers, distances: Distances, scope: _Range) -> Flags:
    unknown = (-1.0, 0.0)  # what the programme assumes: no distance, measured nowhere
    near = np.array([distances.get(i, unknown) for i in ids.tolist()]).reshape(-1, 2)
    return np.asarray(
        (pixels >= scope.least_pixels)
        & (near[:, 0] <= scope.farthest)
        & (near[:, 1] >= scope.least_measured)
    )


def _overlap(true: Objects, ids: Integers, pred: Objects) -> _Overlap:
    same = true.classes[:, None] == pred.classes
    shared = np.where(same, intersections(true, pred), 0)
    areas, sizes = true.pixels(), pred.pixels()
    iou = shared / (areas[:, None] + sizes - shared)
    return _Overlap(areas, sizes, ids < GROUP_BELOW, shared, iou, void_pixels(true, pred))


def _fates(overlap: _Overlap, scores: Scores, sought: Flags) -> NDArray[np.int8]:
    """Tell predictions that are right, wrong or dropped at each threshold, ``(T, P)``.

    From an IoU of .5 on, a prediction finds one object at most, since objects do not overlap.
    """
    fates = np.zeros((len(IOU_THRESHOLDS), len(scores)), np.int8)
    times = overlap.group.astype(np.int64) + ~sought
    ignored = (overlap.hidden + times @ overlap.shared) / overlap.sizes
    for t, threshold in enumerate(IOU_THRESHOLDS):
        finds = overlap.iou > threshold
        fates[t, ~finds.any(0) & (ignored <= threshold)] = WRONG
        for row in finds[sought & ~overlap.group]:
            fates[t, row] = WRONG
            if row.any():
                fates[t, np.where(row, scores, -np.inf).argmax()] = RIGHT
    return fates


def _area(scores: Scores, fates: NDArray[np.int8], objects: int) -> float:
    if not objects:
        return float("nan")
    kept = np.flatnonzero(fates != DROPPED)
    kept = kept[np.argsort(scores[kept])]
    right = (fates[kept] == RIGHT).astype(np.int64)
    _, first = np.unique(scores[kept], return_index=True)
    found = right.sum() - np.concatenate([[0], np.cumsum(right)])[first]
    precision = np.append(found / (len(kept) - first), 1.0)
    recall = np.append(found / objects, 0.0)
    around = np.concatenate([recall[:1], recall, [0.0]])
    return float(precision @ (around[:-2] - around[2:]) / 2)


def _named(table: Scores, ranges: Sequence[str]) -> dict[str, float]:
    """Name the means of ``(D, K, T)`` as the benchmark reports them: no AP50 within 100 m."""
    named: dict[str, float] = {}
    for name, values in zip(ranges, table, strict=True):
        suffix = f"_{name}" if name else ""
        named[f"ap{suffix}"] = _mean(values)
        if name != "100m":
            named[f"ap{suffix}@0.5"] = _mean(values[:, 0])
    return named


def _mean(values: Scores) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")
