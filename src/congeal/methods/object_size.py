"""Images shown at a size that suits their objects, whatever the method."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from torch import Tensor

from congeal.data.rescale import magnification
from congeal.methods.image import network_input
from congeal.methods.maps import ImageStatistics, MapPrediction
from congeal.methods.sections import InputSettings

__all__ = ["component_areas", "object_magnification", "predict_at_object_size"]

GRID = 2  # every so manieth pixel of a row is looked at: the median is the same to 1 % on nuclei


def predict_at_object_size(
    image: NDArray[Any],
    settings: InputSettings,
    predict: Callable[[Tensor, float], MapPrediction],
    measure: Callable[[MapPrediction], ArrayLike],
    statistics: ImageStatistics | None = None,
) -> MapPrediction:
    """Predict an image, and again upscaled where its median object is small.

    A part of an image is predicted once, as large as the statistics of the whole image say.

    Args:
        image: ``(H, W)`` or ``(H, W, C)``, any real type.
        settings: channels, percentiles, scale, and the smallest median object that needs no
            upscaling.
        predict: maps of an image ``(planes, H, W)`` in [0, 1] that is shown larger by a factor.
        measure: areas of the objects of these maps in pixels of the image, about.
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
    areas = measure(maps)
    pixels_of = math.prod(maps.size)
    larger = object_magnification(areas, settings.min_object_area, settings.scale, pixels_of)
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


def component_areas(foreground: Tensor, touching: Tensor, min_area: float) -> NDArray[np.float64]:
    """Areas of objects without telling them apart by their embedding.

    Objects are the connected parts of the foreground without the pixels where objects touch. Their
    areas are raised by one factor to add up to the whole foreground.

    Args:
        foreground: ``(H, W)`` bool.
        touching: ``(H, W)`` bool.
        min_area: parts of fewer pixels are no objects.

    Returns:
        ``(K,)`` in pixels.

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
    parts = ndimage.label(cores.cpu().numpy())[0]
    pixels = np.bincount(parts.ravel())
    raised = float(inside.sum()) / max(float(pixels[1:].sum()), 1.0)
    areas: NDArray[np.float64] = pixels[1:] * np.float64(GRID**2 * raised)
    return areas[areas >= min_area]
