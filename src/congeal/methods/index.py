"""The protocol of methods that answer from an index of training images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from congeal.data.sample import Dataset

__all__ = ["Indexed", "IndexedImage"]


@dataclass(frozen=True)
class IndexedImage:
    """A training image in an index.

    Attributes:
        name: of the image.
        segments: number of its prototypes.
        classes: class ids of these segments, ascending; 0 is background.
        bytes: memory of the prototypes and what is kept with them.
    """

    name: str
    segments: int
    classes: tuple[int, ...]
    bytes: int


@runtime_checkable
class Indexed(Protocol):
    """A method that looks up training images; images can be added and removed without training."""

    def indexed_images(self) -> list[IndexedImage]:
        """The images of the index, in the order they were added."""
        ...

    def index_images(
        self, dataset: Dataset, on_image: Callable[[int, int], None] = lambda done, total: None
    ) -> int:
        """Add images to the index, replacing those of the same name; returns how many were added.

        Args:
            dataset: images with their classes.
            on_image: called with the number of images done and their count.

        Raises:
            CongealError: the data has no classes or objects.
        """
        ...

    def forget_image(self, name: str) -> int:
        """Remove an image from the index; returns the number of segments removed.

        Raises:
            CongealError: there is no image of that name; the nearest is suggested.
        """
        ...
