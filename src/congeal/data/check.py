"""Checks of a dataset before training: unreadable files, duplicates, suspicious masks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from congeal.data.classes import same_names
from congeal.data.folder import FolderDataset, folder_notes
from congeal.data.label_statistics import LabelStatistics
from congeal.data.layouts import find_layout
from congeal.data.pairing import list_some
from congeal.data.registry import DATASETS, open_dataset, split_channels, split_spec, stored_splits
from congeal.data.runs import is_empty_rle
from congeal.data.sample import Dataset, Sample
from congeal.errors import CongealError

__all__ = [
    "NO_OBJECTS",
    "Findings",
    "check_dataset",
    "check_spec",
    "check_splits",
    "quick_problems",
]

_MIN_SIDE = 16  # pixels

# Class regions and segments may be small and in several pieces: checks of objects skip them.
NO_OBJECTS = {"miou": "class", "bsds-boundaries": "segment"}
"""Protocols of datasets without instances, and what a label of their label maps denotes."""

OnSample = Callable[[int, int], None]


@dataclass
class Findings:
    """Result of the checks.

    Attributes:
        problems: errors and suspicious data, each with a suggestion, one line each.
        notes: observations that need no action, one line each.
        images: number of images checked, including unreadable ones.
        classes: number of objects by class name (number of images in data without instances);
            empty in data without classes.
        without_class: number of objects without a class, in data with classes.
        regions: whether the data has no instances (semantic or segment maps only).
    """

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    images: int = 0
    classes: dict[str, int] = field(default_factory=dict)
    without_class: int = 0
    regions: bool = False


@dataclass
class _Totals:
    """Statistics accumulated over all samples."""

    masks: LabelStatistics = field(default_factory=LabelStatistics)
    pictures: dict[bytes, tuple[str, str]] = field(default_factory=dict)
    classes: dict[str, set[str]] = field(default_factory=dict)
    class_maps: int = 0
    background: int = 0


def check_dataset(dataset: Dataset, on_sample: OnSample | None = None) -> list[str]:
    """Check every sample of a dataset.

    Args:
        dataset: the dataset.
        on_sample: called with (done, total) after each sample, for a progress bar.

    Returns:
        The problems of `check_splits`, one line each.

    Example:
        >>> from congeal.data.drawn import DrawnDataset
        >>> check_dataset(DrawnDataset("discs", "val", count=2))
        []
    """
    return check_splits({dataset.split: dataset}, on_sample).problems


def quick_problems(dataset: Dataset, limit: int = 16) -> list[str]:
    """Check the masks of a few evenly spaced samples for common mistakes of the label format.

    Args:
        dataset: the dataset.
        limit: maximum number of samples to read; unreadable ones are skipped.

    Returns:
        Problems of the masks as a whole (`LabelStatistics.problems`), one line each.

    Example:
        >>> from congeal.data.drawn import DrawnDataset
        >>> quick_problems(DrawnDataset("discs"), limit=2)
        []
    """
    if dataset.protocol in NO_OBJECTS or not len(dataset):
        return []
    number = min(limit, len(dataset))
    statistics, names = LabelStatistics(), dataset.names()
    for index in (k * len(dataset) // number for k in range(number)):
        try:
            statistics.add(_stored_labels(dataset, index), names[index])
        except CongealError:  # raised again when the sample is used
            continue
    return statistics.problems()


def _stored_labels(dataset: Dataset, index: int, sample: Sample | None = None) -> np.ndarray:
    """The labels as numbered in the file (datasets with classes renumber them)."""
    if isinstance(dataset, FolderDataset):
        stored = dataset.stored(index)
        if stored is not None:
            return stored
    return (sample or dataset[index]).labels


def check_spec(spec: str | Path, split: str = "all", on_sample: OnSample | None = None) -> Findings:
    """Check a dataset by name or path: all its splits together, or one of them.

    In a folder, images without mask and masks without image are reported as problems. Training
    images held out for validation are checked as split ``val``.

    Args:
        spec: as for `open_dataset`.
        split: ``"all"``, or one split.
        on_sample: called with (done, total) after each sample, for a progress bar.

    Raises:
        CongealError: the dataset does not exist or cannot be opened.

    Example:
        >>> check_spec("discs", "val").images
        32
    """
    unpaired: list[str] = []
    stored = stored_splits(spec, unpaired)
    if "train" in stored and "val" not in stored:
        stored = ("train", "val", *(part for part in stored if part != "train"))
    parts = stored if split == "all" else (split,)
    opened = {part: _open(spec, part) for part in parts}
    found = check_splits(opened, on_sample)
    first = next(iter(opened.values()))
    if isinstance(first, FolderDataset):
        unpaired += first.classes.problems
        found.notes += folder_notes(split_channels(spec)[0])
    found.problems[:0] = unpaired
    return found


def _open(spec: str | Path, part: str) -> Dataset:
    """Open a split; of a folder, only the images with masks."""
    where, channels = split_channels(spec)
    path = Path(where)
    named = split_spec(where)[0] in DATASETS
    if named or not path.is_dir() or find_layout(path) is not None:
        return open_dataset(spec, part, channels=channels or "all")
    return FolderDataset(path, part, unpaired=[], channels=channels or "all")


def check_splits(splits: Mapping[str, Dataset], on_sample: OnSample | None = None) -> Findings:
    """Check every sample of some splits.

    Problems: unreadable or mismatched files; constant images; images under 16 pixels; duplicate
    images (within or across splits); objects, or separate pieces of objects, under 4 pixels;
    annotations without a pixel; more than 8-bit label maps can number; a largest number that looks
    like void; no objects at all; masks that look binary or like semantic maps; masks without
    background. Notes: gaps in the numbering, objects in several pieces, classes without objects.

    Args:
        splits: datasets by name of the split.
        on_sample: called with (done, total) after each sample, for a progress bar.

    Example:
        >>> from congeal.data.drawn import DrawnDataset
        >>> check_splits({"val": DrawnDataset("discs", "val", count=2)}).images
        2
    """
    total = sum(len(dataset) for dataset in splits.values())
    if total == 0:
        return Findings(["the dataset has no images"])
    found, totals = Findings(), _Totals()
    for split, dataset in splits.items():
        found.regions = dataset.protocol in NO_OBJECTS
        found.classes = {**dict.fromkeys(dataset.class_names[1:], 0), **found.classes}
        for index, name in enumerate(dataset.names()):
            title = name if len(splits) == 1 else f"{split}/{name}"
            try:
                sample = dataset[index]
                problems = [*_check_image(sample), *_check_duplicate(sample, split, title, totals)]
                problems += _check_masks(sample)
                problems += _check_labels(sample, dataset, index, title, totals)
                _count_classes(sample, dataset, split, found, totals)
            except CongealError as error:
                problems = [str(error)]
            found.problems += [f"{title}: {problem}" for problem in problems]
            found.images += 1
            if on_sample is not None:
                on_sample(found.images, total)
    found.problems += _duplicate_class_names(splits)
    found.problems += totals.masks.problems()
    found.notes += [*totals.masks.notes(), *_class_notes(found, totals)]
    return found


def _check_image(sample: Sample) -> list[str]:
    height, width = sample.labels.shape
    problems = []
    if min(height, width) < _MIN_SIDE:
        problems.append(f"the image is only {height} x {width} pixels; cut larger ones")
    lowest, highest = sample.image.min(), sample.image.max()
    if lowest == highest:
        problems.append(f"the image is constant (every value is {lowest}); export it again")
    return problems


def _check_duplicate(sample: Sample, split: str, title: str, totals: _Totals) -> list[str]:
    pixels = np.ascontiguousarray(sample.image)
    digest = hashlib.sha1(repr((pixels.shape, pixels.dtype)).encode() + pixels.tobytes()).digest()
    other_split, other = totals.pictures.setdefault(digest, (split, title))
    if other == title:
        return []
    if other_split == split:
        return [f"the image is the same as {other}; keep one of them"]
    return [
        f"the image is the same as {other}, so scores on {split} would be too good; "
        "keep it in one split only"
    ]


def _check_masks(sample: Sample) -> list[str]:
    """Annotations without a pixel, such as an empty list of polygons."""
    objects = [mask for mask in sample.masks if not mask.crowd]
    empty = [number for number, mask in enumerate(objects, 1) if is_empty_rle(mask.rle)]
    if not empty:
        return []
    keys = [objects[number - 1].key for number in empty]
    ids = list_some(
        str(number if key is None else key) for number, key in zip(empty, keys, strict=True)
    )
    return [f"annotations without a pixel: {len(empty)} (id {ids}); draw or remove them"]


def _check_labels(
    sample: Sample, dataset: Dataset, index: int, title: str, totals: _Totals
) -> list[str]:
    if dataset.protocol in NO_OBJECTS:
        totals.masks.add_classes(sample.labels)
        if isinstance(dataset, FolderDataset) and sample.semantic is not None:
            totals.class_maps += dataset.has_background
            totals.background += int((sample.semantic == 0).sum())
        return []
    problems = totals.masks.add(_stored_labels(dataset, index, sample), title)
    if isinstance(dataset, FolderDataset):
        problems += dataset.row_problems(index)
    return problems


def _count_classes(
    sample: Sample, dataset: Dataset, split: str, found: Findings, totals: _Totals
) -> None:
    if sample.classes is None or not dataset.class_names:
        return
    for number in sample.classes.tolist():
        if 0 < number < len(dataset.class_names):
            name = dataset.class_names[number]
            found.classes[name] = found.classes.get(name, 0) + 1
            totals.classes.setdefault(split, set()).add(name)
        else:
            found.without_class += 1


def _duplicate_class_names(splits: Mapping[str, Dataset]) -> list[str]:
    duplicates = {same_names(dataset.class_names[1:]): None for dataset in splits.values()}
    return [
        f"two classes have the same name, {pair[0]!r:.40} and {pair[1]!r:.40}: merge them"
        for pair in duplicates
        if pair is not None
    ]


def _class_notes(found: Findings, totals: _Totals) -> list[str]:
    notes = []
    empty = [name for name, number in found.classes.items() if not number]
    if empty:
        notes.append(f"classes without any object: {list_some(empty, 5)}")
    trained = totals.classes.get("train")
    for split in ("val", "test"):
        missing = sorted(totals.classes.get(split, set()) - trained) if trained is not None else []
        if missing:
            notes.append(
                f"classes in {split} without any object in train: {list_some(missing, 5)}; "
                "they cannot be learnt"
            )
    if totals.class_maps and not totals.background:
        notes.append(
            "no pixel has class 0: if there is no background, write void into the first line of "
            "classes.txt"
        )
    return notes
