"""Judging label maps: one by one, and what only shows over many of them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from congeal.data.sample import LabelMap
from congeal.data.survey import count_apart, count_pieces

__all__ = ["Tally"]

_TINY_OBJECT = 4
_BYTE = 255
_CROWDED = 200  # numbers up to 255 are then more likely cut off than void
_MANY_PIECES = 0.05  # share of objects in several pieces from which on it is worth a word
_FEW_NUMBERS = 20  # classes are few, and the same in every image

# The highest number of each type, which stands for void where -1 was cast to it.
_TOPS = (_BYTE, 2**15 - 1, 2**16 - 1, 2**31 - 1, 2**32 - 1)


@dataclass
class Tally:
    """What is counted of the label maps of a dataset, in order to judge all of them together.

    Attributes:
        read: label maps.
        objects: objects in all of them.
        most_objects: objects in the fullest one.
        pieces: pieces of all objects.
        broken: objects in several pieces.
        apart: pieces of those with nothing but background around.
        numbers: all numbers that occur, while they are few.
        covered: maps without background.
        first_share: share of the pixels of those that has the lowest number.
        gaps: maps whose numbers have gaps.
        void_like: maps in which a number looks like void, by that number.

    Example:
        >>> tally = Tally()
        >>> tally.add(np.array([[1, 0, 1, 0, 1]]), "a")
        ['objects under 4 pixels: 1 (number 1); erase them or make them void']
        >>> tally.pieces
        3
    """

    read: int = 0
    objects: int = 0
    most_objects: int = 0
    pieces: int = 0
    broken: int = 0
    apart: int = 0
    numbers: set[int] = field(default_factory=set)
    covered: int = 0
    first_share: list[float] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    void_like: dict[int, list[str]] = field(default_factory=dict)

    def add(self, labels: LabelMap, title: str) -> list[str]:
        """Count a label map `(H, W)`, and say what is wrong with it alone."""
        numbers, areas, pieces, specks = count_pieces(labels, _TINY_OBJECT)
        self.read += 1
        self.objects += len(numbers)
        self.most_objects = max(self.most_objects, len(numbers))
        self.pieces += int(pieces.sum())
        self.broken += int((pieces > 1).sum())
        self.apart += count_apart(labels, numbers[pieces > 1])
        if len(self.numbers) <= _FEW_NUMBERS:
            self.numbers |= set(numbers.tolist())
        if len(numbers) and not (labels == 0).any():
            self.covered += 1
            self.first_share.append(float(areas[0] / areas.sum()))
        return [*_small(numbers, areas, specks), *self._add_numbers(numbers, title)]

    def add_classes(self, labels: LabelMap) -> None:
        """Count a map of regions that are no objects, of which nothing is judged."""
        self.read += 1
        self.objects += int((labels > 0).any())
        self.most_objects = 2  # so that classes are not taken for binary masks

    def _add_numbers(self, numbers: LabelMap, title: str) -> list[str]:
        if not len(numbers):
            return []
        highest = int(numbers[-1])
        if highest == _BYTE and len(numbers) >= _CROWDED:
            return [
                f"{len(numbers)} objects numbered up to 255, where 8 bits end: more would be lost "
                "or share a number; save label maps with 16 bits"
            ]
        if highest in _TOPS and len(numbers) > 1 and numbers[-2] <= highest // 2:
            self.void_like.setdefault(highest, []).append(title)
        elif highest > len(numbers):
            self.gaps.append(title)
        return []

    def problems(self) -> list[str]:
        """Say what is wrong or suspicious with all of them together, a line each."""
        found = [
            f"the number {number} stands far from the others in {_images(titles)}: if it "
            "marks void, store -1 in a signed TIFF instead, for now it is an object"
            for number, titles in self.void_like.items()
        ]
        if self.read and not self.objects:
            return [*found, "no image has any object in its mask; check that masks are not all 0"]
        pieces = f"{self.pieces / max(1, self.objects):.1f} pieces on average"
        if self.most_objects == 1 and self.pieces >= 3 * self.objects:
            found.append(
                f"every mask has one object, in {pieces}: "
                "if these are binary masks, number the pieces first (connected components)"
            )
        if self._looks_like_classes():
            found.append(
                f"all masks hold the same {len(self.numbers)} numbers, each in {pieces}: if these "
                "are maps of classes, "
                "number the pieces, or put them into semantic/ with a classes.txt"
            )
        if self._looks_covered():
            share = float(np.median(self.first_share))
            found.append(
                f"no mask has background (0), and its lowest number fills {share:.0%} of it: if "
                "that is the background, store it as 0"
            )
        return found

    def _looks_like_classes(self) -> bool:
        if self.read < 2 or self.most_objects < 2 or len(self.numbers) > _FEW_NUMBERS:
            return False
        return self.pieces >= 2 * self.objects and 2 * self.apart >= self.pieces

    def _looks_covered(self) -> bool:
        if not self.read or self.covered < self.read or self.objects <= self.read:
            return False
        return float(np.median(self.first_share)) >= 0.5

    def notes(self) -> list[str]:
        """Say what is worth knowing and needs nothing done, a line each."""
        notes = []
        if self.gaps:
            notes.append(f"numbers have gaps in {_images(self.gaps)}: fine, only differences count")
        many = self.objects and self.broken >= _MANY_PIECES * self.objects
        if many and self.most_objects > 1 and not self._looks_like_classes():
            notes.append(
                f"{self.broken:,} of {self.objects:,} objects are in several pieces: fine where "
                "objects cross or hide each other, else some share a number"
            )
        return notes


def _small(numbers: LabelMap, areas: LabelMap, specks: LabelMap) -> list[str]:
    problems = []
    tiny = numbers[areas < _TINY_OBJECT]
    if len(tiny):
        problems.append(
            f"objects under {_TINY_OBJECT} pixels: {_some(tiny)}; erase them or make them void"
        )
    strewn = numbers[(specks > 0) & (areas >= _TINY_OBJECT)]
    if len(strewn):
        problems.append(
            f"objects with pieces under {_TINY_OBJECT} pixels apart from the rest: "
            f"{_some(strewn)}; erase the pieces"
        )
    return problems


def _some(numbers: LabelMap) -> str:
    shown = ", ".join(map(str, numbers[:5].tolist())) + (" ..." if len(numbers) > 5 else "")
    return f"{len(numbers)} (number {shown})"


def _images(titles: list[str]) -> str:
    return f"{len(titles)} image{'s' if len(titles) > 1 else ''} (such as {titles[0]})"
