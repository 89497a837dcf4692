"""Why a segment has its class: the training segments that it is most like."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Explanation", "Match"]

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Match:
    """A training segment that a segment is like.

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
