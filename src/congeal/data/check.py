"""Looking a dataset over before time is spent on it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from congeal.data.classes import same_names
from congeal.data.folder import FolderDataset, folder_notes
from congeal.data.layouts import find_layout
from congeal.data.matching import name_some
from congeal.data.registry import DATASETS, open_dataset, split_channels, split_spec, stored_splits
from congeal.data.runs import is_empty
from congeal.data.sample import Dataset, Sample
from congeal.data.tally import Tally
from congeal.errors import CongealError

__all__ = ["NO_OBJECTS", "Findings", "check_dataset", "check_spec", "look_over", "quick_problems"]

_TINY_SIDE = 16

# Class regions and segments may be small and in several pieces: checks of objects skip them.
NO_OBJECTS = {"miou": "class", "bsds-boundaries": "segment"}
"""Protocols of datasets without instances, and what a label of their label maps denotes."""

Tell = Callable[[int, int], None]


@dataclass
class Findings:
    """What a look-over found.

    Attributes:
        problems: what is wrong or suspicious and what to do about it, a line each.
        notes: what is worth knowing and needs nothing done, a line each.
        images: images looked at, those that could not be read included.
        classes: objects of each class by its name (images with it, where there are no objects);
            empty without classes.
        without_class: objects without a class, where there are classes.
        regions: whether the data has classes of pixels and no objects.
    """

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    images: int = 0
    classes: dict[str, int] = field(default_factory=dict)
    without_class: int = 0
    regions: bool = False


@dataclass
class _Seen:
    """What can only be judged over the whole dataset."""

    masks: Tally = field(default_factory=Tally)
    pictures: dict[bytes, tuple[str, str]] = field(default_factory=dict)
    classes: dict[str, set[str]] = field(default_factory=dict)
    class_maps: int = 0
    background: int = 0


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


def quick_problems(dataset: Dataset, limit: int = 16) -> list[str]:
    """Judge the masks of a few samples, evenly spread: binary masks, class maps, void, background.

    Args:
        dataset: what is about to be used.
        limit: samples to read at most; those that cannot be read are left out.

    Returns:
        The lines that `look_over` has about all masks together, empty when there are none.

    Example:
        >>> from congeal.data.drawn import DrawnDataset
        >>> quick_problems(DrawnDataset("discs"), limit=2)
        []
    """
    if dataset.protocol in NO_OBJECTS or not len(dataset):
        return []
    number = min(limit, len(dataset))
    tally, names = Tally(), dataset.names()
    for index in (place * len(dataset) // number for place in range(number)):
        try:
            tally.add(_stored(dataset, index), names[index])
        except CongealError:  # told when the sample is used
            continue
    return tally.problems()


def _stored(dataset: Dataset, index: int, sample: Sample | None = None) -> np.ndarray:
    """The labels with their numbers as they are in the file, where the dataset changes them."""
    if isinstance(dataset, FolderDataset):
        stored = dataset.stored(index)
        if stored is not None:
            return stored
    return (sample or dataset[index]).labels


def check_spec(spec: str | Path, split: str = "all", on_sample: Tell | None = None) -> Findings:
    """Look over a dataset by name or path: all its splits together, or one of them.

    In a folder, images without mask and masks without image are problems among the others.
    Training images that are set aside for validation are looked over as ``val``.

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
    if "train" in stored and "val" not in stored:
        stored = ("train", "val", *(part for part in stored if part != "train"))
    parts = stored if split == "all" else (split,)
    opened = {part: _open(spec, part) for part in parts}
    found = look_over(opened, on_sample)
    first = next(iter(opened.values()))
    if isinstance(first, FolderDataset):
        lost += first.classes.problems
        found.notes += folder_notes(split_channels(spec)[0])
    found.problems[:0] = lost
    return found


def _open(spec: str | Path, part: str) -> Dataset:
    """Open a split; of a folder, what has its counterpart."""
    where, channels = split_channels(spec)
    path = Path(where)
    named = split_spec(where)[0] in DATASETS
    if named or not path.is_dir() or find_layout(path) is not None:
        return open_dataset(spec, part, channels=channels or "all")
    return FolderDataset(path, part, lost=[], channels=channels or "all")


