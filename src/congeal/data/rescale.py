"""Rescaling of images and maps to the input scale of a network."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn import functional

__all__ = [
    "magnification",
    "rescale_boundaries",
    "rescale_image",
    "rescale_labels",
    "rescaled_size",
]

MAX_MAGNIFICATION = 2.0  # more adds blur, not detail
MIN_MAGNIFICATION = 1.1  # less does not justify a second prediction
MAX_PIXELS = 2**25  # of a magnified image: the output of the network has to fit in memory


def magnification(areas: ArrayLike, min_area: float, pixels: float = 1) -> float:
    """Scale factor at which the median object of an image has a given area.

    Args:
        areas: areas of the objects of the image in pixels.
        min_area: desired area of the median object in pixels; 0: no magnification.
        pixels: number of pixels of the image, which limits the factor: at most 2^25 magnified.

    Returns:
        sqrt(min_area / median area), at most 2; 1 if that is below 1.1 or there are no objects.

    Example:
        >>> magnification([90, 100, 800], 225), magnification([], 225), magnification([7], 0)
        (1.5, 1.0, 1.0)
    """
    areas = np.asarray(areas)
    if not min_area or not areas.size:
        return 1.0
    factor = math.sqrt(min_area / max(float(np.median(areas)), 1.0))
    factor = min(factor, MAX_MAGNIFICATION, math.sqrt(MAX_PIXELS / pixels))
    return factor if factor >= MIN_MAGNIFICATION else 1.0


def rescaled_size(size: tuple[int, int], scale: float) -> tuple[int, int]:
    """Height and width of an image rescaled by a factor, at least one pixel each.

    Example:
        >>> rescaled_size((448, 3), 0.25)
        (112, 1)
    """
    height, width = (max(1, round(side * scale)) for side in size)
    return height, width


def rescale_image(image: Tensor, scale: float) -> Tensor:
    """Rescale an image by bilinear interpolation with antialiasing.

    Args:
        image: ``(C, H, W)`` floats.
        scale: factor; 0.5 halves both sides.

    Returns:
        ``(C, h, w)``; for a scale of 1 the image itself.

    Example:
        >>> rescale_image(torch.ones(3, 8, 6), 0.5).shape
        torch.Size([3, 4, 3])
    """
    if scale == 1:
        return image
    size = rescaled_size((image.shape[1], image.shape[2]), scale)
    resized: Tensor = functional.interpolate(
        image[None], size=size, mode="bilinear", antialias=True, align_corners=False
    )
    return resized[0]


def rescale_labels(labels: Tensor, scale: float) -> Tensor:
    """Rescale a label map by nearest-neighbour interpolation.

    Args:
        labels: ``(H, W)`` of an integer type.
        scale: factor; 0.5 halves both sides.

    Returns:
        ``(h, w)`` of the same type; for a scale of 1 the map itself.

    Example:
        >>> rescale_labels(torch.tensor([[1, 1, 2, 2], [1, 1, 2, 2]]), 0.5)
        tensor([[1, 2]])
    """
    if scale == 1:
        return labels
    height, width = labels.shape
    rows, columns = (
        ((torch.arange(new) + 0.5) * (old / new)).long()
        for new, old in zip(rescaled_size((height, width), scale), (height, width), strict=True)
    )
    return labels[rows[:, None], columns]


def rescale_boundaries(boundaries: Tensor, scale: float) -> Tensor:
    """Rescale a boundary map: maximum over the covered pixels when shrinking, else nearest.

    The maximum keeps boundaries of one pixel connected. Void is taken from the nearest pixel.

    Args:
        boundaries: ``(H, W)`` floats in [0, 1], -1 void.
        scale: factor; 0.5 halves both sides.

    Returns:
        ``(h, w)`` of the same type; for a scale of 1 the map itself.

    Example:
        >>> rescale_boundaries(torch.tensor([[0.0, 1, 0, 0], [0, 0.5, 0, 0]]), 0.5)
        tensor([[1., 0.]])
    """
    nearest = rescale_labels(boundaries, scale)
    if scale >= 1:
        return nearest
    highest = functional.adaptive_max_pool2d(boundaries[None].float(), nearest.shape)[0]
    return torch.where(nearest < 0, nearest, highest.to(nearest.dtype))
