"""Settings that follow from the training images, for those who do not want to set them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import ndimage

from congeal.data.intensity import scale_intensity
from congeal.data.sample import Dataset, Sample
from congeal.errors import CongealError
from congeal.grouping.components import on_edge
from congeal.methods.rpe import RPE
from congeal.training.config import LARGEST_CROP

__all__ = ["suggest_crop", "suggest_settings"]

LOOKED_AT = 64  # images
MEASURED = 16  # images whose size is looked at
CROWD = 24  # objects in an image beyond which far-apart objects share directions
DARK = 0.15  # median intensity, 0..1, under which most of an image is dark ground

# Few long objects: each a direction of its own, told apart by where its line lies. Learning to
# separate comes first, mean shift joins for the last stretch, and modes are read out finely, from
# similarities in four views.
SPARSE = {
    "coordinates": "projected",
    "reach": None,
    "margin": 0.75,
    "samples": 512,
    "shift_from": 0.8,
    "merge": 0.85,
    "read_concentration": 250.0,
    "views": 4,
}


def suggest_settings(dataset: Dataset) -> dict[str, Any]:
    """Look at objects and choose how to embed and read them.

    Crowded images (over 24 objects in the busiest) get a reach of twice the median diameter and
    rotary positions: objects need to differ from their neighbours only. Sparse images keep one
    direction per object and projected coordinates, which suit long objects that cross, and are
    looked at in four views. What is smaller than the smallest hundredth of the objects is taken
    for a fragment (less strictly where few objects hide each other). Images that are mostly dark
    are shown to the network with their dark parts lifted.

    Args:
        dataset: of training images; 64 of them, evenly spread, are read.

    Returns:
        Fields of :class:`congeal.methods.RPEConfig`.

    Raises:
        CongealError: no image has any object.

    Example:
        >>> from congeal.data import open_dataset
        >>> suggest_settings(open_dataset("sticks", "train", count=8))["coordinates"]
        'projected'
    """
    counts, areas, extents, tones, shares = [], [], [], [], []
    for sample in _some(dataset, LOOKED_AT):
        labels = sample.labels
        tones.append(float(scale_intensity(sample.image).median()))
        area = np.bincount(np.maximum(labels, 0).ravel())[1:]
        counts.append(int((area > 0).sum()))
        areas += area[area > 0].tolist()
        extents += _extents(labels)
        shares += _shares(np.maximum(labels, 0))
    if not areas:
        raise CongealError(f"expected objects in the training images of {dataset.name}, found none")
    smallest = max(4.0, round(float(np.quantile(areas, 0.01))))
    tone = 0.5 if np.median(tones) < DARK else 1.0
    if max(counts) <= CROWD:
        return {"smallest": max(4.0, round(0.7 * smallest)), "tone": tone, **SPARSE}
    reach = float(np.clip(2 * np.median(extents), 24, 128).round())
    wavelengths = (round(reach / 2, 1), round(2.7 * reach, 1))
    return {
        "smallest": smallest,
        "tone": tone,
        "fragment": round(min(0.3, float(np.quantile(shares, 0.03))), 2) if shares else 0.0,
        "least_score": 0.7,
        "coordinates": "rotary",
        "reach": reach,
        "wavelengths": wavelengths,
        "holes": True,
    }


def suggest_crop(dataset: Dataset, model: RPE, *, small: bool) -> int:
    """Choose the side of the training crops.

    Where each object has a direction of its own, the whole image counts, up to 256 pixels. Where
    far-apart objects share directions, a crop needs room for neighbours within reach and no more:
    in a short training many small crops teach more than few large ones with as many pixels.

    Args:
        dataset: of training images; 16 of them, evenly spread, are read if need be.
        model: to be trained, whose reach and divisor count.
        small: whether to go down to what reach needs, as on a CPU.

    Returns:
        Pixels, a multiple of the model's divisor.

    Example:
        >>> from congeal.data import open_dataset
        >>> suggest_crop(
        ...     open_dataset("sticks", "train", count=2, size=96), RPE(reach=None), small=True
        ... )
        96
    """
    reach = model.config.reach
    if reach is None:
        wanted = float(max(max(sample.labels.shape) for sample in _some(dataset, MEASURED)))
    else:
        wanted = 2.5 * reach if small else LARGEST_CROP
    divisor = model.divisor
    least = max(2 * divisor, 96)
    return divisor * math.ceil(min(max(wanted, least), LARGEST_CROP) / divisor)


def _some(dataset: Dataset, most: int) -> Iterator[Sample]:
    """At most so many samples, evenly spread."""
    for index in np.unique(np.linspace(0, len(dataset) - 1, most).round().astype(int)):
        yield dataset[int(index)]


def _extents(labels: np.ndarray[Any, np.dtype[np.int64]]) -> list[int]:
    """Longer side of the box of each object, in pixels."""
    boxes = ndimage.find_objects(np.maximum(labels, 0))
    return [max(s.stop - s.start for s in box) for box in boxes if box is not None]


def _shares(labels: np.ndarray[Any, np.dtype[np.int64]]) -> list[float]:
    """Area of each object that the edge does not cut, over the median area in its image."""
    area = np.bincount(labels.ravel()).astype(float)
    area[0] = 0
    if not area.any():
        return []
    median = float(np.median(area[area > 0]))
    area[on_edge(labels)] = 0
    whole: list[float] = (area[area > 0] / median).tolist()
    return whole
