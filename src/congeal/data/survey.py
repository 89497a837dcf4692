"""Counting what a dataset holds: sizes of images, objects per image, sizes of objects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from congeal.data.sample import Dataset, LabelMap, Mask, Sample
from congeal.labels import areas

__all__ = ["Survey", "count_apart", "count_pieces", "survey"]


@dataclass(frozen=True)
class Survey:
    """What a number of images of a dataset hold.

    Attributes:
        images: images there are.
        images_read: images that were read, evenly spread.
        sizes: how many of them have each ``"H x W x C"``, the most common first.
        types: their pixel types.
        counts: objects in each image, ascending.
        areas: pixels of each object, ascending.
        broken: objects in several pieces.
        void: share of the pixels that is void.
        classes: objects of each class by its name; empty without classes.
        without_class: objects without a class, where there are classes.

    Example:
        >>> Survey(3, 1, {"4 x 5 x 1": 1}, ("uint8",), (2,), (3, 9), 0, 0.0).histogram()
        [(1, 3, 1), (4, 15, 1)]
    """

    images: int
    images_read: int
    sizes: dict[str, int]
    types: tuple[str, ...]
    counts: tuple[int, ...]
    areas: tuple[int, ...]
    broken: int
    void: float
    classes: dict[str, int] = field(default_factory=dict)
    without_class: int = 0

    def histogram(self) -> list[tuple[int, int, int]]:
        """Count objects by area, from a power of four to the next: low, high, count."""
        powers = Counter((area.bit_length() - 1) // 2 for area in self.areas)
        return [(4**power, 4 ** (power + 1) - 1, powers[power]) for power in sorted(powers)]

    def to_dict(self) -> dict[str, Any]:
        """Give the numbers for JSON."""
        return {
            "images": self.images,
            "images_read": self.images_read,
            "size": next(iter(self.sizes), ""),
            "sizes": self.sizes,
            "type": ", ".join(self.types),
            "objects": sum(self.counts),
            "objects_per_image": _spread(self.counts),
            "object_area": _spread(self.areas),
            "area_histogram": [list(row) for row in self.histogram()],
            "in_pieces": self.broken,
            "void_share": round(self.void, 4),
            "objects_per_class": self.classes,
            "without_class": self.without_class,
        }


def _spread(values: tuple[int, ...]) -> dict[str, float] | None:
    if not values:
        return None
    return {
        "min": values[0],
        "median": float(np.median(values)),
        "mean": round(float(np.mean(values)), 2),
        "max": values[-1],
    }


def survey(
    dataset: Dataset, most: int = 64, on_sample: Callable[[int, int], None] | None = None
) -> Survey:
    """Read some images, evenly spread over the dataset, and count what they hold.

    Args:
        dataset: what to look at.
        most: images to read at most.
        on_sample: called with (done, total) after each image, for a progress bar.

    Raises:
        CongealError: an image cannot be read.

    Example:
        >>> from congeal.data.drawn import DrawnDataset
        >>> found = survey(DrawnDataset("sticks", "val", size=96), most=4)
        >>> found.images, found.images_read, found.sizes
        (32, 4, {'96 x 96 x 3': 4})
    """
    chosen = np.unique(np.linspace(0, len(dataset) - 1, min(most, len(dataset))).round())
    sizes: Counter[str] = Counter()
    types: dict[str, None] = {}
    counts, pixels, broken, void = list[int](), list[int](), 0, list[float]()
    classes = Counter[int]()
    for done, index in enumerate(chosen.astype(int).tolist(), start=1):
        sample = dataset[index]
        sizes[" x ".join(map(str, sample.image.shape))] += 1
        types[str(sample.image.dtype)] = None
        _, area, pieces, _ = count_pieces(sample.labels)
        whole = _whole_areas(sample, area)
        counts.append(len(whole))
        pixels += whole
        broken += int((pieces > 1).sum())
        void.append(float((sample.labels < 0).mean()))
        classes.update([] if sample.classes is None else sample.classes.tolist())
        if on_sample is not None:
            on_sample(done, len(chosen))
    by_name = {name: classes[k] for k, name in enumerate(dataset.class_names) if k}
    return Survey(
        images=len(dataset),
        images_read=len(chosen),
        sizes=dict(sizes.most_common()),
        types=tuple(types),
        counts=tuple(sorted(counts)),
        areas=tuple(sorted(pixels)),
        broken=broken,
        void=float(np.mean(void)) if void else 0.0,
        classes=by_name,
        without_class=classes.total() - sum(by_name.values()) if by_name else 0,
    )


def _whole_areas(sample: Sample, seen: LabelMap) -> list[int]:
    """Areas of the objects, hidden parts included where the dataset knows them."""
    objects = [round(mask.area) for mask in sample.masks if not mask.crowd]
    return [area for area in objects if area > 0] if objects else seen.tolist()


def count_pieces(labels: LabelMap, speck: int = 4) -> tuple[LabelMap, LabelMap, LabelMap, LabelMap]:
    """Count the pieces of each object; pixels that touch at a corner hang together.

    Args:
        labels: `(H, W)`, 0 background, 1..K objects, -1 void.
        speck: area under which a piece beside a larger one is a speck, unless it lies at the
            border of the image, at void or at another object, which may hide the rest of it.

    Returns:
        Numbers of the objects, ascending, and the area, pieces and specks of each, all `(K,)`.

    Example:
        >>> row = np.array([[0, 0, 0, 0, 0, 0], [5, 5, 5, 5, 0, 2], [0, 0, 0, 0, 0, 0]])
        >>> [found.tolist() for found in count_pieces(row)]
        [[2, 5], [1, 4], [1, 1], [0, 0]]
    """
    from skimage.measure import label

    numbers, total = areas(labels)
    if not len(numbers):
        return numbers, total, total, total
    regions = label(np.maximum(labels, 0), connectivity=2)
    sizes = np.bincount(regions.ravel())[1:]
    owners = np.zeros(len(sizes) + 1, np.int64)
    owners[regions] = labels
    owner = np.searchsorted(numbers, owners[1:])
    pieces = np.bincount(owner, minlength=len(numbers))
    largest = np.zeros(len(numbers), np.int64)
    np.maximum.at(largest, owner, sizes)
    small = (sizes < speck) & (largest[owner] >= speck)
    small[_hidden(labels, regions, small) - 1] = False
    return numbers, total, pieces, np.bincount(owner[small], minlength=len(numbers))


def count_apart(labels: LabelMap, numbers: LabelMap) -> int:
    """Count the pieces of some objects that have nothing but background around them.

    Args:
        labels: `(H, W)`, 0 background, 1..K objects, -1 void.
        numbers: the objects to look at.

    Example:
        >>> count_apart(np.array([[1, 0, 1, 0, 1, 2]]), np.array([1]))
        2
    """
    from skimage.measure import label

    if not len(numbers):
        return 0
    chosen = np.where(np.isin(labels, numbers), labels, 0)
    regions = label(chosen, connectivity=2)
    every = np.ones(int(regions.max()), bool)
    touching = _hidden(np.pad(labels, 1), np.pad(regions, 1), every)
    return len(every) - len(touching)


def _hidden(labels: LabelMap, regions: LabelMap, small: Mask) -> LabelMap:
    """Which small regions touch anything but their own object and background."""
    rows, columns = np.nonzero(np.append(False, small)[regions])
    around = np.pad(labels, 1, constant_values=-1)
    steps = [(down, right) for down in range(3) for right in range(3)]
    beside = np.stack([around[rows + down, columns + right] for down, right in steps])
    touched = ((beside != 0) & (beside != labels[rows, columns])).any(axis=0)
    found: LabelMap = np.unique(regions[rows[touched], columns[touched]])
    return found
