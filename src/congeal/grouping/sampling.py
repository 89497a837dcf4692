"""An even choice of pixels, in no pattern."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["GOLDEN", "spread_indices"]

GOLDEN = 0.6180339887498949  # multiples of it, less whole numbers, spread evenly and in no pattern


def spread_indices(count: int, most: int, device: torch.device | None = None) -> Tensor:
    """Indices of at most ``most`` of ``count`` things in a row, one from each equal stretch.

    The place within a stretch follows the golden ratio, so that a row-by-row order of pixels is
    not cut along a few columns only.

    Example:
        >>> spread_indices(10, 4).tolist()
        [0, 3, 5, 9]
    """
    if count <= most:
        return torch.arange(count, device=device)
    order = torch.arange(most + 1, device=device)
    start = order * count // most  # of each stretch, and the end of the last
    share = (order[:-1].double() * GOLDEN) % 1
    return start[:-1] + (share * start.diff()).long()
