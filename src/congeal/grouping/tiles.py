"""Tiles of an image that hold pixels of a mask: where few do, the others are not gone through."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

__all__ = ["find_tiles"]

SIDES = (1024, 32, 16)  # of a tile in one, two and three dimensions; a power of two
WORTH = 0.25  # share of tiles up to which it is quicker to pick them than to go through all


def find_tiles(inside: Tensor, *, edge: int = 0) -> Tensor | None:
    """Where the pixels are of those tiles of an image that hold some of a mask.

    Args:
        inside: ``(*S)`` bool, the mask.
        edge: pixels around a tile that come with it.

    Returns:
        ``(n, t, ..., t)`` int64 indices into the flattened image, for n tiles with as many axes as
        S has; S.numel() beyond the image. None if none of the tiles hold some, or so many that all
        are gone through as quickly.

    Example:
        >>> inside = torch.zeros(64, 70, dtype=torch.bool)
        >>> inside[40, 68] = True
        >>> tiles = find_tiles(inside)
        >>> tiles.shape, tiles[0, 0, :7].tolist(), tiles[0, 1, 0].item()
        (torch.Size([1, 32, 32]), [2304, 2305, 2306, 2307, 2308, 2309, 4480], 2374)
    """
    side = SIDES[min(inside.ndim, len(SIDES)) - 1]
    held = _hold_some(inside, side)
    corners = held.nonzero() * side  # (n, dimensions), the first pixel of each
    if not 0 < len(corners) <= WORTH * held.numel():
        return None
    along = torch.arange(-edge, side + edge, device=inside.device)
    index, beyond = corners.new_zeros(()), torch.zeros((), dtype=torch.bool, device=inside.device)
    for axis, length in enumerate(inside.shape):
        shape = [len(corners)] + [1] * inside.ndim
        shape[axis + 1] = len(along)
        place = (corners[:, axis, None] + along).view(shape)
        index = index * length + place
        beyond = beyond | (place < 0) | (place >= length)
    return index.masked_fill(beyond, inside.numel())


def _hold_some(inside: Tensor, side: int) -> Tensor:
    """Whether each tile holds some of the mask, one axis after the other."""
    for axis, length in enumerate(inside.shape):
        filled = pad(inside, (0, 0) * (inside.ndim - 1 - axis) + (0, -length % side))
        inside = filled.unflatten(axis, (-1, side)).any(axis + 1)
    return inside
