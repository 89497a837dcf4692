"""Prediction at a scale that suits the object size: images of small objects are enlarged.

Flow: predict the maps -> estimate the areas of the objects -> if their median is too small, predict
the enlarged image. Used by all methods with the setting ``input.min_object_area``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from torch import Tensor

from congeal.data.zoom import magnification
from congeal.methods.image import network_input
from congeal.methods.maps import ImageStatistics, MapPrediction
from congeal.methods.sections import InputSettings

__all__ = ["component_areas", "object_magnification", "predict_at_object_size"]

GRID = 2  # px, spacing of the pixels used; the median area is the same to 1 % on nuclei


def predict_at_object_size(
    image: NDArray[Any],
    settings: InputSettings,
    predict: Callable[[Tensor, float], MapPrediction],
    measure: Callable[[MapPrediction], ArrayLike],
    statistics: ImageStatistics | None = None,
) -> MapPrediction:
    """Predict an image, and predict it again enlarged if its median object is small.

    A tile is predicted once, with the magnification in the statistics of the whole image.

    Args:
        image: ``(H, W)`` or ``(H, W, C)``, any real type.
        settings: channels, percentiles, scale and ``min_object_area``.
        predict: ``predict(pixels, magnification)`` returns the maps of ``(C, H, W)`` float32.
        measure: returns estimated areas of the objects in these maps, in pixels of the image.
        statistics: statistics of the whole image, if ``image`` is a tile.

    Raises:
        CongealError: the array is no image, or has another number of channels.
    """
    if statistics is not None:
        return predict(network_input(image, settings, statistics.bounds), statistics.magnification)
    pixels = network_input(image, settings)
    maps = predict(pixels, 1.0)
    if not settings.min_object_area:
        return maps
    area = math.prod(maps.size)
    factor = object_magnification(measure(maps), settings.min_object_area, settings.scale, area)
    return maps if factor == 1 else predict(pixels, factor)


def object_magnification(
    areas: ArrayLike, min_object_area: float, scale: float = 1.0, pixels: float = 1
) -> float:
    """Factor by which to enlarge an image, from its objects; see :func:`magnification`.

    Args:
        areas: areas of the objects in pixels of the image, ``(K,)``.
        min_object_area: smallest median area that needs no enlarging, in pixels after scaling.
        scale: relative size at which images enter the network.
        pixels: area of the image in pixels; 1 if it is predicted in tiles.

    Example:
        >>> object_magnification([90, 100, 800], 225)
        1.5
    """
    area_scale = scale**2
    return magnification(np.asarray(areas) * area_scale, min_object_area, area_scale * pixels)


def component_areas(foreground: Tensor, touching: Tensor, min_area: float) -> NDArray[np.float64]:
    """Estimate object areas from foreground and touching map, without the embedding.

    Objects are approximated by the connected components of foreground and not touching. Their areas
    are scaled by one factor to sum to the area of the foreground.

    Args:
        foreground: ``(H, W)`` bool.
        touching: ``(H, W)`` bool, True where objects touch.
        min_area: components with a smaller area are left out, px.

    Returns:
        ``(K,)`` areas in pixels.

    Example:
        >>> import torch
        >>> foreground = torch.ones(4, 12, dtype=torch.bool)
        >>> touching = torch.zeros_like(foreground)
        >>> touching[:, 4:8] = True
        >>> component_areas(foreground, touching, min_area=1).tolist()
        [24.0, 24.0]
    """
    inside = foreground[::GRID, ::GRID]
    cores = inside & ~touching[::GRID, ::GRID]
    components = ndimage.label(cores.cpu().numpy())[0]
    pixels = np.bincount(components.ravel())
    factor = float(inside.sum()) / max(float(pixels[1:].sum()), 1.0)
    areas: NDArray[np.float64] = pixels[1:] * np.float64(GRID**2 * factor)
    return areas[areas >= min_area]
