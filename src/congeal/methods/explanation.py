"""The protocol of methods that explain an answer by similar training segments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from congeal.methods.maps import MapPrediction

__all__ = ["Explaining", "Explanation", "Match"]

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Match:
    """A training segment similar to a segment of an image.

    Attributes:
        image: name of the training image.
        class_id: class of the training segment, 0 background.
        similarity: cosine of the prototypes, [-1, 1].
        box: y0, x0, y1, x1 of the training segment, as shares of the sides of its image.
    """

    image: str
    class_id: int
    similarity: float
    box: Box


@dataclass(frozen=True)
class Explanation:
    """A segment of an image with the training segments that voted on its class.

    Attributes:
        segment: number of the segment in the map of segments.
        class_id: the class that won, 0 background.
        share: of the votes that it won by, (0, 1].
        box: y0, x0, y1, x1 of the segment, as shares of the sides of the image.
        matches: the nearest training segments, nearest first.
    """

    segment: int
    class_id: int
    share: float
    box: Box
    matches: tuple[Match, ...]


@runtime_checkable
class Explaining(Protocol):
    """A method that names, for each segment of an image, the most similar training segments."""

    def segments(self, maps: MapPrediction) -> NDArray[np.int64]:
        """The map of segments ``(H, W)``, numbered 1..K as in :meth:`explain`."""
        ...

    def explain(self, maps: MapPrediction) -> list[Explanation]:
        """For each segment of an image, the training segments that voted on its class.

        Raises:
            CongealError: the index is empty.
        """
        ...

    def training_picture(self, name: str) -> NDArray[Any] | None:
        """A small picture ``(h, w, 3)`` uint8 of a training image; None where none is kept."""
        ...

    def training_vectors(self) -> tuple[Tensor, Tensor]:
        """``(M, D)`` vectors of all training segments, and their classes ``(M,)``."""
        ...
