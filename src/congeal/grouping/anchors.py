"""Mean shift over many pixels: a few of them shift, all of them go to the modes found.

Anchors spread over the image converge to modes; every pixel is compared with the modes; where
none is close, more anchors are taken, so that small objects between the first ones are found
too. The cost is that of one product of all pixels with the modes.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from congeal.grouping.groups import Groups, check_embedding
from congeal.grouping.modes import Shifting, converge, find_modes, merge_cosine
from congeal.sphere import normalise

__all__ = ["AnchorSearch", "spread_indices"]

GOLDEN = 0.6180339887498949
CHUNK = 4096  # pixels compared with the modes at once; they stay in the cache
ROUNDS = 8  # of looking where no mode is close
PATIENT = 5  # times as many steps where all pixels shift, which then tell their mode themselves
FEW = 0.03  # share of pixels far from every mode up to which the nearest one serves them
BLEND = 0.8  # cosine to the plane of two modes from which a third passes for their mixture
THIN = 0.5  # share of solid pixels below which a group is a line, of joined ones, is scattered


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


@dataclass(frozen=True)
class AnchorSearch:
    """Groups the pixels of an image by the modes that anchors find.

    Args:
        shift: gives the mean-shift step.
        margin: alpha of the loss, in [0, 1).
        anchors: pixels that shift at once; images with no more pixels are shifted whole.
        smallest: pixels under which a group goes to its neighbours in the embedding.
        steps: most steps to convergence.

    Example:
        >>> from congeal.grouping import MeanShift
        >>> embedding = torch.zeros(2, 4, 8)
        >>> embedding[0, :, :6], embedding[1, :, 6:] = 1, 1
        >>> AnchorSearch(MeanShift(), smallest=4).group(embedding).labels[0].tolist()
        [1, 1, 1, 1, 1, 1, 2, 2]
    """

    shift: Shifting
    margin: float = 0.5
    anchors: int = 1024
    smallest: float = 8.0
    steps: int = 8

    @torch.no_grad()
    def group(
        self, embedding: Tensor, mask: Tensor | None = None, weights: Tensor | None = None
    ) -> Groups:
        """Group the pixels of one image; see :class:`congeal.grouping.Grouping`."""
        check_embedding(embedding, mask, weights)
        size = embedding.shape[1:]
        points = embedding.flatten(1)  # (D, N)
        points = points if points.dtype == torch.float64 else points.float()
        inside = None
        if mask is not None and not bool(mask.all()):
            inside = mask.flatten().nonzero()[:, 0]
            points = points[:, inside]
        mass = None if weights is None else weights.flatten().to(points.dtype)
        if mass is not None and inside is not None:
            mass = mass[inside]
        if points.shape[1] == 0:
            return _no_groups(embedding)
        modes, label, similarity, crowd = self._search(points, mass)
        drawn = _draw(label, inside, size)
        modes = self._prune(points, modes, label, similarity, drawn)
        if points.shape[1] > self.anchors:
            self._follow(points, modes, label, similarity, crowd)
        return _as_groups(modes, _draw(label, inside, size), similarity, inside)

    def _search(
        self, points: Tensor, mass: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor, tuple[Tensor, Tensor]]:
        """Modes ``(M, D)``; of each point its mode and the cosine to it, ``(N,)``; the anchors."""
        count = points.shape[1]
        crowd = self._take(points, spread_indices(count, self.anchors, points.device), count, mass)
        whole = count <= self.anchors
        modes, settled = self._find(crowd, points.new_empty(0, len(points)), whole)
        label, similarity = nearest_modes(points, modes)
        if whole:
            return modes, nearest_modes(settled.T, modes)[0], similarity, crowd
        for _ in range(ROUNDS):
            lost = (similarity < merge_cosine(self.margin)).nonzero()[:, 0]
            if len(lost) < self.smallest:
                break
            chosen = lost[spread_indices(len(lost), self.anchors // 2, points.device)]
            newcomers = self._take(points, chosen, len(lost), mass)
            more, _ = self._find(newcomers, modes, whole)
            if not len(more):
                break
            at, near = nearest_modes(points[:, lost], more)
            better = near > similarity[lost]
            label[lost[better]] = at[better] + len(modes)
            similarity[lost[better]] = near[better]
            modes = torch.cat([modes, more])
            crowd = (torch.cat([crowd[0], newcomers[0]]), torch.cat([crowd[1], newcomers[1]]))
        return modes, label, similarity, crowd

    def _take(
        self, points: Tensor, chosen: Tensor, stand_for: int, mass: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Anchors ``(A, D)`` and their mass ``(A,)``, each for an equal share of the pixels."""
        anchors = normalise(points[:, chosen].T, dim=1)
        weight = anchors.new_full((len(chosen),), stand_for / len(chosen))
        return anchors, weight if mass is None else weight * mass[chosen].clamp_min(1e-6)

    def _find(
        self, crowd: tuple[Tensor, Tensor], known: Tensor, whole: bool
    ) -> tuple[Tensor, Tensor]:
        """Modes of the anchors that are not close to a known one, and where anchors settle."""
        anchors, weight = crowd
        steps, rest = (PATIENT * self.steps, 1e-4) if whole else (self.steps, 1e-3)
        settled = converge(anchors, self.shift, weights=weight, steps=steps, tolerance=rest)
        smallest = min(self.smallest, float(weight.sum())) if whole else 0.0
        modes = find_modes(settled, margin=self.margin, weights=weight, smallest=smallest)
        if whole and not len(modes):
            modes = find_modes(settled, margin=self.margin, weights=weight)[:1]
        if len(known):
            modes = modes[(modes @ known.T).amax(1) < merge_cosine(self.margin)]
        return modes, settled

    def _follow(
        self,
        points: Tensor,
        modes: Tensor,
        label: Tensor,
        similarity: Tensor,
        crowd: tuple[Tensor, Tensor],
    ) -> None:
        """Let pixels far from every mode, if many, shift along with the anchors, in place."""
        far = (similarity < merge_cosine(self.margin)).nonzero()[:, 0]
        if len(far) < FEW * points.shape[1]:
            return
        anchors, weight = crowd
        moving = normalise(points[:, far].T, dim=1)
        for _ in range(self.steps):
            moving = self.shift.pull(moving, anchors, weight)
            anchors = self.shift.step(anchors[None], weight[None])[0]
        label[far] = nearest_modes(moving.T, modes)[0]

    def _prune(
        self, points: Tensor, modes: Tensor, label: Tensor, similarity: Tensor, drawn: Tensor
    ) -> Tensor:
        """Give up modes that are too small, scattered, or lines of mixture between two others.

        Their pixels go to the nearest mode that is left, in place. Returns the modes left.
        """
        area = torch.bincount(drawn.reshape(-1), minlength=len(modes) + 1)[1:]
        small = area < min(self.smallest, float(area.max()))
        noise = _scattered(drawn, area) | (_blends(modes, area) & _thin(drawn, area))
        keep = ~small & ~noise
        if bool(keep.all()) or not bool(keep.any()):
            return modes
        homeless = (~keep)[label].nonzero()[:, 0]
        rename = keep.long().cumsum(0) - 1
        label.copy_(rename[label])
        at, near = nearest_modes(points[:, homeless], modes[keep])
        label[homeless], similarity[homeless] = at, near
        return modes[keep]


