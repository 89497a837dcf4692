"""Which pixels stand for an image: some from each stretch of it, and enough of each object."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["draw_anchors", "spread_indices"]

GOLDEN = 0.6180339887498949
BETWEEN = 32  # pixels between objects that one stands for, if there are not too many
ENOUGH = 16  # anchors close to a landmark, or its even part of all


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


def draw_anchors(
    near: Tensor, similarity: Tensor, chosen: Tensor, *, least: int, edge: float
) -> tuple[Tensor, Tensor]:
    """Anchors of which every landmark has a fair number, however few pixels are around it.

    Those of a small object are taken from the half of its pixels most similar to the landmark:
    most of the others lie on its border, and would take it along to what lies beyond. Pixels that
    are far from their landmark, as on a border, count by themselves and are sampled more finely:
    one anchor that stood for hundreds of them would outweigh a small object, and draw it away.

    Args:
        near: ``(N,)`` the landmark of each pixel.
        similarity: ``(N,)`` the cosine to it.
        chosen: ``(A,)`` indices of anchors spread evenly.
        least: landmarks with fewer of these get as many, or half of their pixels.
        edge: cosine to the landmark below which a pixel is far.

    Returns:
        Indices of pixels, ``(B,)``, and how many pixels each stands for.

    Example:
        >>> near, similarity = torch.tensor([0] * 6 + [1] * 2), torch.ones(8)
        >>> anchors, share = draw_anchors(near, similarity, torch.tensor([0, 3]), least=1, edge=0.5)
        >>> anchors.tolist(), share.tolist()
        ([0, 3, 6], [3.0, 3.0, 2.0])
    """
    far = (similarity < edge).nonzero()[:, 0]
    crowd = max(BETWEEN, len(far) // len(chosen))
    count = int(near.max()) + 1
    many = torch.bincount(near[far], minlength=count) >= crowd
    far = far[many[near[far]]]
    of = near.index_add(0, far, torch.full_like(far, count))  # 0..L-1 close to one, L..2L-1 far
    pixels, has = (torch.bincount(kind, minlength=2 * count) for kind in (of, of[chosen]))
    among, wanted, enough = pixels.clone(), pixels // crowd, has.clone()
    among[:count] = (pixels[:count] + 1) // 2
    wanted[:count] = among[:count].clamp_max(least)
    enough[:count].clamp_max_(max(least, ENOUGH, len(chosen) // count))
    poor = has < wanted
    kept = chosen[~poor[of[chosen]]]
    kept = kept[of[kept].argsort(stable=True)]
    kept = kept[_evenly(of[kept], has, enough)]
    pool = _most_similar_first(poor.index_select(0, of).nonzero()[:, 0], of, similarity)
    anchors = torch.cat([kept, pool[_evenly(of[pool], among, wanted)]])
    share = pixels / torch.bincount(of[anchors], minlength=len(pixels)).clamp_min(1)
    return anchors, share[of[anchors]]


def _most_similar_first(pixels: Tensor, of: Tensor, similarity: Tensor) -> Tensor:
    """Pixels ``(n,)`` by what they are of; one sort of whole numbers is quicker than two."""
    distance = ((1 - similarity[pixels]) * 2**30).long()
    return pixels[(of[pixels] * 2**32 + distance).argsort(stable=True)]


def _evenly(of: Tensor, among: Tensor, wanted: Tensor) -> Tensor:
    """``(n,)`` bool: as many of each kind as wanted, spread over the first of them.

    Args:
        of: ``(n,)`` the kind of each, in ascending order.
        among: ``(K,)`` over how many of each kind to spread.
        wanted: ``(K,)`` how many of each kind to take.
    """
    held = torch.bincount(of, minlength=len(among))
    rank = torch.arange(len(of), device=of.device) - (held.cumsum(0) - held)[of]
    first, many = among[of], wanted[of]
    return ((rank + 1) * many // first > rank * many // first) & (rank < first)
