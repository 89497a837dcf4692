"""Settings of RPE that follow from the sizes of the objects in the training images."""

from __future__ import annotations

from typing import Any

import numpy as np

from congeal.data.measures import TrainingSurvey
from congeal.data.zoom import magnification
from congeal.errors import CongealError

__all__ = ["suggest_settings"]

CROWD = 24  # objects in an image beyond which far-apart objects share directions
LARGE = 96  # px, extent of objects beyond which they are shown smaller
TYPICAL = 48  # px, extent that they are shown at then
HAIRLINE = 2.5  # px, least width of objects in images that are shown smaller
FITTING = 256  # px, side that a whole image of few objects is shown at
SMALL_OBJECT = 200.0  # px, area of the median object below which an image is upscaled
DARK = 0.15  # median intensity, 0..1, under which most of an image is dark ground

# Few long objects: each a direction of its own, told apart by where its line lies. Learning to
# separate comes first, mean shift joins for the last stretch, and modes are found finely, from
# similarities averaged over four orientations.
SPARSE = {
    "network.coordinates": "projected",
    "loss.repulsion_radius": None,
    "loss.margin": 0.75,
    "loss.samples": 512,
    "loss.mean_shift_start": 0.8,
    "decoding.merge_margin": 0.85,
    "decoding.decode_concentration": 250.0,
    "decoding.tta": 4,
}


def suggest_settings(survey: TrainingSurvey) -> dict[str, Any]:
    """Choose how to show, embed and decode objects of these sizes.

    Images are shown smaller where few objects fill a large image, so that a crop holds all of it,
    or where objects are large. Crowded images (over 24 objects in the busiest) get a repulsion
    radius of twice the median diameter and rotary coordinates: objects need to differ from their
    neighbours only. Those in which the median object has under 200 pixels are shown upscaled.
    Sparse images keep one direction per object and projected coordinates, which suit long objects
    that cross. Images that are mostly dark are shown with their dark parts lifted.

    Args:
        survey: of the training images.

    Returns:
        Settings of :class:`congeal.methods.rpe.RPEConfig` by path.

    Raises:
        CongealError: no image has any object.

    Example:
        >>> from congeal.data import open_dataset
        >>> from congeal.data.measures import survey_training
        >>> sticks = open_dataset("sticks", "train", count=8)
        >>> suggest_settings(survey_training(sticks, "instances"))["network.coordinates"]
        'projected'
    """
    areas = survey.pooled("areas")
    if not len(areas):
        raise CongealError(f"expected objects in the training images of {survey.name}, found none")
    dark = np.median([one.brightness for one in survey.images]) < DARK
    sparse = max(len(one.areas) for one in survey.images) <= CROWD
    scale = _scale_to_fit(survey) if sparse else _scale_to_size(survey)
    min_area = max(4.0, round(scale**2 * float(np.quantile(areas, 0.01))))
    shown = {"input.scale": scale, "input.gamma": 0.5 if dark else 1.0}
    if sparse:
        return shown | {"decoding.min_area": max(4.0, round(0.7 * min_area))} | SPARSE
    return shown | {"decoding.min_area": min_area} | _crowded(survey, scale)


def _crowded(survey: TrainingSurvey, scale: float) -> dict[str, Any]:
    ratios = survey.pooled("relative_areas")
    extents = [
        scale * magnification(scale**2 * one.areas, SMALL_OBJECT) * one.extents
        for one in survey.images
    ]
    radius = float(np.clip(2 * np.median(np.concatenate(extents)), 24, 128).round())
    ratio = round(min(0.3, float(np.quantile(ratios, 0.03))), 2) if len(ratios) else 0.0
    return {
        "input.min_object_area": SMALL_OBJECT,
        "network.coordinates": "rotary",
        "network.wavelengths": (round(radius / 2, 1), round(2.7 * radius, 1)),
        "loss.repulsion_radius": radius,
        "decoding.min_area_ratio": ratio,
        "decoding.min_score": 0.7,
        "decoding.fill_holes": True,
    }


def _scale_to_fit(survey: TrainingSurvey) -> float:
    """Show whole images, as far as their objects do not become hairlines."""
    side = float(np.median([max(one.size) for one in survey.images]))
    width = float(np.median(survey.pooled("widths")))
    return _round_scale(max(FITTING / side, HAIRLINE / width))


def _scale_to_size(survey: TrainingSurvey) -> float:
    """Show large objects at a size that the network takes in."""
    extent = float(np.median(survey.pooled("extents")))
    return _round_scale(1.0 if extent <= LARGE else TYPICAL / extent)


def _round_scale(scale: float) -> float:
    """The nearest 2 / k, k >= 2: embeddings at stride 2 then lie on whole pixels of the image."""
    return round(2 / max(2, round(2 / scale)), 4)
