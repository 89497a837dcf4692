"""Settings of RPE derived from the sizes of the objects in the training images."""

from __future__ import annotations

from typing import Any

import numpy as np

from congeal.data.measures import TrainingSurvey
from congeal.data.rescale import magnification
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

SMALL_OBJECT = 200.0  # px, median object area below which an image is upscaled

# Few long objects: each gets its own direction of the embedding, from projected coordinates. Mean
# shift is part of the loss in the last fifth of the training. Decoding uses a narrow kernel, and
# averages similarities over four orientations.
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
    """Choose input, embedding and decoding settings for objects of these sizes.

    - Crowded images (more than 24 objects in one image): repulsion radius of twice the median
      diameter and rotary coordinates, so that objects need to differ only from their neighbours.
      Images with a median object below 200 pixels are upscaled. Large objects: smaller scale.
    - Sparse images, and images where many objects are divided by others that cross them: one
      direction per object and projected coordinates, for long and crossing objects; a radius would
      not join parts over a gap. Smaller scale if needed, so that a crop contains a whole image.
    - Images that are mostly dark: gamma .5.
    - Objects without holes: holes are filled.

    Args:
        survey: survey of the training images.

    Returns:
        Settings of :class:`congeal.methods.rpe.RPEConfig` by path.

    Raises:
        CongealError: no image has an object.

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
    display = {"input.scale": scale, "input.gamma": 0.5 if is_dark(survey) else 1.0}
    if alone:
        return display | {"decoding.min_area": max(4.0, round(0.7 * min_area))} | SPARSE
    return display | {"decoding.min_area": min_area} | _crowded(survey, scale)


def adapt_settings(survey: TrainingSurvey, base: RPEConfig) -> dict[str, Any]:
    """Choose settings by the sizes of objects for fine-tuning of a model.

    A model with a repulsion radius keeps one, for sparse images too, since its weights were trained
    with it. The radius may shrink with small objects, but not grow: a larger radius means more
    pairs to separate, and neighbours already differ where they meet.

    Args:
        survey: survey of the training images.
        base: settings of the start model.

    Returns:
        Settings of :class:`congeal.methods.rpe.RPEConfig` by path.

    Raises:
        CongealError: no image has an object.

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
    # A model of one class has no trained classifier to keep.
    classifier = "pooled" if len(base.class_names) < 2 else base.network.classifier
    if radius is None:
        kept = ("input.scale", "input.gamma", "decoding.min_area")
        found = {path: value for path, value in suggest_settings(survey).items() if path in kept}
        return found | {"network.classifier": classifier}
    scale = scale_to_size(survey)
    gamma = 0.5 if is_dark(survey) else 1.0
    display = {"input.scale": scale, "input.gamma": gamma}
    found = display | {"decoding.min_area": smallest_area(survey, scale)} | _crowded(survey, scale)
    found["network.classifier"] = classifier
    unchanged = {"network.coordinates"}
    if found["loss.repulsion_radius"] >= radius:
        found["loss.repulsion_radius"] = radius
        unchanged.add("network.wavelengths")
    return {path: value for path, value in found.items() if path not in unchanged}


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