def nearest_modes(points: Tensor, modes: Tensor) -> tuple[Tensor, Tensor]:
    """Index of the nearest mode of each point, and the cosine to it.

    Args:
        points: ``(D, N)`` of any length.
        modes: ``(M, D)`` unit vectors, at least one.

    Returns:
        ``(N,)`` int64 and ``(N,)``.
    """
    count = points.shape[1]
    index = torch.empty(count, dtype=torch.int64, device=points.device)
    cosine = points.new_empty(count)
    step = CHUNK if points.device.type == "cpu" else 64 * CHUNK
    for first in range(0, count, step):
        part = points[:, first : first + step]  # (D, n)
        best, at = (part.T @ modes.T).max(1)
        index[first : first + step] = at
        length = part.square().sum(0).sqrt_()
        cosine[first : first + step] = best / length.clamp_min_(1e-12)
    return index, cosine


def _draw(label: Tensor, inside: Tensor | None, size: torch.Size) -> Tensor:
    """``(*S)`` 1..M from 0..M-1 of the points inside, 0 elsewhere."""
    if inside is None:
        return (label + 1).view(size)
    drawn = label.new_zeros(size)
    drawn.view(-1)[inside] = label + 1
    return drawn


def _blends(modes: Tensor, area: Tensor) -> Tensor:
    """``(M,)`` bool: the mode lies between two modes of larger groups.

    c lies between a and b when its projection on their plane is nearly all of it and has a part
    of both: with A the cosines to a, B to b and G that of a to b, the coordinates on the plane
    are (A - G B, B - G A) / (1 - G^2), and the square of the projection is their product with
    (A, B).
    """
    count = len(modes)
    order = area.argsort(descending=True)[:64]  # the larger ones make the borders
    large = modes[order]
    gram = large @ large.T  # (L, L)
    cosine = modes @ large.T  # (M, L)
    first, second = cosine[:, :, None], cosine[:, None, :]  # (M, L, 1), (M, 1, L)
    bulk = area[order] > area[:, None]  # (M, L)
    spare = (1 - gram.square()).clamp_min(1e-6)
    alpha = (first - gram * second) / spare
    beta = (second - gram * first) / spare
    square = alpha * first + beta * second
    between = (alpha > 0.2) & (beta > 0.2) & (square > BLEND**2)
    between &= bulk[:, :, None] & bulk[:, None, :]
    return between.view(count, -1).any(1)


def _share(pixels: Tensor, drawn: Tensor, area: Tensor) -> Tensor:
    """``(M,)`` share of each group that the pixels ``(*S)`` bool make up."""
    return torch.bincount(drawn[pixels], minlength=len(area) + 1)[1:] / area.clamp_min(1)


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
        found = (drawn[here] == drawn[there]) == same
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


def _as_groups(modes: Tensor, drawn: Tensor, similarity: Tensor, inside: Tensor | None) -> Groups:
    """Number groups by size; the score is the mean cosine of the pixels to their mode."""
    flat = drawn.reshape(-1) if inside is None else drawn.reshape(-1)[inside]
    area = torch.bincount(flat, minlength=len(modes) + 1)[1:]
    order = area.argsort(descending=True, stable=True)[: int((area > 0).sum())]
    rename = torch.zeros(len(modes) + 1, dtype=torch.int64, device=drawn.device)
    rename[order + 1] = torch.arange(1, len(order) + 1, device=drawn.device)
    total = torch.bincount(flat, weights=similarity, minlength=len(modes) + 1)[1:]
    score = (total[order] / area[order]).clamp(0, 1).to(modes.dtype)
    return Groups(rename[drawn][None], modes[order], score)


def _no_groups(embedding: Tensor) -> Groups:
    layer = torch.zeros(1, *embedding.shape[1:], dtype=torch.int64, device=embedding.device)
    return Groups(layer, embedding.new_zeros(0, len(embedding)), embedding.new_zeros(0))
