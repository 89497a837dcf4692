"""Objects of a volume from the objects of its planes, joined where they overlap.

Flow: label maps of planes -> :class:`PlaneStitcher`, one plane after another -> label volume.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from congeal.errors import CongealError
from congeal.labels import areas, check_labels, contingency

__all__ = ["PlaneStitcher", "kept_numbers", "stitch_planes"]

Labels = NDArray[np.int64]


@dataclass
class PlaneStitcher:
    """Gives the objects of planes the numbers of the objects of a volume that they are part of.

    The rule: between an object of a plane and one of the plane before, of one class, the
    intersection over union of their pixels is taken. Pairs that reach ``min_iou`` are joined, the
    highest first, each object once. So an object that parts goes on in the part that overlaps
    more, and of two that meet the one that overlaps more goes on; the other part begins, or ends.
    With ``max_gap`` an object that has no successor is compared with what is left of so many
    further planes as well, the nearer first; planes between stay empty. Of pairs with the same
    IoU the one whose new object comes first in its plane is joined first. The numbers that
    objects have in their planes do not matter.

    Args:
        min_iou: least overlap of what is joined, above 0 and up to 1.
        max_gap: planes that an object may be missing in.

    Raises:
        CongealError: a value is out of range.

    Example:
        >>> stitcher = PlaneStitcher()
        >>> [stitcher.add(plane).tolist() for plane in ([[7, 7, 0]], [[3, 0, 4]])]
        [[[1, 1, 0]], [[1, 0, 2]]]
    """

    min_iou: float = 0.25
    max_gap: int = 0
    classes: list[int] = field(default_factory=list)  # of objects of the volume, from number 1
    shape: tuple[int, ...] | None = None
    _ended: list[Labels] = field(default_factory=list)  # of the planes before, what may go on

    def __post_init__(self) -> None:
        if not 0 < self.min_iou <= 1:
            raise CongealError(f"expected an IoU above 0 and up to 1, got {self.min_iou}")
        if self.max_gap < 0:
            raise CongealError(f"expected a gap of at least 0 planes, got {self.max_gap}")

    def add(self, plane: ArrayLike, classes: ArrayLike | None = None) -> Labels:
        """Number the objects of the next plane.

        Args:
            plane: label map ``(H, W)``, or of any other shape; 0 background, -1 void.
            classes: of its objects 1..K, ``(K,)``; None: all are of one class.

        Returns:
            The plane with the numbers of the volume, 0 elsewhere.

        Raises:
            CongealError: it is no label map, of another shape than those before, or has objects
                without a class.
        """
        labels = _by_place(check_labels(plane, "plane"))
        if self.shape not in (None, labels[0].shape):
            raise CongealError(f"expected planes of shape {self.shape}, got {labels[0].shape}")
        self.shape = labels[0].shape
        kinds = _kinds(labels[1], classes)
        numbers = np.zeros(len(kinds) + 1, np.int64)  # of the volume, by object of the plane
        for before in self._ended:
            self._join(before, labels[0], kinds, numbers)
        for place in np.flatnonzero(numbers[1:] == 0) + 1:
            self.classes.append(int(kinds[place - 1]))
            numbers[place] = len(self.classes)
        found: Labels = numbers[labels[0]]
        gone = [np.where(np.isin(old, numbers[1:]), 0, old) for old in self._ended]
        self._ended = [found, *gone][: self.max_gap + 1]
        return found

    def _join(self, before: Labels, plane: Labels, kinds: Labels, numbers: Labels) -> None:
        """Give objects that have no number yet that of the object of an earlier plane."""
        free = np.where(numbers[plane] == 0, plane, 0)
        old = np.where(np.isin(before, numbers[1:]), 0, before)
        table = contingency(old, free).objects()
        union = table.true_areas[table.rows] + table.pred_areas[table.cols] - table.counts
        iou = table.counts / union
        first, second = table.true_ids[table.rows], table.pred_ids[table.cols]
        same = np.array(self.classes, np.int64)[first - 1] == kinds[second - 1]
        taken: set[int] = set()
        for pair in np.lexsort((first, second, -iou)):
            if iou[pair] < self.min_iou:
                break
            one, other = int(first[pair]), int(second[pair])
            if same[pair] and one not in taken and not numbers[other]:
                taken.add(one)
                numbers[other] = one


def stitch_planes(
    planes: Iterable[ArrayLike],
    *,
    min_iou: float = 0.25,
    max_gap: int = 0,
    min_planes: int = 1,
    classes: Sequence[ArrayLike] | None = None,
) -> Labels:
    """Join the objects of planes into the objects of a volume, by how much they overlap.

    The rule is that of :class:`PlaneStitcher`: between neighbouring planes pairs of objects are
    joined from the highest intersection over union down to ``min_iou``, each object once.

    Args:
        planes: label maps of one shape, mostly ``(H, W)``, from the first plane to the last:
            0 background, 1..K objects, -1 void (background here).
        min_iou: least overlap of what is joined, above 0 and up to 1. Lower joins objects whose
            outline changes quickly from plane to plane, higher keeps apart what lies on top of
            each other.
        max_gap: planes that an object may be missing in.
        min_planes: objects of fewer planes are left out.
        classes: for each plane the class of its objects 1..K; None: all are of one class. Objects
            of different classes are never joined.

    Returns:
        ``(Z, H, W)`` int64, objects 1..K in the order in which they begin.

    Raises:
        CongealError: there is no plane, shapes differ, or a value is out of range.

    Example:
        >>> planes = [[[1, 1, 0, 0]], [[2, 2, 0, 5]], [[0, 0, 0, 1]]]
        >>> stitch_planes(planes)[:, 0].tolist()
        [[1, 1, 0, 0], [1, 1, 0, 2], [0, 0, 0, 2]]
        >>> int(stitch_planes(planes, min_planes=3).max())
        0
    """
    stitcher = PlaneStitcher(min_iou, max_gap)
    maps = list(planes)
    if not maps:
        raise CongealError("expected at least one plane, got none")
    kinds = [None] * len(maps) if classes is None else list(classes)
    if len(kinds) != len(maps):
        raise CongealError(f"expected classes for {len(maps)} planes, got {len(kinds)}")
    volume = np.stack([stitcher.add(*pair) for pair in zip(maps, kinds, strict=True)])
    numbers: Labels = kept_numbers(volume, len(stitcher.classes), min_planes)[volume]
    return numbers


def kept_numbers(volume: Labels, count: int, min_planes: int) -> Labels:
    """New numbers of the objects of a volume, 0 for those of too few planes.

    Args:
        volume: ``(Z, ...)``, objects 1..count.
        count: of objects.
        min_planes: in which an object has to be.

    Returns:
        ``(count + 1,)``, of the background too.
    """
    if min_planes < 1:
        raise CongealError(f"expected at least 1 plane for an object, got {min_planes}")
    seen = np.zeros(count + 1, np.int64)
    for plane in volume:
        seen[areas(plane)[0]] += 1
    kept = seen >= min_planes
    kept[0] = False
    return np.where(kept, kept.cumsum(), 0)


def _by_place(labels: Labels) -> tuple[Labels, Labels]:
    """Number the objects by their first pixel, and give the labels that they had, in this order."""
    flat = np.maximum(labels, 0).ravel()
    names, first, codes = np.unique(flat, return_index=True, return_inverse=True)
    inside = names > 0
    order = np.argsort(np.where(inside, first, -1), kind="stable")
    order = order[np.count_nonzero(~inside) :]
    numbers = np.zeros(len(names), np.int64)
    numbers[order] = np.arange(1, len(order) + 1)
    return numbers[codes].reshape(labels.shape), names[order].astype(np.int64)


def _kinds(names: Labels, classes: ArrayLike | None) -> Labels:
    """Class of each object, by the label that it had."""
    if classes is None:
        return np.ones(len(names), np.int64)
    given = np.asarray(classes, np.int64)
    if given.ndim != 1 or names.max(initial=0) > len(given):
        raise CongealError(
            f"expected the classes of {names.max(initial=0)} objects, got shape {given.shape}"
        )
    return given[names - 1]
