"""Images shown at a size that suits their objects, whatever the method."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from congeal.data.zoom import magnification
from congeal.methods.image import network_input
from congeal.methods.maps import ImageStatistics, MapPrediction
from congeal.methods.sections import InputSettings
from congeal.segmentation import Segmentation

__all__ = ["object_magnification", "predict_at_object_size"]


def predict_at_object_size(
    image: NDArray[Any],
    settings: InputSettings,
    predict: Callable[[Tensor, float], MapPrediction],
    decode: Callable[[MapPrediction], Segmentation],
    statistics: ImageStatistics | None = None,
) -> MapPrediction:
    """Predict an image, and again upscaled where its median object is small.

    A part of an image is predicted once, as large as the statistics of the whole image say.

    Args:
        image: ``(H, W)`` or ``(H, W, C)``, any real type.
        settings: channels, percentiles, scale, and the smallest median object that needs no
            upscaling.
        predict: maps of an image ``(planes, H, W)`` in [0, 1] that is shown larger by a factor.
        decode: the objects of these maps.
        statistics: of the whole image, where this is a part of one.

    Raises:
        CongealError: the array is no image.
    """
    if statistics is not None:
        return predict(network_input(image, settings, statistics.bounds), statistics.magnification)
    pixels = network_input(image, settings)
    maps = predict(pixels, 1.0)
    if not settings.min_object_area:
        return maps
    found = decode(maps)
    larger = object_magnification(
        found.areas, settings.min_object_area, settings.scale, math.prod(found.shape)
    )
    return maps if larger == 1 else predict(pixels, larger)


def object_magnification(
    areas: ArrayLike, min_object_area: float, scale: float = 1.0, pixels: float = 1
) -> float:
    """How much to enlarge an image with these objects; see :func:`magnification`.

    Args:
        areas: of the objects, in pixels of the image.
        min_object_area: smallest median object that needs no upscaling, in pixels shown.
        scale: relative size at which the network sees an image.
        pixels: of the image; 1 where it is predicted in parts.

    Example:
        >>> object_magnification([90, 100, 800], 225)
        1.5
    """
    shown = scale**2  # pixels shown for each of the image
    return magnification(np.asarray(areas) * shown, min_object_area, shown * pixels)
