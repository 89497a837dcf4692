"""Settings of the method ``discriminative`` derived from the training images."""

from __future__ import annotations

from typing import Any

from congeal.data.measures import TrainingSurvey
from congeal.methods.suggestions import (
    is_dark,
    is_solid,
    is_sparse,
    scale_to_fit,
    scale_to_size,
    smallest_area,
    surveyed_areas,
)

__all__ = ["suggest_settings"]

CROWDED_DIMENSIONS = 16  # D of the embedding for crowded images


def suggest_settings(survey: TrainingSurvey) -> dict[str, Any]:
    """Derive input, network and decoding settings from the sizes of the objects.

    Args:
        survey: survey of the training images.

    Returns:
        Settings of :class:`congeal.methods.discriminative.DiscriminativeConfig` by path.

    Raises:
        CongealError: the task is ``instances`` and no image has an object.

    Example:
        >>> from congeal.data import open_dataset
        >>> from congeal.data.measures import survey_training
        >>> sticks = open_dataset("sticks", "train", count=8)
        >>> suggest_settings(survey_training(sticks, "instances"))["network.coordinates"]
        'projected'
    """
    if survey.task != "instances":
        return {"input.gamma": 0.5 if is_dark(survey) else 1.0}
    surveyed_areas(survey)  # raises if there are no objects
    sparse = is_sparse(survey)
    scale = scale_to_fit(survey) if sparse else scale_to_size(survey)
    settings = {
        "input.scale": scale,
        "input.gamma": 0.5 if is_dark(survey) else 1.0,
        "decoding.min_area": smallest_area(survey, scale),
        "decoding.stuff": survey.stuff,
    }
    if sparse:
        return settings | {"network.coordinates": "projected"}
    return settings | {
        "input.min_object_area": 200.0,
        "network.coordinates": "rotary",
        "network.dimensions": CROWDED_DIMENSIONS,
        "decoding.split_components": True,
        "decoding.fill_holes": is_solid(survey),
    }
