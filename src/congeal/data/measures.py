"""Sizes, widths and brightness of the objects in training images, from which settings follow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from congeal.data.intensity import scale_intensity
from congeal.data.pixel_size import read_pixel_size
from congeal.data.sample import Dataset, Sample
from congeal.grouping.components import on_edge, split_parts
from congeal.labels import relabel

__all__ = ["ImageMeasures", "TrainingSurvey", "some_samples", "survey_training"]

LOOKED_AT = 64  # images: a few seconds of reading
ALIKE = 1.05  # ratio up to which pixel sizes count as one
Column = NDArray[np.float64]


@dataclass(frozen=True)
class ImageMeasures:
    """Measures of one image; lengths in pixels, an entry per object.

    Attributes:
        brightness: median intensity, 0 to 1 after scaling.
        size: height and width.
        areas: of the objects.
        extents: longer side of each box.
        widths: how broad each object is across: of a strip its width, of a disc half of it.
        wholes: share of each object in its largest connected part; 1 unless others cross it.
        holes: area of the holes in each object, whatever lies in them, over its own area.
        relative_areas: area over the median area of the image; only objects off the edge.
        pixel_size: micrometres per pixel, as the file tells; None where not known.
    """

    brightness: float
    size: tuple[int, int]
    areas: Column
    extents: Column
    widths: Column
    wholes: Column
    holes: Column
    relative_areas: Column
    pixel_size: float | None = None


@dataclass(frozen=True)
class TrainingSurvey:
    """A sample of the training images, measured.

    Attributes:
        name: of the dataset.
        task: what the model is to do.
        images: measures of each image looked at.
        count: training images in all.
        class_names: of the data, background first; empty without classes.
        labelled: whether anything but the images is known.
        stuff: names of the classes that were seen without objects only, such as road.
    """

    name: str
    task: str
    images: tuple[ImageMeasures, ...]
    count: int
    class_names: tuple[str, ...] = ()
    labelled: bool = True
    stuff: tuple[str, ...] = ()

    @property
    def pixel_size(self) -> float | None:
        """Micrometres per pixel of all images looked at; None where not known, or they differ."""
        known = [one.pixel_size for one in self.images if one.pixel_size is not None]
        if not known or len(known) < len(self.images) or max(known) > ALIKE * min(known):
            return None
        return float(np.median(known))

    @property
    def pixel_size_note(self) -> str:
        """Why the images have no one pixel size although files tell some; empty where they have."""
        known = [one.pixel_size for one in self.images if one.pixel_size is not None]
        if not known or self.pixel_size is not None:
            return ""
        low, high, bare = min(known), max(known), len(self.images) - len(known)
        told = f"{low:g} to {high:g}" if high > ALIKE * low else f"{low:g}"
        rest = f", {bare} of {len(self.images)} tell none" if bare else ""
        return (
            f"training images have pixels of {told} micrometres{rest}: the model will not know at "
            "which size it was trained; give one for all with --pixel-size (pixel_size= in Python)"
        )

    def pooled(self, column: str) -> Column:
        """One column of all objects of all images."""
        columns = [getattr(one, column) for one in self.images]
        return np.concatenate(columns) if columns else np.empty(0)


def survey_training(dataset: Dataset, task: str, limit: int = LOOKED_AT) -> TrainingSurvey:
    """Measure at most ``limit`` images of a dataset, evenly spread.

    Example:
        >>> from congeal.data.drawn import DrawnDataset
        >>> survey_training(DrawnDataset("sticks", count=3), "instances").images[0].size
        (100, 119)
    """
    images, things, others = [], set[int](), set[int]()
    for sample in some_samples(dataset, limit):
        images.append(_measure(sample))
        if sample.classes is not None and sample.semantic is not None:
            things.update(sample.classes.tolist())
            others.update(np.unique(sample.semantic[sample.labels == 0]).tolist())
    names, labelled = dataset.class_names, not dataset.lacks_truth
    stuff = tuple(names[k] for k in sorted(others - things) if 0 < k < len(names))
    return TrainingSurvey(dataset.name, task, tuple(images), len(dataset), names, labelled, stuff)


def some_samples(dataset: Dataset, limit: int) -> Iterator[Sample]:
    """At most ``limit`` samples, evenly spread."""
    for index in np.unique(np.linspace(0, len(dataset) - 1, limit).round().astype(int)):
        yield dataset[int(index)]


def _measure(sample: Sample) -> ImageMeasures:
    labels = relabel(np.maximum(sample.labels, 0))
    area = np.bincount(labels.ravel()).astype(float)  # (K + 1,)
    whole = np.ones(len(area), bool)
    whole[on_edge(labels)] = False
    area, whole = area[1:], whole[1:]
    boxes = ndimage.find_objects(labels)
    height, width = labels.shape
    return ImageMeasures(
        brightness=float(scale_intensity(sample.image).median()),
        size=(height, width),
        areas=area,
        extents=np.array([max(s.stop - s.start for s in box) for box in boxes], float),
        widths=_widths(labels, area),
        wholes=_wholes(labels, area),
        holes=_holes(labels, area),
        relative_areas=area[whole] / np.median(area) if len(area) else area,
        pixel_size=None if sample.path is None else read_pixel_size(sample.path),
    )


def _widths(labels: NDArray[np.int64], area: Column) -> Column:
    """Twice the area over the outline.

    Edges of pixels make an outline 4 / pi times too long on average over all directions.
    """
    padded = np.pad(labels, 1)
    edges = np.zeros(len(area) + 1)
    for one, other in ((padded[1:], padded[:-1]), (padded[:, 1:], padded[:, :-1])):
        differ = one != other
        edges += np.bincount(one[differ], minlength=len(edges))
        edges += np.bincount(other[differ], minlength=len(edges))
    widths: Column = 2 * area / (np.pi / 4 * edges[1:])
    return widths


def _wholes(labels: NDArray[np.int64], area: Column) -> Column:
    parts = split_parts(labels)
    counts = np.bincount(parts.ravel())
    owner = np.zeros(len(counts), np.int64)
    owner[parts] = labels  # background is a part of its own
    largest = np.zeros(len(area) + 1)
    np.maximum.at(largest, owner, counts)
    wholes: Column = largest[1:] / area
    return wholes


def _holes(labels: NDArray[np.int64], area: Column) -> Column:
    bodies = [labels[box] == k for k, box in enumerate(ndimage.find_objects(labels), 1)]
    filled = [np.count_nonzero(ndimage.binary_fill_holes(body)) for body in bodies]
    return np.array(filled, float) / area - 1
