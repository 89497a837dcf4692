"""The common interface of all readers: a sample, and a dataset of samples."""

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
    """The complete annotated mask of an object, or of a crowd (a group of unseparated objects).

    Attributes:
        rle: COCO's compressed run lengths, ``{"size": [H, W], "counts": text}``.
        class_id: class of the object in the numbering of the dataset, None without class.
        area: area in pixels, as stated in the annotation if present; COCO's size ranges use it.
        crowd: whether it is a group of unseparated objects.
        key: id of the annotation in its file.

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
    """An image with its annotations.

    Attributes:
        name: name of the image within its dataset, without suffix.
        image: `(H, W, C)`, C = 1 or 3 (other if chosen), uint8, uint16 or float32, as stored.
        labels: `(H, W)` int64, 0 background, 1..K objects, -1 void.
        path: the image file, None for synthetic images.
        semantic: `(H, W)` int64 class ids, 0 background, -1 void. A region that is void in
            ``labels`` and has a class here is a group of unseparated objects.
        classes: `(K,)` int64 class of object 1..K, -1 without an evaluated class.
        annotations: label maps `(H, W)` of several annotators.
        boundaries: boundary maps `(H, W)` of several annotators.
        masks: complete masks of the objects 1..K, overlaps included, followed by the crowds.

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
    """A sequence of samples, which are read or drawn on access.

    Indexing past the end raises IndexError, so a dataset iterates like a list.

    Attributes:
        name: name of the dataset, such as ``"nuclei:fluorescence"``.
        split: ``"train"``, ``"val"``, ``"test"`` or ``"all"``.
        protocol: default evaluation protocol.
        other_protocols: further applicable protocols.
        class_names: class names by class id, background first; empty without classes.
        class_ids: id of each class in the files of the dataset, to write results for its official
            tools; empty if it equals the class id.
        has_background: whether class 0 occurs. If every pixel has a class or is void, predictions
            of 0 are not evaluated as a class.
        unlabelled_reason: for datasets without labels, the error message for code that needs them;
            empty for datasets with labels.
    """

    name: str
    split: str
    protocol: str = "matching"
    other_protocols: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    class_ids: tuple[int, ...] = ()
    has_background: bool = True
    unlabelled_reason: str = ""

    @abstractmethod
    def __len__(self) -> int:
        """Number of samples."""

    @abstractmethod
    def __getitem__(self, index: int) -> Sample:
        """Read sample ``index``; IndexError past the end."""

    @abstractmethod
    def names(self) -> list[str]:
        """Names of all samples in order, without reading images."""

    def distances(self, name: str) -> dict[int, tuple[float, float]]:
        """Distances of the objects of an image from the camera, for datasets that have them.

        Args:
            name: of the image.

        Returns:
            Median distance in metres and fraction of measured pixels, by instance id as in
            Cityscapes (1000 * label id + k for object k, from 0, of a class).

        Raises:
            CongealError: the dataset has no distances.

        Example:
            >>> from congeal.data.drawn import DrawnDataset
            >>> DrawnDataset("discs", "val").distances("val-00003")
            Traceback (most recent call last):
            ...
            congeal.errors.CongealError: expected distances of objects for val-00003, discs has none
        """
        raise CongealError(f"expected distances of objects for {name}, {self.name} has none")

    def __iter__(self) -> Iterator[Sample]:
        """Iterate over the samples."""
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        """Name, split and size, such as ``<sticks (train): 512 images>``."""
        return f"<{self.name} ({self.split}): {len(self)} images>"


class Subset(Dataset):
    """A selection of samples of another dataset.

    Args:
        dataset: the other dataset.
        indices: indices of the samples, in order.

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
        self.unlabelled_reason = dataset.unlabelled_reason
        self.dataset = dataset
        self.indices = list(indices)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Sample:
        return self.dataset[self.indices[index]]

    def names(self) -> list[str]:
        """Names of the selected samples."""
        names = self.dataset.names()
        return [names[index] for index in self.indices]

    def distances(self, name: str) -> dict[int, tuple[float, float]]:
        """Distances of the objects of an image, as of the other dataset."""
        return self.dataset.distances(name)
