"""What a method with an index of training images offers beside the contract."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from congeal.data.sample import Dataset

__all__ = ["Indexed", "IndexedImage"]


@dataclass(frozen=True)
class IndexedImage:
    """A training image as an index remembers it.

    Attributes:
        name: of the image.
        segments: prototypes that it gave.
        classes: class ids that occur among them, rising; 0 is background.
        bytes: memory of the prototypes and what is kept with them.
    """

    name: str
    segments: int
    classes: tuple[int, ...]
    bytes: int


@runtime_checkable
class Indexed(Protocol):
    """A method that answers by looking up training images, which can be added and forgotten."""

    def indexed_images(self) -> list[IndexedImage]:
        """The images of the index, in the order in which they came."""
        ...

    def index_images(
        self, dataset: Dataset, on_image: Callable[[int, int], None] = lambda done, total: None
    ) -> int:
        """Add images to the index, in place of those of the same name; how many were added.

        Args:
            dataset: images with their classes.
            on_image: called with the number of images done and their count.

        Raises:
            CongealError: the data does not hold what the index is made of.
        """
        ...

    def forget_image(self, name: str) -> int:
        """Take an image out of the index; how many segments went with it.

        Raises:
            CongealError: there is no image of that name; the nearest is suggested.
        """
        ...
