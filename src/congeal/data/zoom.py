"""Images and label maps at another size, as a network is to see them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["zoom_image", "zoom_labels", "zoomed_size"]


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
