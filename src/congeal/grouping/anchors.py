"""Mean shift over many pixels: a few points shift, the pixels go where those lead.

Where most pixels are like the next one, as in a trained embedding, blocks of pixels shift, each as
one point with their mass. Otherwise pixels are picked: anchors spread over the image flow to rest;
every pixel is compared with the places where they rest; where none is close, more anchors are
taken, so that small objects between the first ones are found too. Then anchors flow again, a fair
number from around each of these places, and their modes are the groups. A pixel clearly closer to
one group belongs to it; one in doubt follows the anchors, step by step. The cost is that of one
product of all pixels with the places of rest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from congeal.grouping.basins import UNITED, Flow, let_flow
from congeal.grouping.groups import Groups
from congeal.grouping.masked import Pixels, read_pixels
from congeal.grouping.mixtures import find_mixtures
from congeal.grouping.modes import Shifting, assign_to_modes, find_modes, merge_cosine, widest
from congeal.grouping.nearest import (
    angles,
    nearest_in_runs,
    nearest_modes,
    nearest_two,
    take,
)
from congeal.grouping.patches import Patches, find_patches
from congeal.grouping.sampling import draw_anchors, gather, spread_indices
from congeal.sphere import normalise

__all__ = ["AnchorSearch"]

ROUNDS = 8  # of looking where no mode is close
LOOK = 6  # steps in which most anchors come to a mode
SMALL = 128  # pixels of an object that one or two anchors may have found
CENTRE = 3  # steps of its landmark among its own pixels
GATHER = 8  # pixels for each of the anchors that tell how many all of these stand for
FAR = 3  # widths of the kernel from a landmark to what lies between objects
SAMPLE = 256  # pixels that are compared with the next one
SMOOTH = 1.0  # widths of the kernel from most pixels to the next one, at most
UNLIKE = 0.5  # of the width from pixels to the mean of their block, which may not speak for them
EVEN = 256  # dimensions in which patches may be as many as anchors; twice as many in a quarter
MOST = 4.0  # patches for each anchor, in few dimensions


@dataclass(frozen=True)
class AnchorSearch:
    """Groups the pixels of an image by the modes that anchors, or patches of it, find.

    Args:
        shift: gives the mean-shift step.
        margin: alpha of the loss, in [0, 1).
        anchors: pixels that shift at first, about as many again where objects are small; images
            with no more pixels are shifted whole. Up to four times as many blocks of pixels shift
            instead where neighbours are alike: twice as many in 64 dimensions. With more anchors
            results come closer to those of exact mean shift.
        smallest: pixels under which a group goes to its neighbours in the embedding.
        steps: most steps; points that are then not at rest stay where they are.

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
    steps: int = 20

    @torch.no_grad()
    def group(
        self, embedding: Tensor, mask: Tensor | None = None, weights: Tensor | None = None
    ) -> Groups:
        """Group the pixels of one image; see :class:`congeal.grouping.Grouping`."""
        pixels = read_pixels(embedding, mask, weights)
        if len(pixels) == 0:
            return _no_groups(embedding)
        modes, label, similarity = self._by_patches(pixels) or self._search(pixels)
        modes = self._prune(pixels, modes, label, similarity)
        return _as_groups(modes, _draw(label, pixels), similarity, pixels)

    def _by_patches(self, pixels: Pixels) -> tuple[Tensor, Tensor, Tensor] | None:
        """The same as :meth:`_search`, by blocks of pixels, where these are alike enough.

        Where they are less so, pixels nearer to another mode than to that of their block flow
        by themselves.
        """
        patches = self._cut(pixels)
        if patches is None:
            return None
        flow = self._let_flow(patches.directions, patches.mass)
        modes = self._heavy(flow.rest, flow.mass)
        home = assign_to_modes(flow.rest, modes)  # of each place of rest
        goes = home[flow.where]  # each patch
        cosine = (patches.directions * modes[goes]).sum(1) * patches.length  # mean of its pixels
        of = pixels.pick(patches.of)
        label = goes.index_select(0, of)
        unlike = patches.length < math.cos(UNLIKE * self.width)
        asked = unlike.index_select(0, of).nonzero()[:, 0]
        nearest, _ = nearest_modes(pixels.some(asked), modes)
        alone = asked[nearest != label[asked]]
        to = flow.follow(normalise(pixels.some(alone).T, dim=1))
        label[alone] = home[to]
        return modes, label, cosine.index_select(0, of)

    def _cut(self, pixels: Pixels) -> Patches | None:
        """Blocks of pixels that take hardly longer to shift than anchors do, if there are such."""
        if len(pixels) <= self.anchors or not self._smooth(pixels):
            return None
        mass = torch.ones_like(pixels.length) if pixels.mass is None else pixels.mass
        dimensions, *size = pixels.image.shape
        times = min(MOST, max(1.0, math.sqrt(EVEN / dimensions)))
        return find_patches(
            pixels.image,
            pixels.lay_out(pixels.length, outside=1.0),
            pixels.lay_out(mass, outside=0.0),
            most=int(self.anchors * times),
            foreign=self.smallest / 2 ** len(size) * 2 * (1 - self.margin),
        )

    def _smooth(self, pixels: Pixels) -> bool:
        """Whether most pixels are nearer to the next one than the kernel is wide."""
        first = spread_indices(len(pixels) - 1, SAMPLE, pixels.length.device)
        one, other = pixels.some(first), pixels.some(first + 1)
        cosine = (one * other).sum(0) / (pixels.length[first] * pixels.length[first + 1])
        return float(cosine.median()) > math.cos(SMOOTH * self.width)

    def _search(self, pixels: Pixels) -> tuple[Tensor, Tensor, Tensor]:
        """Modes ``(M, D)``; the mode of each pixel, and the cosine to where one rests, ``(N,)``."""
        points, mass = pixels.points, pixels.mass
        chosen = spread_indices(len(pixels), self.anchors, points.device)
        whole = len(chosen) == len(pixels)
        flow = self._let_flow(*_as_they_are(points, chosen, mass), look=not whole)
        places = self._places(flow)
        landmarks, near, similarity = self._look_around(points, pixels.length, places, mass)
        if whole:
            modes = self._find(flow)
            home = assign_to_modes(flow.rest, modes)
            return modes, home[flow.follow(normalise(points.T, dim=1))], similarity
        least = max(4, min(32, self.anchors // len(landmarks)))
        edge = math.cos(min(FAR * self.width, math.pi))
        chosen, share = draw_anchors(near, similarity, chosen, least=least, edge=edge)
        start = gather(points, near, chosen, share, mass, most=GATHER * self.anchors)
        flow = self._let_flow(*start)
        modes = self._find(flow)
        label = self._assign(points, flow, modes, landmarks, near, similarity)
        return modes, label, similarity

    def _look_around(
        self, points: Tensor, length: Tensor, landmarks: Tensor, mass: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Find landmarks near all pixels: where pixels are far from all, let some of them flow.

        Returns:
            The landmarks ``(L, D)``, the nearest to each pixel and the cosine to it, ``(N,)``.
        """
        near, similarity = nearest_in_runs(points, landmarks, length)
        if points.shape[1] <= self.anchors:  # all pixels flowed, none can have been missed
            return landmarks, near, similarity
        found = merge_cosine(self.margin)
        for _ in range(ROUNDS):
            lost = (similarity < found).nonzero()[:, 0]
            if len(lost) < self.smallest:
                break
            chosen = lost[spread_indices(len(lost), self.anchors // 2, lost.device)]
            flow = self._let_flow(*_as_they_are(points, chosen, mass), look=True)
            more = self._places(flow)
            more = more[(more @ landmarks.T).amax(1) < found]
            if not len(more):
                break
            # by the triangle inequality, the others are further from these than from their own
            asked = (similarity < math.cos(math.acos(found) / 2)).nonzero()[:, 0]
            at, cosine = nearest_modes(take(points, asked), more)
            better = cosine > similarity[asked]
            near[asked[better]] = at[better] + len(landmarks)
            similarity[asked[better]] = cosine[better]
            landmarks = torch.cat([landmarks, more])
        return self._centre(points, landmarks, near, similarity), near, similarity

    def _centre(
        self, points: Tensor, landmarks: Tensor, near: Tensor, similarity: Tensor
    ) -> Tensor:
        """Landmarks, those of small objects moved to where most of their pixels are.

        One or two anchors that found a small object may have come from its border, and rest there.
        So the mean of its pixels shifts among them all. Their ``similarity`` is written anew.
        """
        held = torch.bincount(near, minlength=len(landmarks))
        small = (held <= SMALL) & (held > 0)
        pixels = small.index_select(0, near).nonzero()[:, 0]
        of, directions = near[pixels], normalise(take(points, pixels).T, dim=1)  # (n, D)
        weight = similarity.new_ones(len(of))
        for _ in range(CENTRE):
            sums = torch.zeros_like(landmarks).index_add_(0, of, weight[:, None] * directions)
            centres = normalise(sums, dim=1)
            similarity[pixels] = (directions * centres[of]).sum(1)
            weight = ((similarity[pixels] - 1) / self.width**2).exp()
        return torch.where(small[:, None], centres, landmarks)

    def _let_flow(self, start: Tensor, mass: Tensor, *, look: bool = False) -> Flow:
        """Let ``(A, D)`` unit vectors of mass ``(A,)`` flow.

        To ``look`` where modes are, as many steps will do as bring most anchors to one.
        """
        return let_flow(
            start,
            self.shift,
            mass,
            width=UNITED * self.width,
            steps=min(LOOK, self.steps) if look else self.steps,
        )

    def _places(self, flow: Flow) -> Tensor:
        """``(P, D)`` where anchors rest, but for strays."""
        return flow.rest[~self._strays(flow)]

    def _strays(self, flow: Flow) -> Tensor:
        """``(S,)`` bool: a single anchor rests there, as on a border, not far from others."""
        lone = flow.count < 2
        if bool(lone.all()):
            return ~lone
        return lone & ((flow.rest @ flow.rest[~lone].T).amax(1) > merge_cosine(self.margin))

    @property
    def width(self) -> float:
        """One standard deviation of the kernel, or of that of the margin if wider, in radians."""
        return widest(self.margin, float(self.shift.concentration))

    def _find(self, flow: Flow) -> Tensor:
        """Modes ``(M, D)`` of those with enough mass, or the heaviest.

        Strays are none: one stands for many pixels, and would take in a small object beside it.
        """
        kept = ~self._strays(flow)
        return self._heavy(flow.rest[kept], flow.mass[kept])

    def _heavy(self, rest: Tensor, weights: Tensor) -> Tensor:
        """Modes ``(M, D)`` of places of rest ``(S, D)`` of so much mass, those with enough."""
        modes = find_modes(rest, margin=self.margin, width=self.width, weights=weights)
        mass = torch.bincount(assign_to_modes(rest, modes), weights, len(modes))
        return modes[mass >= min(self.smallest, float(mass.max()))]

    def _assign(
        self,
        points: Tensor,
        flow: Flow,
        modes: Tensor,
        landmarks: Tensor,
        near: Tensor,
        similarity: Tensor,
    ) -> Tensor:
        """``(N,)`` the mode of each pixel.

        Told by its landmark, by the nearest anchor at rest, or by where it flows, whichever of
        these is the first to be safe. Strays tell nothing.
        """
        stray = self._strays(flow)
        home = assign_to_modes(flow.rest, modes)  # of each place of rest
        rest, belongs = flow.rest[~stray], home[~stray]
        doubt = self._doubt(flow, home, stray, len(modes))
        group = belongs[assign_to_modes(landmarks, rest)]
        label = group.index_select(0, near)
        limit = self._safe(rest, belongs, landmarks, group, doubt)
        safe = similarity >= limit.index_select(0, near)
        far = (~safe).nonzero()[:, 0]
        label[far], gap = self._nearest(take(points, far), rest, belongs)
        unsafe = far[gap < doubt[label[far]]]
        to = flow.follow(normalise(take(points, unsafe).T, dim=1))
        label[unsafe] = torch.where(stray[to], label[unsafe], home[to])
        return label

    def _doubt(self, flow: Flow, home: Tensor, stray: Tensor, count: int) -> Tensor:
        """``(M,)`` radians by which another group must be further than the own one to be safe.

        The anchors tell, whose ways are known: more than for any that flowed to another group than
        that of the nearest place of rest; and at least a width of the kernel.
        """
        nearest, gap = self._nearest(flow.start.T, flow.rest[~stray], home[~stray])
        wrong = (nearest != home[flow.where]) & ~stray[flow.where] & (gap > self.width)
        doubt = gap.new_full((count,), self.width)
        return doubt.scatter_reduce(0, nearest[wrong], gap[wrong], "amax")

    def _safe(
        self, rest: Tensor, home: Tensor, landmarks: Tensor, group: Tensor, doubt: Tensor
    ) -> Tensor:
        """``(L,)`` cosine to each landmark from which on a pixel is safe.

        By the triangle inequality, a pixel is safe within half the angle from its landmark to the
        next place of rest of another group, less half of what is in doubt.
        """
        apart = angles((landmarks @ rest.T).masked_fill(group[:, None] == home, -1.0)).amin(1)
        limit = ((apart - doubt[group]) / 2).clamp_min(0).cos()
        return limit.clamp_min(merge_cosine(self.margin))

    def _nearest(self, points: Tensor, rest: Tensor, home: Tensor) -> tuple[Tensor, Tensor]:
        """The group of the nearest place of rest, ``(n,)``, and how much further others are.

        In radians; 0 for pixels that are far from all.
        """
        at, cosine, other = nearest_two(points, rest, home)
        lost = cosine < merge_cosine(self.margin)
        return home[at], (angles(other) - angles(cosine)).masked_fill(lost, 0.0)

    def _prune(self, pixels: Pixels, modes: Tensor, label: Tensor, similarity: Tensor) -> Tensor:
        """Give up modes that are too small, scattered, or lines of mixture between two others.

        Their pixels go to the nearest mode that is left, in place. Returns the modes left.
        """
        drawn = _draw(label, pixels)
        area = torch.bincount(label, minlength=len(modes))
        small = area < min(self.smallest, float(area.max()))
        keep = ~small & ~find_mixtures(modes, drawn)
        if bool(keep.all()) or not bool(keep.any()):
            return modes
        homeless = (~keep).index_select(0, label).nonzero()[:, 0]
        rename = keep.long().cumsum(0) - 1
        label.copy_(rename.index_select(0, label))
        at, near = nearest_modes(pixels.some(homeless), modes[keep])
        label[homeless], similarity[homeless] = at, near
        return modes[keep]


def _as_they_are(points: Tensor, chosen: Tensor, mass: Tensor | None) -> tuple[Tensor, Tensor]:
    """Unit vectors ``(A, D)`` of the chosen pixels and their mass ``(A,)``."""
    start = normalise(take(points, chosen).T, dim=1)
    return start, start.new_ones(len(start)) if mass is None else mass[chosen]


def _draw(label: Tensor, pixels: Pixels) -> Tensor:
    """``(*S)`` 1..M from 0..M-1 of the pixels, 0 elsewhere."""
    return pixels.lay_out(label + 1, outside=0)


def _as_groups(modes: Tensor, drawn: Tensor, similarity: Tensor, pixels: Pixels) -> Groups:
    """Number groups by size; the score is the mean cosine of the pixels to their mode.

    Of two of one size that with the higher score is first: the order of modes may be chance.
    """
    flat = pixels.pick(drawn)
    area = torch.bincount(flat, minlength=len(modes) + 1)[1:]
    total = torch.bincount(flat, weights=similarity, minlength=len(modes) + 1)[1:]
    order = total.argsort(descending=True)
    order = order[area[order].argsort(descending=True, stable=True)][: int((area > 0).sum())]
    rename = torch.zeros(len(modes) + 1, dtype=torch.int64, device=drawn.device)
    rename[order + 1] = torch.arange(1, len(order) + 1, device=drawn.device)
    score = (total[order] / area[order]).clamp(0, 1).to(modes.dtype)
    layer = rename.index_select(0, drawn.reshape(-1)).view(1, *drawn.shape)
    return Groups(layer, modes[order], score)


def _no_groups(embedding: Tensor) -> Groups:
    layer = torch.zeros(1, *embedding.shape[1:], dtype=torch.int64, device=embedding.device)
    return Groups(layer, embedding.new_zeros(0, len(embedding)), embedding.new_zeros(0))
