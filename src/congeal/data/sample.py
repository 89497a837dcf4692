"""The two things every reader agrees on: a sample, and a dataset that gives samples."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from congeal.errors import CongealError

__all__ = ["Dataset", "LabelMap", "Mask", "ObjectMask", "Pixels", "Sample", "Subset"]

Pixels = NDArray[Any]
LabelMap = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class ObjectMask:
    """An object as it was annotated, whatever lies over it, or a crowd of uncounted ones.

    Attributes:
        rle: COCO's compressed run lengths, ``{"size": [H, W], "counts": text}``.
        class_id: class of the object in the dataset's numbering, None when it has none.
        area: pixels, as the annotation says where it does; COCO judges size by this number.
        crowd: whether it stands for objects that nobody told apart.
        key: what the annotation is called in its file.

    Example:
        >>> ObjectMask({"size": [1, 2], "counts": "11"}, class_id=3, area=1.0).crowd
        False
    """

    rle: dict[str, Any]
    class_id: int | None
    area: float
    crowd: bool = False
    key: int | str | None = None


@dataclass(frozen=True, eq=False)
class Sample:
    """One image with the objects in it, and whatever else is known about them.

    Attributes:
        name: what the image is called within its dataset, without a file ending.
        image: `(H, W, C)`, C = 1 or 3, uint8, uint16 or float32 as it was stored.
        labels: `(H, W)` int64, 0 background, 1..K objects, -1 void.
        path: the file the image came from, None when it was drawn.
        semantic: `(H, W)` int64 class ids, 0 background, -1 void. A region that is void in
            ``labels`` and has a class here holds objects of it that nobody told apart.
        classes: `(K,)` int64 class of object 1..K, -1 where it has none that counts.
        annotations: label maps `(H, W)` by several annotators.
        boundaries: the boundaries `(H, W)` that each annotator drew.
        masks: the objects 1..K whole, overlaps included, then the crowds.

    Example:
        >>> image, labels = np.zeros((4, 5, 1), np.uint8), np.zeros((4, 5), np.int64)
        >>> Sample("blank", image, labels).image.shape
        (4, 5, 1)
    """

    name: str
    image: Pixels
    labels: LabelMap
    path: Path | None = None
    semantic: LabelMap | None = None
    classes: LabelMap | None = None
    annotations: tuple[LabelMap, ...] = ()
    boundaries: tuple[Mask, ...] = ()
    masks: tuple[ObjectMask, ...] = ()

    def __repr__(self) -> str:
        shape, kind = " x ".join(map(str, self.image.shape)), self.image.dtype
        count = len(np.unique(self.labels[self.labels > 0]))
        return f"Sample({self.name!r}, {shape} {kind}, {count} object{'s' * (count != 1)})"


class Dataset(ABC):
    """A list of samples that are read or drawn when asked for.

    Indexing past the end raises IndexError, so a dataset iterates like a list.

    Attributes:
        name: what the dataset is called, such as ``"nuclei:fluorescence"``.
        split: ``"train"``, ``"val"``, ``"test"`` or ``"all"``.
        protocol: the family of measures that belongs to the data.
        other_protocols: more that make sense for it.
        class_names: names of the classes by class id, the background first; empty without classes.
        class_ids: the number of each class in the dataset's own files, to write results its
            official tools read; empty where it is the class id itself.
        has_background: whether class 0 occurs; where every pixel has a class or is void, a
            prediction of 0 says nothing.
        lacks_truth: why nothing is known of the images, as whoever needs labels is told; empty
            where they have labels.
    """

    name: str
    split: str
    protocol: str = "matching"
    other_protocols: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    class_ids: tuple[int, ...] = ()
    has_background: bool = True
    lacks_truth: str = ""

    @abstractmethod
    def __len__(self) -> int:
        """The number of samples."""

    @abstractmethod
    def __getitem__(self, index: int) -> Sample:
        """Sample ``index``; IndexError past the end."""

    @abstractmethod
    def names(self) -> list[str]:
        """The names of all samples in order, without reading any image."""

    def distances(self, name: str) -> dict[int, tuple[float, float]]:
        """How far the objects of an image are, where the data tells.

        Args:
            name: of the image.

        Returns:
            By number as in Cityscapes' files (1000 times that of the class, and one from 0 in the
            order of the labels): median metres, and the share of the pixels that was measured.

        Raises:
            CongealError: the data does not tell.

        Example:
            >>> from congeal.data.drawn import DrawnDataset
            >>> DrawnDataset("discs", "val").distances("val-00003")
            Traceback (most recent call last):
            ...
            congeal.errors.CongealError: expected distances of objects for val-00003, discs has none
        """
        raise CongealError(f"expected distances of objects for {name}, {self.name} has none")

    def __iter__(self) -> Iterator[Sample]:
        """Give the samples one after the other."""
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        """Name, split and size, such as ``<sticks (train): 512 images>``."""
        return f"<{self.name} ({self.split}): {len(self)} images>"


class Subset(Dataset):
    """Some samples of another dataset.

    Args:
        dataset: where the samples come from.
        indices: which ones, in order.

    Example:
        >>> from congeal.data.drawn import DrawnDataset
        >>> Subset(DrawnDataset("discs", "val"), [3, 1]).names()
        ['val-00003', 'val-00001']
    """

    def __init__(self, dataset: Dataset, indices: Sequence[int]) -> None:
        self.name = dataset.name
        self.split = dataset.split
        self.protocol = dataset.protocol
        self.other_protocols = dataset.other_protocols
        self.class_names = dataset.class_names
        self.class_ids = dataset.class_ids
        self.has_background = dataset.has_background
        self.lacks_truth = dataset.lacks_truth
        self.dataset = dataset
        self.indices = list(indices)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Sample:
        return self.dataset[self.indices[index]]

    def names(self) -> list[str]:
        """The names of the chosen samples."""
        names = self.dataset.names()
        return [names[index] for index in self.indices]

    def distances(self, name: str) -> dict[int, tuple[float, float]]:
        """How far the objects of an image are, as the whole dataset tells it."""
        return self.dataset.distances(name)
