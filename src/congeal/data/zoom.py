"""Images and label maps at another size, as a network is to see them."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn import functional

__all__ = ["magnification", "zoom_boundaries", "zoom_image", "zoom_labels", "zoomed_size"]

LARGEST = 2.0  # magnification: beyond it there are but blurs to see
WORTHWHILE = 1.1  # a smaller one is not worth a second look
PIXELS = 2**25  # of an enlarged image: what the network says of it has to fit in memory


def magnification(areas: ArrayLike, wanted: float, pixels: float = 1) -> float:
    """How much to enlarge an image for its median object to have the area wanted.

    Args:
        areas: of the objects in the image, in pixels.
        wanted: pixels; 0 asks for nothing.
        pixels: of the image; enlarged it may have 2^25.

    Returns:
        1.1 to 2, or 1 where the objects are large enough, or nearly so, or there are none.

    Example:
        >>> magnification([90, 100, 800], 225), magnification([], 225), magnification([7], 0)
        (1.5, 1.0, 1.0)
    """
    areas = np.asarray(areas)
    if not wanted or not areas.size:
        return 1.0
    found = math.sqrt(wanted / max(float(np.median(areas)), 1.0))
    found = min(found, LARGEST, math.sqrt(PIXELS / pixels))
    return found if found >= WORTHWHILE else 1.0


def zoomed_size(size: tuple[int, int], zoom: float) -> tuple[int, int]:
    """Height and width of a zoomed image, at least one pixel each.

    Example:
        >>> zoomed_size((448, 3), 0.25)
        (112, 1)
    """
    height, width = (max(1, round(side * zoom)) for side in size)
    return height, width


def zoom_image(image: Tensor, zoom: float) -> Tensor:
    """Enlarge or shrink an image; what gets smaller is averaged, so that texture does not flicker.

    Args:
        image: ``(C, H, W)`` of floats.
        zoom: 0.5 halves both sides.

    Returns:
        ``(C, h, w)``; with a zoom of 1 the image itself.

    Example:
        >>> zoom_image(torch.ones(3, 8, 6), 0.5).shape
        torch.Size([3, 4, 3])
    """
    if zoom == 1:
        return image
    size = zoomed_size((image.shape[1], image.shape[2]), zoom)
    resized: Tensor = functional.interpolate(
        image[None], size=size, mode="bilinear", antialias=True, align_corners=False
    )
    return resized[0]


def zoom_labels(labels: Tensor, zoom: float) -> Tensor:
    """Enlarge or shrink a label map: each pixel has the label of the nearest one.

    Args:
        labels: ``(H, W)`` of an integer type.
        zoom: 0.5 halves both sides.

    Returns:
        ``(h, w)`` of the same type; with a zoom of 1 the map itself.

    Example:
        >>> zoom_labels(torch.tensor([[1, 1, 2, 2], [1, 1, 2, 2]]), 0.5)
        tensor([[1, 2]])
    """
    if zoom == 1:
        return labels
    height, width = labels.shape
    rows, columns = (
        ((torch.arange(new) + 0.5) * (old / new)).long()
        for new, old in zip(zoomed_size((height, width), zoom), (height, width), strict=True)
    )
    return labels[rows[:, None], columns]


def zoom_boundaries(boundaries: Tensor, zoom: float) -> Tensor:
    """Enlarge or shrink a boundary map: what gets smaller is the maximum of what it covers.

    So boundaries of one pixel stay whole. Void is what the nearest pixel says.

    Args:
        boundaries: ``(H, W)`` floats in [0, 1], -1 void.
        zoom: 0.5 halves both sides.

    Returns:
        ``(h, w)`` of the same type; with a zoom of 1 the map itself.

    Example:
        >>> zoom_boundaries(torch.tensor([[0.0, 1, 0, 0], [0, 0.5, 0, 0]]), 0.5)
        tensor([[1., 0.]])
    """
    nearest = zoom_labels(boundaries, zoom)
    if zoom >= 1:
        return nearest
    highest = functional.adaptive_max_pool2d(boundaries[None].float(), nearest.shape)[0]
    return torch.where(nearest < 0, nearest, highest.to(nearest.dtype))
