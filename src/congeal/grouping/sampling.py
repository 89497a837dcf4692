"""Which pixels stand for an image: some from each stretch of it, and enough of each object."""

from __future__ import annotations

import torch
from torch import Tensor

from congeal.grouping.nearest import take
from congeal.sphere import normalise

__all__ = ["GOLDEN", "draw_anchors", "gather", "spread_indices"]

GOLDEN = 0.6180339887498949  # multiples of it, less whole numbers, spread evenly and in no pattern
BETWEEN = 32  # pixels between objects that one stands for, if there are not too many
STRETCH = 512  # pixels compared with the same anchors
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


def gather(
    points: Tensor,
    near: Tensor,
    chosen: Tensor,
    share: Tensor,
    mass: Tensor | None = None,
    *,
    most: int,
) -> tuple[Tensor, Tensor]:
    """Anchors as the means of pixels around them, and how many pixels each really stands for.

    A single pixel tells its surroundings badly: what is dense would come out thin by chance, and
    two modes part that are one, or the reverse. So pixels of an even sample go to the nearest
    anchor of the same landmark each, and anchors to the mean of theirs. The share is what one
    believes before these are counted, as firmly as by one of them: with n counted where share
    predicts m, an anchor stands for (1 + n) / (1 + m) of it.

    Args:
        points: ``(D, N)`` pixels of any length.
        near: ``(N,)`` the landmark of each.
        chosen: ``(A,)`` indices of the anchors, some of every landmark.
        share: ``(A,)`` how many pixels each stands for, about.
        mass: ``(N,)`` of each pixel, above 0; one if not given.
        most: pixels of the sample.

    Returns:
        Unit vectors ``(A, D)`` and the mass of each, ``(A,)``, in order of their landmarks.

    Example:
        >>> points = torch.tensor([[1.0, 0.8, 1.0, 0.0], [0.0, 0.6, 0.0, 1.0]])
        >>> near, chosen = torch.tensor([0, 0, 0, 1]), torch.tensor([0, 3])
        >>> anchors, mass = gather(points, near, chosen, torch.tensor([3.0, 1.0]), most=4)
        >>> mass.tolist(), anchors[1].tolist()
        ([3.0, 1.0], [0.0, 1.0])
    """
    order = near[chosen].argsort(stable=True)
    chosen, share = chosen[order], share[order].to(points.dtype)
    anchors = normalise(take(points, chosen).T, dim=1)
    sample = spread_indices(points.shape[1], most, points.device)
    sample = sample[near[sample].argsort(stable=True)]
    own, weight = anchors.new_ones(len(anchors)), anchors.new_ones(len(sample))
    if mass is not None:
        own, weight = mass[chosen], mass[sample]
    directions = normalise(take(points, sample).T, dim=1)  # (n, D)
    to = _nearest_of_kind(directions, near[sample], anchors, near[chosen])
    sums = (own[:, None] * anchors).index_add_(0, to, weight[:, None] * directions)
    counted = torch.zeros_like(own).index_add_(0, to, weight)
    expected = share * own * (len(sample) / points.shape[1])
    return normalise(sums, dim=1), share * own * (1 + counted) / (1 + expected)


def _nearest_of_kind(points: Tensor, kind: Tensor, anchors: Tensor, theirs: Tensor) -> Tensor:
    """``(n,)`` the nearest anchor ``(A, D)`` of the same kind to each of ``(n, D)``.

    Both are in order of their kinds, so that a stretch of points needs a stretch of anchors only.
    """
    start = torch.arange(0, len(kind), STRETCH, device=kind.device)
    end = (start + STRETCH).clamp_max(len(kind))
    first = torch.searchsorted(theirs, kind[start])
    last = torch.searchsorted(theirs, kind[end - 1], right=True)
    parts = []
    for a, b, c, d in torch.stack([start, end, first, last]).T.tolist():
        other = kind[a:b, None] != theirs[c:d]
        parts.append((points[a:b] @ anchors[c:d].T).masked_fill_(other, -2).argmax(1) + c)
    return torch.cat(parts)


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
