"""Storage of the objects of a result: a label map if disjoint, else cropped masks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy import ndimage

__all__ = [
    "Crop",
    "CropObjects",
    "LabelObjects",
    "ObjectMasks",
    "objects_from_crops",
    "objects_from_masks",
]

Pixels = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True)
class Crop:
    """A mask `(h, w)`, cropped to its bounding box with upper left pixel (``top``, ``left``)."""

    top: int
    left: int
    mask: NDArray[np.bool_]

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns of the image that the mask covers."""
        height, width = self.mask.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


class ObjectMasks(Protocol):
    """Interface of the storage of objects; indices start at 0."""

    shape: tuple[int, int]
    disjoint: bool

    def __len__(self) -> int:
        """Number of objects."""

    def crops(self) -> Iterator[Crop]:
        """Iterate over the objects, each cropped to its bounding box."""

    def pixels(self) -> Pixels:
        """Object index, row and column of every pixel of every object, each `(P,)`."""

    def label_map(self, priority: NDArray[np.float32], dtype: DTypeLike = np.int64) -> NDArray[Any]:
        """Label map `(H, W)` with ids 1..N; where objects overlap, the higher priority wins."""

    def select(self, keep: NDArray[np.int64]) -> ObjectMasks:
        """Select objects by indices, in the given order."""


class LabelObjects:
    """Disjoint objects as one label map `(H, W)` with ids 1..N."""

    disjoint = True

    def __init__(self, labels: NDArray[np.int32], count: int) -> None:
        self._labels = labels
        self._count = count
        self.shape = (labels.shape[0], labels.shape[1])

    def __len__(self) -> int:
        return self._count

    def crops(self) -> Iterator[Crop]:
        """Iterate over the objects, each cropped to its bounding box."""
        for index, window in enumerate(ndimage.find_objects(self._labels)):
            rows, columns = window
            yield Crop(rows.start, columns.start, self._labels[window] == index + 1)

    def pixels(self) -> Pixels:
        """Object index, row and column of every pixel of every object, each `(P,)`."""
        rows, columns = np.nonzero(self._labels)
        return self._labels[rows, columns].astype(np.int64) - 1, rows, columns

    def label_map(self, priority: NDArray[np.float32], dtype: DTypeLike = np.int64) -> NDArray[Any]:
        """The label map; ``priority`` is ignored, since objects are disjoint."""
        return self._labels.astype(dtype)

    def select(self, keep: NDArray[np.int64]) -> LabelObjects:
        """Select objects by indices, in the given order."""
        table = np.zeros(self._count + 1, np.int32)
        table[keep + 1] = np.arange(1, len(keep) + 1)
        return LabelObjects(table[self._labels], len(keep))


class CropObjects:
    """Objects that may overlap, stored as cropped masks."""

    disjoint = False

    def __init__(self, crops: list[Crop], shape: tuple[int, int]) -> None:
        self._crops = crops
        self.shape = shape

    def __len__(self) -> int:
        return len(self._crops)

    def crops(self) -> Iterator[Crop]:
        """Iterate over the objects, each cropped to its bounding box."""
        yield from self._crops

    def pixels(self) -> Pixels:
        """Object index, row and column of every pixel of every object, each `(P,)`."""
        parts = [np.nonzero(crop.mask) for crop in self._crops]
        empty = [np.zeros(0, np.int64)]
        rows = [y + crop.top for (y, _), crop in zip(parts, self._crops, strict=True)]
        columns = [x + crop.left for (_, x), crop in zip(parts, self._crops, strict=True)]
        index = np.repeat(np.arange(len(parts)), [len(y) for y in rows])
        return index, np.concatenate(empty + rows), np.concatenate(empty + columns)

    def label_map(self, priority: NDArray[np.float32], dtype: DTypeLike = np.int64) -> NDArray[Any]:
        """Paint ids 1..N into `(H, W)`; the higher priority wins, then the earlier object."""
        painted = np.zeros(self.shape, dtype)
        for index in np.argsort(-priority, kind="stable")[::-1]:
            crop = self._crops[index]
            painted[crop.window][crop.mask] = index + 1
        return painted

    def select(self, keep: NDArray[np.int64]) -> ObjectMasks:
        """Select objects by indices, in the given order."""
        return objects_from_crops([self._crops[i] for i in keep], self.shape)


def _cut(mask: NDArray[np.bool_]) -> Crop:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    window = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    return Crop(int(rows[0]), int(columns[0]), mask[window].copy())


def objects_from_crops(crops: list[Crop], shape: tuple[int, int]) -> ObjectMasks:
    """Store objects as one label map if they are disjoint, else as crops."""
    labels = np.zeros(shape, np.int32)
    for index, crop in enumerate(crops):
        part = labels[crop.window]
        if part[crop.mask].any():
            return CropObjects(crops, shape)
        part[crop.mask] = index + 1
    return LabelObjects(labels, len(crops))


def objects_from_masks(masks: NDArray[np.bool_]) -> ObjectMasks:
    """Store non-empty masks `(N, H, W)` as a label map if they are disjoint, else as crops.

    Example:
        >>> objects_from_masks(np.eye(2, dtype=bool)[:, None]).disjoint
        True
    """
    return objects_from_crops([_cut(mask) for mask in masks], masks.shape[1:])
