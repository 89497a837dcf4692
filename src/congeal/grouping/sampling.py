"""Even sampling of pixels without a regular pattern."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["GOLDEN", "spread_indices"]

GOLDEN = 0.6180339887498949  # golden ratio; multiples modulo 1 are spread evenly


def spread_indices(count: int, most: int, device: torch.device | None = None) -> Tensor:
    """Indices of at most ``most`` of ``count`` items, one per interval of equal length.

    Positions within intervals follow the golden ratio, so that samples of pixels in row-major order
    are not concentrated in a few columns.

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
