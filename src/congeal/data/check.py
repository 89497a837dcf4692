"""Looking a dataset over before time is spent on it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from congeal.data.folder import FolderDataset
from congeal.data.layouts import find_layout
from congeal.data.registry import DATASETS, open_dataset, split_spec, stored_splits
from congeal.data.sample import Dataset, LabelMap, Sample
from congeal.data.survey import count_pieces
from congeal.errors import CongealError

__all__ = ["Findings", "check_dataset", "check_spec", "look_over"]

_TINY_OBJECT = 4
_TINY_SIDE = 16
_BYTE = 255
_CROWDED = 200  # numbers up to 255 are then more likely cut off than void
_MANY_PIECES = 0.05  # share of objects in several pieces from which on it is worth a word

# Regions of classes and segments of a whole picture come in pieces, and small ones, by nature.
_NO_OBJECTS = ("miou", "bsds-boundaries")

Tell = Callable[[int, int], None]


@dataclass
class Findings:
    """What a look-over found.

    Attributes:
        problems: what is wrong or suspicious and what to do about it, a line each.
        notes: what is worth knowing and needs nothing done, a line each.
        images: images looked at, those that could not be read included.
    """

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    images: int = 0


@dataclass
class _Tally:
    """What can only be judged over the whole dataset."""

    read: int = 0
    objects: int = 0
    most_objects: int = 0
    pieces: int = 0
    broken: int = 0
    gaps: list[str] = field(default_factory=list)
    void_like: list[str] = field(default_factory=list)
    seen: dict[bytes, tuple[str, str]] = field(default_factory=dict)


def check_dataset(dataset: Dataset, on_sample: Tell | None = None) -> list[str]:
    """Read every sample and tell what is wrong or suspicious, one line for each.

    Args:
        dataset: what to look over.
        on_sample: called with (done, total) after each sample, for a progress bar.

    Returns:
        The problems that `look_over` finds, empty when there are none.

    Example:
        >>> from congeal.data.drawn import DrawnDataset
        >>> check_dataset(DrawnDataset("discs", "val", count=2))
        []
    """
    return look_over({dataset.split: dataset}, on_sample).problems


def check_spec(spec: str | Path, split: str = "all", on_sample: Tell | None = None) -> Findings:
    """Look over a dataset by name or path: all its splits together, or one of them.

    In a folder, images without mask and masks without image are problems among the others.

    Args:
        spec: as for `open_dataset`.
        split: ``"all"``, or one split.
        on_sample: called with (done, total) after each sample, for a progress bar.

    Raises:
        CongealError: there is no such dataset, or nothing in it can be read at all.

    Example:
        >>> check_spec("discs", "val").images
        32
    """
    lost: list[str] = []
    stored = stored_splits(spec, lost)
    parts = stored if split == "all" else (split,)
    opened = {part: _open(spec, part) for part in parts}
    found = look_over(opened, on_sample)
    found.problems[:0] = lost
    return found


def _open(spec: str | Path, part: str) -> Dataset:
    """Open a split; of a folder, what has its counterpart."""
    path = Path(spec)
    named = split_spec(spec)[0] in DATASETS
    if named or not path.is_dir() or find_layout(path) is not None:
        return open_dataset(spec, part)
    return FolderDataset(path, part, lost=[])


def look_over(parts: Mapping[str, Dataset], on_sample: Tell | None = None) -> Findings:
    """Read every sample of some splits and tell what is wrong, what is suspicious, and what to do.

    Problems are files that cannot be read or do not fit together, constant images, images under
    16 pixels, the same picture twice (worst in two splits), objects under 4 pixels or with such
    pieces apart from the rest, more objects than 8 bits can number, 255 that looks like void, no
    objects at all, and masks that look binary. Notes are numbers with gaps and objects in pieces.

    Args:
        parts: datasets by the name of their split.
        on_sample: called with (done, total) after each sample, for a progress bar.

    Example:
        >>> from congeal.data.drawn import DrawnDataset
        >>> look_over({"val": DrawnDataset("discs", "val", count=2)}).images
        2
    """
    total = sum(len(dataset) for dataset in parts.values())
    if total == 0:
        return Findings(["there is no image in it"])
    found, tally = Findings(), _Tally()
    for part, dataset in parts.items():
        for index, name in enumerate(dataset.names()):
            title = name if len(parts) == 1 else f"{part}/{name}"
            try:
                problems = _sample_problems(dataset[index], dataset, part, title, tally)
            except CongealError as error:
                problems = [str(error)]
            found.problems += [f"{title}: {problem}" for problem in problems]
            found.images += 1
            if on_sample is not None:
                on_sample(found.images, total)
    found.problems += _whole_problems(tally)
    found.notes += _notes(tally)
    return found


def _sample_problems(
    sample: Sample, dataset: Dataset, part: str, title: str, tally: _Tally
) -> list[str]:
    problems = [*_check_image(sample), *_check_twin(sample, part, title, tally)]
    if dataset.protocol in _NO_OBJECTS:
        tally.read += 1
        tally.objects += int((sample.labels > 0).any())
        tally.most_objects = 2  # so that classes are not taken for binary masks
        return problems
    return problems + _check_objects(sample.labels, title, tally)


def _check_image(sample: Sample) -> list[str]:
    height, width = sample.labels.shape
    problems = []
    if min(height, width) < _TINY_SIDE:
        problems.append(f"the image is only {height} x {width} pixels; cut larger ones")
    lowest, highest = sample.image.min(), sample.image.max()
    if lowest == highest:
        problems.append(f"the image is constant (every value is {lowest}); export it again")
    return problems


def _check_twin(sample: Sample, part: str, title: str, tally: _Tally) -> list[str]:
    pixels = np.ascontiguousarray(sample.image)
    digest = hashlib.sha1(repr((pixels.shape, pixels.dtype)).encode() + pixels.tobytes()).digest()
    where, twin = tally.seen.setdefault(digest, (part, title))
    if twin == title:
        return []
    if where == part:
        return [f"the image is the same as {twin}; keep one of them"]
    return [
        f"the image is the same as {twin}, so scores on {part} would be too good; "
        "keep it in one split only"
    ]


def _check_objects(labels: LabelMap, title: str, tally: _Tally) -> list[str]:
    numbers, areas, pieces, specks = count_pieces(labels, _TINY_OBJECT)
    tally.read += 1
    tally.objects += len(numbers)
    tally.most_objects = max(tally.most_objects, len(numbers))
    tally.pieces += int(pieces.sum())
    tally.broken += int((pieces > 1).sum())
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
    return problems + _check_numbers(numbers, title, tally)


def _check_numbers(numbers: LabelMap, title: str, tally: _Tally) -> list[str]:
    if not len(numbers):
        return []
    highest = int(numbers[-1])
    if highest == _BYTE and len(numbers) >= _CROWDED:
        return [
            f"{len(numbers)} objects numbered up to 255, where 8 bits end: more would be lost or "
            "share a number; save label maps with 16 bits"
        ]
    if highest == _BYTE and len(numbers) > 1 and numbers[-2] <= _BYTE // 2:
        tally.void_like.append(title)
    elif highest > len(numbers):
        tally.gaps.append(title)
    return []


def _some(numbers: LabelMap) -> str:
    shown = ", ".join(map(str, numbers[:5].tolist())) + (" ..." if len(numbers) > 5 else "")
    return f"{len(numbers)} (number {shown})"


def _whole_problems(tally: _Tally) -> list[str]:
    problems = []
    if tally.void_like:
        problems.append(
            f"the number 255 stands far from the others in {_images(tally.void_like)}: if it "
            "marks void, store -1 in a signed TIFF instead, for now it is an object"
        )
    if tally.read and not tally.objects:
        return [*problems, "no image has any object in its mask; check that masks are not all 0"]
    if tally.most_objects == 1 and tally.pieces >= 3 * tally.objects:
        problems.append(
            f"every mask has one object, in {tally.pieces / tally.objects:.1f} pieces on average: "
            "if these are binary masks, number the pieces first (connected components)"
        )
    return problems


def _notes(tally: _Tally) -> list[str]:
    notes = []
    if tally.gaps:
        notes.append(f"numbers have gaps in {_images(tally.gaps)}: fine, only differences count")
    if tally.objects and tally.broken >= _MANY_PIECES * tally.objects and tally.most_objects > 1:
        notes.append(
            f"{tally.broken:,} of {tally.objects:,} objects are in several pieces: fine where "
            "objects cross or hide each other, else some share a number"
        )
    return notes


def _images(titles: list[str]) -> str:
    return f"{len(titles)} image{'s' if len(titles) > 1 else ''} (such as {titles[0]})"
