"""Stitching of the objects of planes to objects of a volume, by overlap.

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
    """Assigns volume labels to the objects of successive planes.

    Objects of the same class in neighbouring planes are matched one to one, greedily in descending
    order of IoU down to ``min_iou``. If an object splits, the part of larger IoU continues it and
    the other starts a new object; if two objects merge, the one of larger IoU continues. With
    ``max_gap``, an object without successor is also compared with unmatched objects of that many
    further planes, nearer planes first; planes in between stay empty. Ties are resolved by the
    first pixel of the objects. The labels of the planes do not matter.

    Args:
        min_iou: minimum IoU of a match, in (0, 1].
        max_gap: maximum number of consecutive planes in which an object may be missing.

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
    _open: list[Labels] = field(default_factory=list)  # earlier planes: objects that may continue

    def __post_init__(self) -> None:
        if not 0 < self.min_iou <= 1:
            raise CongealError(f"expected an IoU above 0 and up to 1, got {self.min_iou}")
        if self.max_gap < 0:
            raise CongealError(f"expected a gap of at least 0 planes, got {self.max_gap}")

    def add(self, plane: ArrayLike, classes: ArrayLike | None = None) -> Labels:
        """Add the next plane.

        Args:
            plane: label map, ``(H, W)`` or another shape; 0 background, -1 void.
            classes: class of each object 1..K, ``(K,)``; None: all have the same class.

        Returns:
            The plane with volume labels, 0 elsewhere.

        Raises:
            CongealError: the plane is not a label map, has another shape than earlier planes, or
                has objects without a class.
        """
        labels = _by_first_pixel(check_labels(plane, "plane"))
        if self.shape not in (None, labels[0].shape):
            raise CongealError(f"expected planes of shape {self.shape}, got {labels[0].shape}")
        self.shape = labels[0].shape
        kinds = _kinds(labels[1], classes)
        numbers = np.zeros(len(kinds) + 1, np.int64)  # of the volume, by object of the plane
        for before in self._open:
            self._join(before, labels[0], kinds, numbers)
        for new in np.flatnonzero(numbers[1:] == 0) + 1:
            self.classes.append(int(kinds[new - 1]))
            numbers[new] = len(self.classes)
        stitched: Labels = numbers[labels[0]]
        earlier = [np.where(np.isin(old, numbers[1:]), 0, old) for old in self._open]
        self._open = [stitched, *earlier][: self.max_gap + 1]
        return stitched

    def _join(self, before: Labels, plane: Labels, kinds: Labels, numbers: Labels) -> None:
        """Match objects without number to the objects of an earlier plane."""
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
            old_number, new = int(first[pair]), int(second[pair])
            if same[pair] and old_number not in taken and not numbers[new]:
                taken.add(old_number)
                numbers[new] = old_number


def stitch_planes(
    planes: Iterable[ArrayLike],
    *,
    min_iou: float = 0.25,
    max_gap: int = 0,
    min_planes: int = 1,
    classes: Sequence[ArrayLike] | None = None,
) -> Labels:
    """Stitch the objects of planes to objects of a volume, by their overlap.

    Objects of neighbouring planes are matched one to one, greedily in descending order of IoU down
    to ``min_iou``; see :class:`PlaneStitcher`.

    Args:
        planes: label maps of the same shape, usually ``(H, W)``, from first to last: 0 background,
            1..K objects, -1 void (treated as background).
        min_iou: minimum IoU of a match, in (0, 1]. Lower values join objects whose outline changes
            quickly between planes; higher values separate objects on top of each other.
        max_gap: maximum number of consecutive planes in which an object may be missing.
        min_planes: objects in fewer planes are removed.
        classes: class of each object 1..K, by plane; None: all have the same class. Objects of
            different classes are never joined.

    Returns:
        ``(Z, H, W)`` int64, objects 1..K in the order of their first plane.

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
    """New labels of the objects of a volume, 0 for objects in too few planes.

    Args:
        volume: ``(Z, ...)``, objects 1..count.
        count: number of objects.
        min_planes: minimum number of planes of an object.

    Returns:
        ``(count + 1,)``, with the background at index 0.
    """
    if min_planes < 1:
        raise CongealError(f"expected at least 1 plane for an object, got {min_planes}")
    planes = np.zeros(count + 1, np.int64)
    for plane in volume:
        planes[areas(plane)[0]] += 1
    kept = planes >= min_planes
    kept[0] = False
    return np.where(kept, kept.cumsum(), 0)


def _by_first_pixel(labels: Labels) -> tuple[Labels, Labels]:
    """Renumber objects in order of their first pixel; also returns the original labels."""
    flat = np.maximum(labels, 0).ravel()
    names, first, codes = np.unique(flat, return_index=True, return_inverse=True)
    inside = names > 0
    order = np.argsort(np.where(inside, first, -1), kind="stable")
    order = order[np.count_nonzero(~inside) :]
    numbers = np.zeros(len(names), np.int64)
    numbers[order] = np.arange(1, len(order) + 1)
    return numbers[codes].reshape(labels.shape), names[order].astype(np.int64)


def _kinds(names: Labels, classes: ArrayLike | None) -> Labels:
    """Class of each object, by its original label."""
    if classes is None:
        return np.ones(len(names), np.int64)
    given = np.asarray(classes, np.int64)
    if given.ndim != 1 or names.max(initial=0) > len(given):
        raise CongealError(
            f"expected the classes of {names.max(initial=0)} objects, got shape {given.shape}"
        )
    return given[names - 1]
