"""Measures a sample of the training images (sizes, widths, brightness) to suggest settings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from congeal.data.intensity import scale_intensity
from congeal.data.sample import Dataset, Sample
from congeal.grouping.components import on_edge, split_parts
from congeal.labels import relabel

__all__ = ["ImageMeasures", "TrainingSurvey", "evenly_spaced_samples", "survey_training"]

SURVEYED = 64  # images; takes a few seconds to read
Column = NDArray[np.float64]


@dataclass(frozen=True)
class ImageMeasures:
    """Measures of one image; lengths in pixels, one entry per object.

    Attributes:
        brightness: median of the normalised image (`scale_intensity`).
        size: height and width.
        areas: area of each object in pixels.
        extents: longer side of each bounding box.
        widths: 2 area / perimeter of each object: the width of a strip, the radius of a disc.
        connected_fractions: area of the largest connected component over the area; below 1 for
            objects that others cut.
        holes: area of the holes in each object over its own area.
        relative_areas: area over the median area of the image, for objects off the image border.
    """

    brightness: float
    size: tuple[int, int]
    areas: Column
    extents: Column
    widths: Column
    connected_fractions: Column
    holes: Column
    relative_areas: Column


@dataclass(frozen=True)
class TrainingSurvey:
    """Measures of a sample of the training images.

    Attributes:
        name: of the dataset.
        task: name of the task.
        images: measures of each sampled image.
        count: total number of training images.
        class_names: class names, background first; empty without classes.
        labelled: whether the data has annotations.
        stuff: classes that occur only outside of objects, such as road.
    """

    name: str
    task: str
    images: tuple[ImageMeasures, ...]
    count: int
    class_names: tuple[str, ...] = ()
    labelled: bool = True
    stuff: tuple[str, ...] = ()

    def pooled(self, column: str) -> Column:
        """One measure of all objects of all images, ``(objects,)``."""
        columns = [getattr(measures, column) for measures in self.images]
        return np.concatenate(columns) if columns else np.empty(0)


def survey_training(dataset: Dataset, task: str, limit: int = SURVEYED) -> TrainingSurvey:
    """Measure at most ``limit`` evenly spaced images of a dataset.

    Example:
        >>> from congeal.data.drawn import DrawnDataset
        >>> survey_training(DrawnDataset("sticks", count=3), "instances").images[0].size
        (100, 119)
    """
    images, things, others = [], set[int](), set[int]()
    for sample in evenly_spaced_samples(dataset, limit):
        images.append(_measure(sample))
        if sample.classes is not None and sample.semantic is not None:
            things.update(sample.classes.tolist())
            others.update(np.unique(sample.semantic[sample.labels == 0]).tolist())
    names, labelled = dataset.class_names, not dataset.unlabelled_reason
    stuff = tuple(names[k] for k in sorted(others - things) if 0 < k < len(names))
    return TrainingSurvey(dataset.name, task, tuple(images), len(dataset), names, labelled, stuff)


def evenly_spaced_samples(dataset: Dataset, limit: int) -> Iterator[Sample]:
    """Iterate over at most ``limit`` evenly spaced samples."""
    for index in np.unique(np.linspace(0, len(dataset) - 1, limit).round().astype(int)):
        yield dataset[int(index)]


def _measure(sample: Sample) -> ImageMeasures:
    labels = relabel(np.maximum(sample.labels, 0))
    area = np.bincount(labels.ravel()).astype(float)  # (K + 1,)
    complete = np.ones(len(area), bool)  # objects cut by the image border are too small
    complete[on_edge(labels)] = False
    area, complete = area[1:], complete[1:]
    boxes = ndimage.find_objects(labels)
    height, width = labels.shape
    return ImageMeasures(
        brightness=float(scale_intensity(sample.image).median()),
        size=(height, width),
        areas=area,
        extents=np.array([max(s.stop - s.start for s in box) for box in boxes], float),
        widths=_widths(labels, area),
        connected_fractions=_connected_fractions(labels, area),
        holes=_holes(labels, area),
        relative_areas=area[complete] / np.median(area) if len(area) else area,
    )


def _widths(labels: NDArray[np.int64], area: Column) -> Column:
    """Twice the area over the perimeter of each object.

    The perimeter is the number of pixel edges times pi / 4: edges are 4 / pi times too long on
    average over all directions.
    """
    padded = np.pad(labels, 1)
    edges = np.zeros(len(area) + 1)
    for first, second in ((padded[1:], padded[:-1]), (padded[:, 1:], padded[:, :-1])):
        differ = first != second
        edges += np.bincount(first[differ], minlength=len(edges))
        edges += np.bincount(second[differ], minlength=len(edges))
    widths: Column = 2 * area / (np.pi / 4 * edges[1:])
    return widths


def _connected_fractions(labels: NDArray[np.int64], area: Column) -> Column:
    parts = split_parts(labels)
    counts = np.bincount(parts.ravel())
    owner = np.zeros(len(counts), np.int64)
    owner[parts] = labels  # the background is a part too
    largest = np.zeros(len(area) + 1)
    np.maximum.at(largest, owner, counts)
    fractions: Column = largest[1:] / area
    return fractions


def _holes(labels: NDArray[np.int64], area: Column) -> Column:
    masks = [labels[box] == k for k, box in enumerate(ndimage.find_objects(labels), 1)]
    filled = [np.count_nonzero(ndimage.binary_fill_holes(mask)) for mask in masks]
    return np.array(filled, float) / area - 1
