"""The two things every reader agrees on: a sample, and a dataset that gives samples."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Dataset", "LabelMap", "Pixels", "Sample", "Subset"]

Pixels = NDArray[Any]
LabelMap = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Sample:
    """One image with the objects in it.

    Attributes:
        name: what the image is called within its dataset, without a file ending.
        image: `(H, W, C)`, C = 1 or 3, uint8, uint16 or float32 as it was stored.
        labels: `(H, W)` int64, 0 background, 1..K objects, -1 void.
        path: the file the image came from, None when it was drawn.

    Example:
        >>> image, labels = np.zeros((4, 5, 1), np.uint8), np.zeros((4, 5), np.int64)
        >>> Sample("blank", image, labels).image.shape
        (4, 5, 1)
    """

    name: str
    image: Pixels
    labels: LabelMap
    path: Path | None = None


class Dataset(ABC):
    """A list of samples that are read or drawn when asked for.

    Indexing past the end raises IndexError, so a dataset iterates like a list.

    Attributes:
        name: what the dataset is called, such as ``"nuclei:fluorescence"``.
        split: ``"train"``, ``"val"``, ``"test"`` or ``"all"``.
        protocol: the family of measures that fits the data.
    """

    name: str
    split: str
    protocol: str = "matching"

    @abstractmethod
    def __len__(self) -> int:
        """The number of samples."""

    @abstractmethod
    def __getitem__(self, index: int) -> Sample:
        """Sample ``index``; IndexError past the end."""

    @abstractmethod
    def names(self) -> list[str]:
        """The names of all samples in order, without reading any image."""

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
