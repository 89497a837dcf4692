"""Where objects touch, as a target to learn."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["touching"]


def touching(labels: Tensor, distance: int = 2) -> Tensor:
    """Pixels of objects that have another object within ``distance`` (Chebyshev).

    Args:
        labels: ``(B, H, W)`` int64; 0 and -1 are no objects.
        distance: in pixels.

    Returns:
        ``(B, H, W)`` bool.

    Example:
        >>> touching(torch.tensor([[[1, 1, 1, 1, 2, 2, 0]]])).int().tolist()
        [[[0, 0, 1, 1, 1, 1, 0]]]
    """
    value = labels[:, None].double()  # pooling takes no integers; float32 would merge large ones
    inside = value > 0
    size = 2 * distance + 1
    highest = functional.max_pool2d(value.masked_fill(~inside, -torch.inf), size, 1, distance)
    lowest = -functional.max_pool2d((-value).masked_fill(~inside, -torch.inf), size, 1, distance)
    return (inside & (highest != lowest))[:, 0]
