"""Images shown at a size that suits their objects, whatever the method."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray
from torch import Tensor

from congeal.data.zoom import magnification
from congeal.methods.image import network_input
from congeal.methods.method import MapPrediction
from congeal.methods.sections import InputSettings
from congeal.segmentation import Segmentation

__all__ = ["predict_at_object_size"]


def predict_at_object_size(
    image: NDArray[Any],
    settings: InputSettings,
    predict: Callable[[Tensor, float], MapPrediction],
    decode: Callable[[MapPrediction], Segmentation],
) -> MapPrediction:
    """Predict an image, and again upscaled where its median object is small.

    Args:
        image: ``(H, W)`` or ``(H, W, C)``, any real type.
        settings: channels, percentiles, scale, and the smallest median object that needs no
            upscaling.
        predict: maps of an image ``(planes, H, W)`` in [0, 1] that is shown larger by a factor.
        decode: the objects of these maps.

    Raises:
        CongealError: the array is no image.
    """
    pixels = network_input(image, settings)
    maps = predict(pixels, 1.0)
    if not settings.min_object_area:
        return maps
    found = decode(maps)
    shown = settings.scale**2  # pixels shown for each of the image
    larger = magnification(
        found.areas * shown, settings.min_object_area, shown * math.prod(found.shape)
    )
    return maps if larger == 1 else predict(pixels, larger)
