"""Settings of the discriminative method that follow from the objects in the training images."""

from __future__ import annotations

from typing import Any

from congeal.data.measures import TrainingSurvey
from congeal.methods.suggestions import (
    is_dark,
    is_solid,
    is_sparse,
    object_areas,
    scale_to_fit,
    scale_to_size,
    smallest_area,
)

__all__ = ["suggest_settings"]

CROWDED_DIMENSIONS = 16


def suggest_settings(survey: TrainingSurvey) -> dict[str, Any]:
    """Choose how to show, embed and decode objects of these sizes.

    Args:
        survey: of the training images.

    Returns:
        Settings of :class:`congeal.methods.discriminative.DiscriminativeConfig` by path.

    Raises:
        CongealError: no image has any object, and the task is about objects.

    Example:
        >>> from congeal.data import open_dataset
        >>> from congeal.data.measures import survey_training
        >>> sticks = open_dataset("sticks", "train", count=8)
        >>> suggest_settings(survey_training(sticks, "instances"))["network.coordinates"]
        'projected'
    """
    if survey.task != "instances":
        return {"input.gamma": 0.5 if is_dark(survey) else 1.0}
    object_areas(survey)
    sparse = is_sparse(survey)
    scale = scale_to_fit(survey) if sparse else scale_to_size(survey)
    shown = {
        "input.scale": scale,
        "input.gamma": 0.5 if is_dark(survey) else 1.0,
        "decoding.min_area": smallest_area(survey, scale),
        "decoding.stuff": survey.stuff,
    }
    if sparse:
        return shown | {"network.coordinates": "projected"}
    return shown | {
        "input.min_object_area": 200.0,
        "network.coordinates": "rotary",
        "network.dimensions": CROWDED_DIMENSIONS,
        "decoding.split_components": True,
        "decoding.fill_holes": is_solid(survey),
    }
