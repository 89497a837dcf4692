"""Statistics of the label maps of a dataset, and the checks based on them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from congeal.data.sample import LabelMap
from congeal.data.survey import count_isolated, count_pieces

__all__ = ["LabelStatistics"]

_MIN_AREA = 4  # pixels
_BYTE = 255
_MANY_OBJECTS = 200  # with so many, a label 255 is the limit of 8 bits rather than void
_MANY_BROKEN = 0.05  # fraction of objects in several pieces that gives a note
_MAX_CLASSES = 20  # with more distinct labels, maps are not taken for semantic maps

# The largest value of each integer type: void, if -1 was cast to it.
_TYPE_MAXIMA = (_BYTE, 2**15 - 1, 2**16 - 1, 2**31 - 1, 2**32 - 1)


@dataclass
class LabelStatistics:
    """Counts over the label maps of a dataset.

    Attributes:
        read: number of label maps.
        objects: total number of objects.
        most_objects: largest number of objects in one map.
        pieces: total number of connected components.
        broken: number of objects in several pieces.
        isolated: number of pieces of broken objects that touch nothing but background.
        numbers: all labels that occur, up to a limit.
        covered: number of maps without background.
        first_share: fraction of pixels with the lowest label, of each map without background.
        gaps: names of maps whose labels have gaps.
        void_like: names of maps by the label that looks like void.

    Example:
        >>> tally = LabelStatistics()
        >>> tally.add(np.array([[1, 0, 1, 0, 1]]), "a")
        ['objects under 4 pixels: 1 (label 1); remove them or make them void']
        >>> tally.pieces
        3
    """

    read: int = 0
    objects: int = 0
    most_objects: int = 0
    pieces: int = 0
    broken: int = 0
    isolated: int = 0
    numbers: set[int] = field(default_factory=set)
    covered: int = 0
    first_share: list[float] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    void_like: dict[int, list[str]] = field(default_factory=dict)

    def add(self, labels: LabelMap, title: str) -> list[str]:
        """Add a label map `(H, W)`, and return the problems of this map, one line each."""
        numbers, areas, pieces, specks = count_pieces(labels, _MIN_AREA)
        self.read += 1
        self.objects += len(numbers)
        self.most_objects = max(self.most_objects, len(numbers))
        self.pieces += int(pieces.sum())
        self.broken += int((pieces > 1).sum())
        self.isolated += count_isolated(labels, numbers[pieces > 1])
        if len(self.numbers) <= _MAX_CLASSES:
            self.numbers |= set(numbers.tolist())
        if len(numbers) and not (labels == 0).any():
            self.covered += 1
            self.first_share.append(float(areas[0] / areas.sum()))
        return [*_small(numbers, areas, specks), *self._add_numbers(numbers, title)]

    def add_classes(self, labels: LabelMap) -> None:
        """Add a semantic map, which is not checked like objects."""
        self.read += 1
        self.objects += int((labels > 0).any())
        self.most_objects = 2  # prevents the warning about binary masks

    def _add_numbers(self, numbers: LabelMap, title: str) -> list[str]:
        if not len(numbers):
            return []
        highest = int(numbers[-1])
        if highest == _BYTE and len(numbers) >= _MANY_OBJECTS:
            return [
                f"{len(numbers)} objects numbered up to 255, the limit of 8 bits: further objects "
                "would be lost or share a number; save label maps with 16 bits"
            ]
        if highest in _TYPE_MAXIMA and len(numbers) > 1 and numbers[-2] <= highest // 2:
            self.void_like.setdefault(highest, []).append(title)
        elif highest > len(numbers):
            self.gaps.append(title)
        return []

    def problems(self) -> list[str]:
        """Problems of the label maps as a whole, one line each."""
        found = [
            f"label {number} is far above the others in {_images(titles)}: if it means void, store "
            "-1 in a signed TIFF instead; it is read as an object"
            for number, titles in self.void_like.items()
        ]
        if self.read and not self.objects:
            return [*found, "no mask has any object; check that masks are not all 0"]
        pieces = f"{self.pieces / max(1, self.objects):.1f} pieces on average"
        if self.most_objects == 1 and self.pieces >= 3 * self.objects:
            found.append(
                f"every mask has a single object, with {pieces}: if these are binary masks, label "
                "their connected components first"
            )
        if self._looks_like_classes():
            found.append(
                f"all masks have the same {len(self.numbers)} labels, each with {pieces}: if these "
                "are semantic maps, label their connected components, or move them to semantic/ "
                "with a classes.txt"
            )
        if self._looks_covered():
            share = float(np.median(self.first_share))
            found.append(
                f"no mask has background (0), and the lowest label covers {share:.0%} of it: if "
                "it is the background, store it as 0"
            )
        return found

    def _looks_like_classes(self) -> bool:
        if self.read < 2 or self.most_objects < 2 or len(self.numbers) > _MAX_CLASSES:
            return False
        return self.pieces >= 2 * self.objects and 2 * self.isolated >= self.pieces

    def _looks_covered(self) -> bool:
        if not self.read or self.covered < self.read or self.objects <= self.read:
            return False
        return float(np.median(self.first_share)) >= 0.5

    def notes(self) -> list[str]:
        """Observations that need no action, one line each."""
        notes = []
        if self.gaps:
            notes.append(f"labels have gaps in {_images(self.gaps)}, which is allowed")
        many = self.objects and self.broken >= _MANY_BROKEN * self.objects
        if many and self.most_objects > 1 and not self._looks_like_classes():
            notes.append(
                f"{self.broken:,} of {self.objects:,} objects are in several pieces: normal where "
                "objects cross or hide each other, otherwise several share a label"
            )
        return notes


def _small(numbers: LabelMap, areas: LabelMap, specks: LabelMap) -> list[str]:
    problems = []
    tiny = numbers[areas < _MIN_AREA]
    if len(tiny):
        problems.append(
            f"objects under {_MIN_AREA} pixels: {_list_some(tiny)}; remove them or make them void"
        )
    with_specks = numbers[(specks > 0) & (areas >= _MIN_AREA)]
    if len(with_specks):
        problems.append(
            f"objects with separate pieces under {_MIN_AREA} pixels: {_list_some(with_specks)}; "
            "remove these pieces"
        )
    return problems


def _list_some(numbers: LabelMap) -> str:
    shown = ", ".join(map(str, numbers[:5].tolist())) + (" ..." if len(numbers) > 5 else "")
    return f"{len(numbers)} (label {shown})"


def _images(titles: list[str]) -> str:
    return f"{len(titles)} image{'s' if len(titles) > 1 else ''} (such as {titles[0]})"
