"""What follows from the sizes of the objects in the training images, whatever the method."""

from __future__ import annotations

import numpy as np

from congeal.data.measures import TrainingSurvey
from congeal.errors import CongealError

__all__ = [
    "is_dark",
    "is_parted",
    "is_solid",
    "is_sparse",
    "object_areas",
    "scale_to_fit",
    "scale_to_size",
    "smallest_area",
]

CROWD = 24  # objects in an image beyond which it counts as crowded
LARGE = 96  # px, extent of objects beyond which they are shown smaller
TYPICAL = 48  # px, extent that they are shown at then
HAIRLINE = 2.5  # px, least width of objects in images that are shown smaller
FITTING = 256  # px, side that a whole image of few objects is shown at
WHOLE = 0.8  # share of an object in one part, under which its parts do not stand for it
PARTED = 0.3  # share of such objects; drawn worms, fibres, sticks and cables have .42 to .69
HOLLOW = 0.02  # area of holes over that of objects, from which holes are real; rings have .4
DARK = 0.15  # median intensity, 0..1, under which most of an image is dark ground


def object_areas(survey: TrainingSurvey) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Areas of all objects in pixels.

    Raises:
        CongealError: no image has any object.
    """
    areas = survey.pooled("areas")
    if not len(areas):
        raise CongealError(f"expected objects in the training images of {survey.name}, found none")
    return areas


def is_sparse(survey: TrainingSurvey) -> bool:
    """Whether the busiest image has at most 24 objects."""
    return max(len(one.areas) for one in survey.images) <= CROWD


def is_parted(survey: TrainingSurvey) -> bool:
    """Whether others cross objects so often that many lie in several parts, apart from each other.

    What tells objects from their neighbours only, and each connected part from the others, does
    not see which parts belong together.
    """
    fractions = survey.pooled("connected_fractions")
    return bool(len(fractions)) and float(np.mean(fractions < WHOLE)) > PARTED


def is_solid(survey: TrainingSurvey) -> bool:
    """Whether objects have no holes to speak of, so that holes in a result are mistakes."""
    areas = survey.pooled("areas")
    return float((survey.pooled("holes") * areas).sum()) <= HOLLOW * float(areas.sum())


def is_dark(survey: TrainingSurvey) -> bool:
    """Whether images are mostly dark."""
    return bool(np.median([one.brightness for one in survey.images]) < DARK)


def smallest_area(survey: TrainingSurvey, scale: float) -> float:
    """Area that all but one object in a hundred have, at least 4, in pixels of the scaled image."""
    return max(4.0, round(scale**2 * float(np.quantile(object_areas(survey), 0.01))))


def scale_to_fit(survey: TrainingSurvey) -> float:
    """Show whole images, as far as their objects do not become hairlines."""
    side = float(np.median([max(one.size) for one in survey.images]))
    width = float(np.median(survey.pooled("widths")))
    return _round_scale(max(FITTING / side, HAIRLINE / width))


def scale_to_size(survey: TrainingSurvey) -> float:
    """Show large objects at a size that the network takes in, unless they become hairlines."""
    extent = float(np.median(survey.pooled("extents")))
    width = float(np.median(survey.pooled("widths")))
    return _round_scale(1.0 if extent <= LARGE else max(TYPICAL / extent, HAIRLINE / width))


def _round_scale(scale: float) -> float:
    """The nearest 2 / k, k >= 2: embeddings at stride 2 then lie on whole pixels of the image."""
    return round(2 / max(2, round(2 / scale)), 4)
