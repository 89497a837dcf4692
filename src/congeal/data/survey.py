"""Statistics of a dataset: image sizes, objects per image, areas and pieces of objects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from congeal.data.sample import Dataset, LabelMap, Mask, Sample
from congeal.labels import areas

__all__ = ["Survey", "count_isolated", "count_pieces", "survey"]


@dataclass(frozen=True)
class Survey:
    """Statistics of a sample of the images of a dataset.

    Attributes:
        images: total number of images.
        images_read: number of images that were read, evenly spaced.
        sizes: number of images by size ``"H x W x C"``, most frequent first.
        types: pixel types of the images.
        counts: number of objects of each image, ascending.
        areas: area of each object in pixels, ascending.
        broken: number of objects in several pieces.
        void: mean fraction of void pixels per image.
        classes: number of objects by class name; empty without classes.
        without_class: number of objects without a class, in data with classes.

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
        """Histogram of areas, one bin per power of four: (lowest area, highest area, count)."""
        powers = Counter((area.bit_length() - 1) // 2 for area in self.areas)
        return [(4**power, 4 ** (power + 1) - 1, powers[power]) for power in sorted(powers)]

    def to_dict(self) -> dict[str, Any]:
        """The statistics as JSON-compatible types."""
        return {
            "images": self.images,
            "images_read": self.images_read,
            "size": next(iter(self.sizes), ""),
            "sizes": self.sizes,
            "type": ", ".join(self.types),
            "objects": sum(self.counts),
            "objects_per_image": _summary(self.counts),
            "object_area": _summary(self.areas),
            "area_histogram": [list(row) for row in self.histogram()],
            "in_pieces": self.broken,
            "void_share": round(self.void, 4),
            "objects_per_class": self.classes,
            "without_class": self.without_class,
        }


def _summary(values: tuple[int, ...]) -> dict[str, float] | None:
    if not values:
        return None
    return {
        "min": values[0],
        "median": float(np.median(values)),
        "mean": round(float(np.mean(values)), 2),
        "max": values[-1],
    }


def survey(
    dataset: Dataset, limit: int = 64, on_sample: Callable[[int, int], None] | None = None
) -> Survey:
    """Compute statistics of evenly spaced images of a dataset.

    Args:
        dataset: the dataset.
        limit: maximum number of images to read.
        on_sample: called with (done, total) after each image, for a progress bar.

    Raises:
        CongealError: an image cannot be read.

    Example:
        >>> from congeal.data.drawn import DrawnDataset
        >>> found = survey(DrawnDataset("sticks", "val", size=96), limit=4)
        >>> found.images, found.images_read, found.sizes
        (32, 4, {'96 x 96 x 3': 4})
    """
    chosen = np.unique(np.linspace(0, len(dataset) - 1, min(limit, len(dataset))).round())
    sizes: Counter[str] = Counter()
    types: dict[str, None] = {}
    counts, pixels, broken, void = list[int](), list[int](), 0, list[float]()
    classes = Counter[int]()
    for done, index in enumerate(chosen.astype(int).tolist(), start=1):
        sample = dataset[index]
        sizes[" x ".join(map(str, sample.image.shape))] += 1
        types[str(sample.image.dtype)] = None
        _, area, pieces, _ = count_pieces(sample.labels)
        full = _full_areas(sample, area)
        counts.append(len(full))
        pixels += full
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


def _full_areas(sample: Sample, visible: LabelMap) -> list[int]:
    """Areas of the objects, including hidden parts if the dataset has complete masks."""
    full = [round(mask.area) for mask in sample.masks if not mask.crowd]
    return [area for area in full if area > 0] if full else visible.tolist()


def count_pieces(labels: LabelMap, speck: int = 4) -> tuple[LabelMap, LabelMap, LabelMap, LabelMap]:
    """Count the connected components (8-connectivity) of each object.

    Args:
        labels: `(H, W)`, 0 background, 1..K objects, -1 void.
        speck: components under this area count as specks if the object has a larger component and
            the speck does not touch the image border, void or another object (which may hide the
            rest of it).

    Returns:
        Labels of the objects, ascending, and the area, number of components and number of specks
        of each, all `(K,)`.

    Example:
        >>> row = np.array([[0, 0, 0, 0, 0, 0], [5, 5, 5, 5, 0, 2], [0, 0, 0, 0, 0, 0]])
        >>> [column.tolist() for column in count_pieces(row)]
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
    small[_touching(labels, regions, small) - 1] = False
    return numbers, total, pieces, np.bincount(owner[small], minlength=len(numbers))


def count_isolated(labels: LabelMap, numbers: LabelMap) -> int:
    """Count the components of some objects that touch nothing but background.

    Args:
        labels: `(H, W)`, 0 background, 1..K objects, -1 void.
        numbers: labels of these objects.

    Example:
        >>> count_isolated(np.array([[1, 0, 1, 0, 1, 2]]), np.array([1]))
        2
    """
    from skimage.measure import label

    if not len(numbers):
        return 0
    chosen = np.where(np.isin(labels, numbers), labels, 0)
    regions = label(chosen, connectivity=2)
    every = np.ones(int(regions.max()), bool)
    touching = _touching(np.pad(labels, 1), np.pad(regions, 1), every)
    return len(every) - len(touching)


def _touching(labels: LabelMap, regions: LabelMap, selected: Mask) -> LabelMap:
    """Those of the selected regions that touch void, another object or the array border."""
    rows, columns = np.nonzero(np.append(False, selected)[regions])
    around = np.pad(labels, 1, constant_values=-1)
    steps = [(down, right) for down in range(3) for right in range(3)]
    neighbours = np.stack([around[rows + down, columns + right] for down, right in steps])
    other = (neighbours != 0) & (neighbours != labels[rows, columns])
    numbers: LabelMap = np.unique(regions[rows, columns][other.any(axis=0)])
    return numbers