def look_over(parts: Mapping[str, Dataset], on_sample: Tell | None = None) -> Findings:
    """Read every sample of some splits and tell what is wrong, what is suspicious, and what to do.

    Problems are files that cannot be read or do not fit together, constant images, images under
    16 pixels, the same picture twice (worst in two splits), objects under 4 pixels or with such
    pieces apart from the rest, annotations without a pixel, more objects than 8 bits can number, a
    top number that looks like void, no objects at all, masks that look binary or like maps of
    classes, and masks without background. Notes are numbers with gaps, objects in pieces, and
    classes without objects.

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
    found, seen = Findings(), _Seen()
    for part, dataset in parts.items():
        found.regions = dataset.protocol in NO_OBJECTS
        found.classes = {**dict.fromkeys(dataset.class_names[1:], 0), **found.classes}
        for index, name in enumerate(dataset.names()):
            title = name if len(parts) == 1 else f"{part}/{name}"
            try:
                sample = dataset[index]
                problems = [*_check_image(sample), *_check_twin(sample, part, title, seen)]
                problems += _check_masks(sample)
                problems += _check_marks(sample, dataset, index, title, seen)
                _count_classes(sample, dataset, part, found, seen)
            except CongealError as error:
                problems = [str(error)]
            found.problems += [f"{title}: {problem}" for problem in problems]
            found.images += 1
            if on_sample is not None:
                on_sample(found.images, total)
    found.problems += _twice_named(parts)
    found.problems += seen.masks.problems()
    found.notes += [*seen.masks.notes(), *_class_notes(found, seen)]
    return found


def _check_image(sample: Sample) -> list[str]:
    height, width = sample.labels.shape
    problems = []
    if min(height, width) < _TINY_SIDE:
        problems.append(f"the image is only {height} x {width} pixels; cut larger ones")
    lowest, highest = sample.image.min(), sample.image.max()
    if lowest == highest:
        problems.append(f"the image is constant (every value is {lowest}); export it again")
    return problems


def _check_twin(sample: Sample, part: str, title: str, seen: _Seen) -> list[str]:
    pixels = np.ascontiguousarray(sample.image)
    digest = hashlib.sha1(repr((pixels.shape, pixels.dtype)).encode() + pixels.tobytes()).digest()
    where, twin = seen.pictures.setdefault(digest, (part, title))
    if twin == title:
        return []
    if where == part:
        return [f"the image is the same as {twin}; keep one of them"]
    return [
        f"the image is the same as {twin}, so scores on {part} would be too good; "
        "keep it in one split only"
    ]


def _check_masks(sample: Sample) -> list[str]:
    """Annotated objects of which no pixel is left, such as an empty list of polygons."""
    whole = [mask for mask in sample.masks if not mask.crowd]
    bare = [place for place, mask in enumerate(whole, 1) if is_empty(mask.rle)]
    if not bare:
        return []
    keys = [whole[place - 1].key for place in bare]
    which = name_some(
        str(place if key is None else key) for place, key in zip(bare, keys, strict=True)
    )
    return [f"annotations without a pixel: {len(bare)} (id {which}); draw or remove them"]


def _check_marks(
    sample: Sample, dataset: Dataset, index: int, title: str, seen: _Seen
) -> list[str]:
    if dataset.protocol in NO_OBJECTS:
        seen.masks.add_classes(sample.labels)
        if isinstance(dataset, FolderDataset) and sample.semantic is not None:
            seen.class_maps += dataset.has_background
            seen.background += int((sample.semantic == 0).sum())
        return []
    problems = seen.masks.add(_stored(dataset, index, sample), title)
    if isinstance(dataset, FolderDataset):
        problems += dataset.row_problems(index)
    return problems


def _count_classes(
    sample: Sample, dataset: Dataset, part: str, found: Findings, seen: _Seen
) -> None:
    if sample.classes is None or not dataset.class_names:
        return
    for number in sample.classes.tolist():
        if 0 < number < len(dataset.class_names):
            name = dataset.class_names[number]
            found.classes[name] = found.classes.get(name, 0) + 1
            seen.classes.setdefault(part, set()).add(name)
        else:
            found.without_class += 1


def _twice_named(parts: Mapping[str, Dataset]) -> list[str]:
    found = {same_names(dataset.class_names[1:]): None for dataset in parts.values()}
    return [
        f"two classes have one name, {twice[0]!r:.40} and {twice[1]!r:.40}: join them"
        for twice in found
        if twice is not None
    ]


def _class_notes(found: Findings, seen: _Seen) -> list[str]:
    notes = []
    empty = [name for name, number in found.classes.items() if not number]
    if empty:
        notes.append(f"classes without any object: {name_some(empty, 5)}")
    learnt = seen.classes.get("train")
    for part in ("val", "test"):
        strange = sorted(seen.classes.get(part, set()) - learnt) if learnt is not None else []
        if strange:
            notes.append(
                f"classes in {part} without any object in train: {name_some(strange, 5)}; "
                "they cannot be learnt"
            )
    if seen.class_maps and not seen.background:
        notes.append(
            "no pixel has class 0: write void into the first line of classes.txt, so that no "
            "background is expected"
        )
    return notes
