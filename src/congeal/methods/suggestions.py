"""Settings derived from the objects in the training images, shared by several methods."""

from __future__ import annotations

import numpy as np

from congeal.data.measures import TrainingSurvey
from congeal.errors import CongealError

__all__ = [
    "is_dark",
    "is_divided",
    "is_solid",
    "is_sparse",
    "scale_to_fit",
    "scale_to_size",
    "smallest_area",
    "surveyed_areas",
]

MAX_SPARSE_OBJECTS = 24  # per image; images with more are crowded
LARGE_EXTENT = 96  # px; images with larger objects are scaled down
SCALED_EXTENT = 48  # px, extent of these objects after scaling
MIN_WIDTH = 2.5  # px, median width of objects after scaling
SPARSE_SIDE = 256  # px, side of a whole sparse image after scaling
WHOLE_SHARE = 0.8  # largest part / object; below it an object counts as divided
DIVIDED_SHARE = 0.3  # of divided objects; drawn worms, fibres, sticks and cables have .42 to .69
HOLE_RATIO = 0.02  # area of holes / area of objects; above it holes are real (rings: .4)
DARK_INTENSITY = 0.15  # median intensity in [0, 1]; below it an image is mostly dark background


def surveyed_areas(survey: TrainingSurvey) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Areas of all objects, ``(K,)`` in pixels.

    Args:
        survey: survey of the training images.

    Raises:
        CongealError: no image has an object.
    """
    areas = survey.pooled("areas")
    if not len(areas):
        raise CongealError(f"expected objects in the training images of {survey.name}, found none")
    return areas


def is_sparse(survey: TrainingSurvey) -> bool:
    """Whether no image has more than 24 objects."""
    return max(len(image.areas) for image in survey.images) <= MAX_SPARSE_OBJECTS


def is_divided(survey: TrainingSurvey) -> bool:
    """Whether more than 30 % of the objects are divided into separate parts by others.

    For such data a repulsion radius does not work: it separates objects from their neighbours and
    then takes connected components, which cannot join the parts of an object.
    """
    wholes = survey.pooled("wholes")
    return bool(len(wholes)) and float(np.mean(wholes < WHOLE_SHARE)) > DIVIDED_SHARE


def is_solid(survey: TrainingSurvey) -> bool:
    """Whether objects have almost no holes, so that holes in a prediction are errors."""
    areas = survey.pooled("areas")
    return float((survey.pooled("holes") * areas).sum()) <= HOLE_RATIO * float(areas.sum())


def is_dark(survey: TrainingSurvey) -> bool:
    """Whether the median image has a median intensity below 0.15."""
    return bool(np.median([image.brightness for image in survey.images]) < DARK_INTENSITY)


def smallest_area(survey: TrainingSurvey, scale: float) -> float:
    """1 % quantile of the object areas after scaling, at least 4, in pixels.

    Args:
        survey: survey of the training images.
        scale: relative size at which images enter the network.

    Raises:
        CongealError: no image has an object.
    """
    return max(4.0, round(scale**2 * float(np.quantile(surveyed_areas(survey), 0.01))))


def scale_to_fit(survey: TrainingSurvey) -> float:
    """Input scale at which whole images are 256 pixels wide and objects at least 2.5 pixels."""
    side = float(np.median([max(image.size) for image in survey.images]))
    width = float(np.median(survey.pooled("widths")))
    return _round_scale(max(SPARSE_SIDE / side, MIN_WIDTH / width))


def scale_to_size(survey: TrainingSurvey) -> float:
    """Input scale at which objects over 96 pixels get an extent of 48; 1 for smaller objects.

    Objects stay at least 2.5 pixels wide.
    """
    extent = float(np.median(survey.pooled("extents")))
    width = float(np.median(survey.pooled("widths")))
    if extent <= LARGE_EXTENT:
        return _round_scale(1.0)
    return _round_scale(max(SCALED_EXTENT / extent, MIN_WIDTH / width))


def _round_scale(scale: float) -> float:
    """Nearest 2 / k with a whole k >= 2: an embedding at stride 2 has stride k on the image."""
    return round(2 / max(2, round(2 / scale)), 4)
