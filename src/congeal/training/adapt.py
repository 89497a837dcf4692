"""Settings that follow from the training images, for those who do not want to set them."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage

from congeal.data.intensity import scale_intensity
from congeal.data.sample import Dataset
from congeal.errors import CongealError
from congeal.grouping.components import on_edge

__all__ = ["suggest_settings"]

LOOKED_AT = 64  # images
CROWD = 24  # objects in an image beyond which far-apart objects share directions
DARK = 0.15  # median intensity, 0..1, under which most of an image is dark ground

# Few long objects: each a direction of its own, told apart by where its line lies. Learning to
# separate comes first, mean shift joins for the last stretch, and modes are read out finely.
SPARSE = {
    "coordinates": "projected",
    "reach": None,
    "margin": 0.75,
    "samples": 512,
    "shift_from": 0.8,
    "merge": 0.85,
    "read_concentration": 250.0,
}


def suggest_settings(dataset: Dataset) -> dict[str, Any]:
    """Look at objects and choose how to embed and read them.

    Crowded images (over 24 objects in the busiest) get a reach of twice the median diameter and
    rotary positions: objects need to differ from their neighbours only. Sparse images keep one
    direction per object and projected coordinates, which suit long objects that cross. What is
    smaller than the smallest hundredth of the objects is taken for a fragment (less strictly
    where few objects hide each other). Images that are mostly dark are shown to the network with
    their dark parts lifted.

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
    chosen = np.unique(np.linspace(0, len(dataset) - 1, LOOKED_AT).round().astype(int))
    counts, areas, extents, tones, shares = [], [], [], [], []
    for index in chosen:
        sample = dataset[int(index)]
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
