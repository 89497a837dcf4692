"""Groups that are no objects: mixtures along a border, and scattered pixels."""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor

__all__ = ["find_mixtures"]

BLEND = 0.8  # cosine to the plane of two modes from which a third passes for their mixture
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
    area = torch.bincount(drawn.reshape(-1), minlength=len(modes) + 1)[1:]
    drawn = drawn.int()  # half the memory to go through
    mixed = _scattered(drawn, area)
    thin = _thin(drawn, area).nonzero()[:, 0]
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


def _share(pixels: Tensor, drawn: Tensor, area: Tensor) -> Tensor:
    """``(M,)`` share of each group that the pixels ``(*S)`` bool make up."""
    kept = (drawn * pixels).reshape(-1)  # quicker than to pick
    return torch.bincount(kept, minlength=len(area) + 1)[1:] / area.clamp_min(1)


def _pairs(drawn: Tensor, step: tuple[int, ...]) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Where a pixel and the one a step away both lie in the image."""
    sides = zip(drawn.shape, step, strict=True)
    here = tuple(slice(max(0, -s), n - max(0, s)) for n, s in sides)
    sides = zip(drawn.shape, step, strict=True)
    there = tuple(slice(max(0, s), n - max(0, -s)) for n, s in sides)
    return here, there


def _neighbours(drawn: Tensor, *, faces: bool, same: bool) -> Tensor:
    """``(*S)`` how many neighbours a pixel has in its own group, or in others.

    Args:
        drawn: ``(*S)`` labels.
        faces: only those that share a face, else corners too.
        same: count those of its own group, else those of others; outside the image are none.
    """
    counts = torch.zeros(drawn.shape, dtype=torch.int8, device=drawn.device)
    for step in product((-1, 0, 1), repeat=drawn.ndim):
        if step <= (0,) * drawn.ndim or (faces and sum(map(abs, step)) > 1):
            continue  # each pair once
        here, there = _pairs(drawn, step)
        one, other = drawn[here], drawn[there]
        found = (one == other if same else one != other).view(torch.int8)
        counts[here] += found
        counts[there] += found
    return counts


def _thin(drawn: Tensor, area: Tensor) -> Tensor:
    """``(M,)`` bool: most pixels of the group have two or more neighbours of other groups."""
    foreign = _neighbours(drawn, faces=True, same=False)
    return _share(foreign < 2, drawn, area) < THIN


def _scattered(drawn: Tensor, area: Tensor) -> Tensor:
    """``(M,)`` bool: most pixels of the group have at most one neighbour of their own group."""
    own = _neighbours(drawn, faces=False, same=True)
    return _share(own > 1, drawn, area) < THIN
