"""Settings of RPE that follow from the sizes of the objects in the training images."""

from __future__ import annotations

from typing import Any

import numpy as np

from congeal.data.measures import TrainingSurvey
from congeal.data.zoom import magnification
from congeal.methods.rpe.config import RPEConfig
from congeal.methods.suggestions import (
    is_dark,
    is_divided,
    is_solid,
    is_sparse,
    scale_to_fit,
    scale_to_size,
    smallest_area,
    surveyed_areas,
)

__all__ = ["adapt_settings", "suggest_settings"]

SMALL_OBJECT = 200.0  # px, area of the median object below which an image is upscaled

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
    that cross, and so do all where many objects are in parts because others cross them: what tells
    neighbours apart does not join over a gap. Images that are mostly dark are shown with their
    dark parts lifted. Holes are filled where the objects have none.

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
    surveyed_areas(survey)  # refuses images without objects
    alone = is_sparse(survey) or is_divided(survey)
    scale = scale_to_fit(survey) if alone else scale_to_size(survey)
    min_area = smallest_area(survey, scale)
    shown = {"input.scale": scale, "input.gamma": 0.5 if is_dark(survey) else 1.0}
    if alone:
        return shown | {"decoding.min_area": max(4.0, round(0.7 * min_area))} | SPARSE
    return shown | {"decoding.min_area": min_area} | _crowded(survey, scale)


def adapt_settings(survey: TrainingSurvey, base: RPEConfig) -> dict[str, Any]:
    """Choose what follows from the sizes of objects, for a model that has learnt others.

    How the model tells objects apart stays: one with a repulsion radius keeps to neighbours, of
    sparse images too, for its weights know no other way. The radius becomes smaller with small
    objects and never larger: neighbours of any size differ where they meet, and a wider radius has
    more to learn.

    Args:
        survey: of the training images.
        base: settings of the model that the training starts from.

    Returns:
        Settings of :class:`congeal.methods.rpe.RPEConfig` by path.

    Raises:
        CongealError: no image has any object.

    Example:
        >>> from congeal.data import open_dataset
        >>> from congeal.data.measures import survey_training
        >>> sticks = survey_training(open_dataset("sticks", "train", count=8), "instances")
        >>> adapt_settings(sticks, RPEConfig.from_settings({"repulsion_radius": 48}))[
        ...     "loss.repulsion_radius"
        ... ]
        48.0
    """
    surveyed_areas(survey)  # refuses images without objects
    radius = base.loss.repulsion_radius
    # A model of one class has nothing to say on how to tell several apart.
    classifier = "pooled" if len(base.class_names) < 2 else base.network.classifier
    if radius is None:
        kept = ("input.scale", "input.gamma", "decoding.min_area")
        found = {path: value for path, value in suggest_settings(survey).items() if path in kept}
        return found | {"network.classifier": classifier}
    scale = scale_to_size(survey)
    gamma = 0.5 if is_dark(survey) else 1.0
    shown = {"input.scale": scale, "input.gamma": gamma}
    found = shown | {"decoding.min_area": smallest_area(survey, scale)} | _crowded(survey, scale)
    found["network.classifier"] = classifier
    left = {"network.coordinates"}
    if found["loss.repulsion_radius"] >= radius:
        found["loss.repulsion_radius"] = radius
        left.add("network.wavelengths")
    return {path: value for path, value in found.items() if path not in left}


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
        "decoding.fill_holes": is_solid(survey),
    }
