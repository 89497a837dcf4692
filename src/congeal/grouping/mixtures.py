"""Groups that are no objects: mixtures along a border, and scattered pixels."""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor

from congeal.grouping.tiles import find_tiles

__all__ = ["find_mixtures"]

BLEND = 0.8  # cosine to the plane of two modes from which a third passes for their mixture
OUTSIDE = -1  # the image
THIN = 0.5  # share of solid pixels below which a group is a line, of joined ones, is scattered


def find_mixtures(modes: Tensor, drawn: Tensor) -> Tensor:
    """Tell which groups are scattered, or lines whose mode lies between those of larger groups.

    Args:
        modes: ``(M, D)`` unit vectors.
        drawn: ``(*S)`` int64, 1..M where the pixels of each mode are, 0 elsewhere.

    Returns:
        ``(M,)`` bool.

    Example:
        >>> drawn = torch.tensor([[1, 1, 1, 3, 2, 2, 2]]).expand(6, 7)
        >>> find_mixtures(torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.7, 0.7]]), drawn).tolist()
        [False, False, True]
    """
    windows = _look_at(drawn.int())  # half the memory to go through
    area = windows.areas(windows.drawn, len(modes))
    mixed = _scattered(windows, area)
    thin = _thin(windows, area).nonzero()[:, 0]
    mixed[thin] |= _blends(modes, area, thin)
    return mixed


def _blends(modes: Tensor, area: Tensor, asked: Tensor) -> Tensor:
    """``(A,)`` bool: the mode lies between two modes of larger groups, for those asked of.

    c lies between a and b when its projection on their plane is nearly all of it and has a part
    of both: with A the cosines to a, B to b and G that of a to b, the coordinates on the plane
    are (A - G B, B - G A) / (1 - G^2), and the square of the projection is their product with
    (A, B).
    """
    order = area.argsort(descending=True)[:64]  # the larger ones make the borders
    large = modes[order]
    gram = large @ large.T  # (L, L)
    cosine = modes[asked] @ large.T  # (A, L)
    first, second = cosine[:, :, None], cosine[:, None, :]  # (A, L, 1), (A, 1, L)
    bulk = area[order] > area[asked, None]  # (A, L)
    spare = (1 - gram.square()).clamp_min(1e-6)
    alpha = (first - gram * second) / spare
    beta = (second - gram * first) / spare
    square = alpha * first + beta * second
    between = (alpha > 0.2) & (beta > 0.2) & (square > BLEND**2)
    between &= bulk[:, :, None] & bulk[:, None, :]
    return between.flatten(1).any(1)


class _Windows(NamedTuple):
    """An image, or tiles of it and what is around each."""

    drawn: Tensor  # (n, *S) labels, OUTSIDE beyond the image
    edge: int  # pixels around a tile

    def areas(self, labels: Tensor, groups: int) -> Tensor:
        """``(M,)`` how many of ``(n, *S)`` there are of 1..M, but for the edges."""
        inner = slice(self.edge, -self.edge or None)
        values = labels[(slice(None), *[inner] * (labels.ndim - 1))].reshape(-1)
        if self.edge:
            values = values.clamp_min(0)
        return torch.bincount(values, minlength=groups + 1)[1:]


def _look_at(drawn: Tensor) -> _Windows:
    """The image ``(*S)``, or, if groups have few of its pixels, the tiles that hold them."""
    tiles = find_tiles(drawn > 0, edge=1)
    if tiles is None:
        return _Windows(drawn[None], 0)
    return _Windows(torch.cat([drawn.flatten(), drawn.new_tensor([OUTSIDE])])[tiles], 1)


def _share(pixels: Tensor, windows: _Windows, area: Tensor) -> Tensor:
    """``(M,)`` share of each group that the pixels ``(n, *S)`` bool make up."""
    kept = windows.drawn * pixels  # quicker than to pick
    return windows.areas(kept, len(area)) / area.clamp_min(1)


def _pairs(drawn: Tensor, step: tuple[int, ...]) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Where a pixel and the one a step away both lie in the image."""
    sides = zip(drawn.shape, step, strict=True)
    here = tuple(slice(max(0, -s), n - max(0, s)) for n, s in sides)
    sides = zip(drawn.shape, step, strict=True)
    there = tuple(slice(max(0, s), n - max(0, -s)) for n, s in sides)
    return here, there


def _neighbours(windows: _Windows, *, faces: bool, same: bool) -> Tensor:
    """``(n, *S)`` how many neighbours a pixel has in its own group, or in others.

    Args:
        windows: where to look.
        faces: only those that share a face, else corners too.
        same: count those of its own group, else those of others; outside the image are none.
    """
    drawn = windows.drawn
    counts = torch.zeros(drawn.shape, dtype=torch.int8, device=drawn.device)
    for step in product([0], *[(-1, 0, 1)] * (drawn.ndim - 1)):
        if step <= (0,) * drawn.ndim or (faces and sum(map(abs, step)) > 1):
            continue  # each pair once
        here, there = _pairs(drawn, step)
        one, other = drawn[here], drawn[there]
        found = one == other if same else one != other
        if windows.edge and not same:
            found &= (one != OUTSIDE) & (other != OUTSIDE)
        counts[here] += found.view(torch.int8)
        counts[there] += found.view(torch.int8)
    return counts


def _thin(windows: _Windows, area: Tensor) -> Tensor:
    """``(M,)`` bool: most pixels of the group have two or more neighbours of other groups."""
    foreign = _neighbours(windows, faces=True, same=False)
    return _share(foreign < 2, windows, area) < THIN


def _scattered(windows: _Windows, area: Tensor) -> Tensor:
    """``(M,)`` bool: most pixels of the group have at most one neighbour of their own group."""
    own = _neighbours(windows, faces=False, same=True)
    return _share(own > 1, windows, area) < THIN
