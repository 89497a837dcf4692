"""Settings of DVIS that follow from the sizes of the objects in the training images."""

from __future__ import annotations

from typing import Any

import numpy as np

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

SMALL_OBJECT = 200.0  # px, area of the median object below which an image is upscaled


def suggest_settings(survey: TrainingSurvey) -> dict[str, Any]:
    """Choose how to show objects of these sizes, and whether far-apart ones share a value.

    One number tells few objects apart. In crowded images (over 24 objects in the busiest) objects
    differ from their neighbours only, within twice the median diameter, and connectedness tells
    the rest apart.

    Raises:
        CongealError: no image has any object.

    Example:
        >>> from congeal.data import open_dataset
        >>> from congeal.data.measures import survey_training
        >>> discs = open_dataset("discs", "train", count=8)
        >>> suggest_settings(survey_training(discs, "instances"))["input.scale"]
        1.0
    """
    surveyed_areas(survey)  # raises where there are none
    sparse = is_sparse(survey)
    scale = scale_to_fit(survey) if sparse else scale_to_size(survey)
    chosen: dict[str, Any] = {
        "input.scale": scale,
        "input.gamma": 0.5 if is_dark(survey) else 1.0,
        "decoding.min_area": smallest_area(survey, scale),
    }
    if sparse:
        return chosen
    extent = scale * float(np.median(survey.pooled("extents")))
    return chosen | {
        "input.min_object_area": SMALL_OBJECT,
        "loss.repulsion_radius": float(np.clip(2 * extent, 24, 128).round()),
        "decoding.fill_holes": is_solid(survey),
    }
