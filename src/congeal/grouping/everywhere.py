"""The grouping pipeline without a kernel radius: a sample of the map shifts, pixels follow.

sample: blocks of similar pixels by their mean, and an even choice of the other (loose) pixels
shift: mean shift of the sample until it rests; pixels far from every mode are sampled again
assign: a block takes the mode of its mean, a loose pixel the nearest mode, or in doubt the mode of
    the most similar point of the sample
prune: the pixels of small groups go to the nearest mode that is left

See :mod:`congeal.grouping.pipeline` for the call, and the page "Grouping on the sphere".
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from congeal.grouping.flow import MERGE_WIDTHS, RestingPoints, converge
from congeal.grouping.modes import Shifting, assign_to_modes, find_modes, widest
from congeal.grouping.sampling import spread_indices
from congeal.grouping.windows import PIXELS_PER_PRODUCT
from congeal.sphere import normalise

__all__ = ["group_everywhere"]

BLOCKS_PER_ANCHOR = 4  # most blocks become one with others before the first step
MAX_BLOCK_WIDTHS = 1.25  # 1 / sqrt(kappa): root mean square angle in a block
MAX_PIXEL_WIDTHS = 3.0  # 1 / sqrt(kappa) from the mean of its block; beyond: loose
POINT_REST = 1e-4  # coordinate: a point that moves less rests; sharp kernels move slowly
RESAMPLINGS = 4  # times that pixels far from every mode are sampled again
COSINES_PER_PRODUCT = 2**22  # cosines in memory at once: 16 MB


class _Sample(NamedTuple):
    """Points that stand for pixels."""

    points: Tensor  # (A, D) unit vectors
    mass: Tensor  # (A,)
    pixels: Tensor  # (A,) how many each stands for

    @classmethod
    def of(cls, *parts: _Sample) -> _Sample:
        return cls(*(torch.cat(column) for column in zip(*parts, strict=True)))


def group_everywhere(
    unit: Tensor,
    mask: Tensor,
    mass: Tensor,
    shift: Shifting,
    margin: float,
    anchors: int,
    min_area: float,
    steps: int,
) -> Tensor:
    """Label the pixels of a mask that is not empty; see :func:`congeal.grouping.group_pixels`.

    Args:
        unit: ``(D, *S)`` unit vectors.
        mask: ``(*S)`` bool.
        mass: ``(*S)``, above 0 in the mask.
        shift: the kernel and its step.
        margin: cosine above which two modes are one.
        anchors: loose pixels that shift, at most; four times as many blocks do.
        min_area: pixels under which a group is given up.
        steps: at most.

    Returns:
        ``(*S)`` int64, 0 outside the mask, else 1..K.

    Example:
        >>> from congeal.grouping import MeanShift
        >>> unit, ones = torch.eye(2)[:, None], torch.ones(1, 2)
        >>> group_everywhere(
        ...     unit, ones > 0, ones, shift=MeanShift(), margin=0.5, anchors=9, min_area=1, steps=9
        ... ).tolist()
        [[1, 2]]
    """
    search = _Search(shift, margin, anchors, min_area, steps)
    at = mask.flatten().nonzero()[:, 0]
    block, means = search.blocks(unit, mask)
    loose = at[block[at] < 0]
    label = search.label(unit.flatten(1), mass.flatten().to(unit.dtype), block, means, at, loose)
    labels = torch.zeros(mask.numel(), dtype=torch.int64, device=unit.device)
    labels[at] = label[at] + 1
    return labels.view(mask.shape)


@dataclass(frozen=True)
class _Search:
    shift: Shifting
    margin: float
    anchors: int
    min_area: float
    steps: int

    @property
    def width(self) -> float:
        """One standard deviation of the kernel, or of that of the margin if wider, in radians."""
        return widest(self.margin, float(self.shift.concentration))

    def blocks(self, unit: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """The block 0..B-1 of each pixel ``(N,)``, -1 if loose, and the means ``(B, D)``.

        A block stands for its pixels if the root mean square of their angles to its mean,
        sqrt(2 - 2 R) with R the length of the mean of their unit vectors, is small.
        """
        count = int(mask.sum())
        loose = torch.full((mask.numel(),), -1, dtype=torch.int64, device=unit.device)
        if count <= self.anchors:
            return loose, unit.flatten(1).T[:0]
        side = math.ceil((count / (BLOCKS_PER_ANCHOR * self.anchors)) ** (1 / mask.ndim))
        if side < 2:
            return loose, unit.flatten(1).T[:0]
        inside = unit if bool(mask.all()) else unit * mask
        sums = _sum_cells(inside, side, mask.ndim)  # (D, *C)
        held = _sum_cells(mask.to(unit.dtype), side, mask.ndim)  # (*C)
        length = torch.linalg.vector_norm(sums, dim=0) / held.clamp_min(1)
        alike = (held > 1) & (2 - 2 * length < (MAX_BLOCK_WIDTHS * self.width) ** 2)
        means = normalise(sums, dim=0)
        number = torch.where(alike, alike.flatten().long().cumsum(0).view(alike.shape) - 1, -1)
        edge = math.cos(min(MAX_PIXEL_WIDTHS * self.width, math.pi))
        cosine = torch.zeros_like(unit[0])
        for plane, mean in zip(unit, means, strict=True):  # D planes fit in a cache, not all
            cosine.addcmul_(plane, _enlarge(mean, side, mask.shape))
        block = torch.where((cosine >= edge) & mask, _enlarge(number, side, mask.shape), -1)
        return block.flatten(), means[:, alike].T

    def label(
        self,
        points: Tensor,
        mass: Tensor,
        block: Tensor,
        means: Tensor,
        at: Tensor,
        loose: Tensor,
    ) -> Tensor:
        """The group 0..M-1 of the pixels ``at`` among ``(D, N)``, ``(N,)``.

        Args:
            points: ``(D, N)`` all pixels of the map.
            mass: ``(N,)``.
            block: ``(N,)`` of each pixel, -1 if loose.
            means: ``(B, D)`` of the blocks.
            at: pixels of the mask.
            loose: those without a block.
        """
        vectors, weight = points[:, loose], mass[loose]
        whole = _sum_up(block, mass, means)
        stratum, far = torch.zeros_like(loose), torch.arange(len(loose), device=loose.device)
        for number in range(RESAMPLINGS + 1):
            sample = _Sample.of(whole, *self._draw(vectors, weight, stratum))
            flow = converge(
                sample.points,
                self.shift,
                sample.mass,
                width=MERGE_WIDTHS * self.width,
                steps=self.steps,
                tolerance=POINT_REST,
            )
            modes = self._modes(flow, sample.pixels)
            every = not len(means) and len(sample.points) == len(loose)
            if every or number == RESAMPLINGS:
                break
            far = far[self._far(vectors[:, far] if number else vectors, modes)]
            if len(far) < max(self.min_area, 1):
                break
            stratum[far] = number + 1
        home = assign_to_modes(flow.rest, modes)[flow.where]  # of each point of the sample
        label = home[block.clamp_min(0)] if len(means) else torch.zeros_like(block)
        label[loose] = home if every else self._assign(vectors, modes, sample.points, home)
        return self._prune(points, modes, label, at)

    def _draw(self, vectors: Tensor, mass: Tensor, stratum: Tensor) -> Iterator[_Sample]:
        """An even choice of each stratum of loose pixels ``(D, n)``."""
        for number in torch.unique(stratum).tolist():
            members = (stratum == number).nonzero()[:, 0]
            most = self.anchors if number == 0 else self.anchors // 2
            chosen = members[spread_indices(len(members), max(most, 1), members.device)]
            share = len(members) / len(chosen)
            pixels = mass.new_full((len(chosen),), share)
            yield _Sample(vectors[:, chosen].T, mass[chosen] * share, pixels)

    def _modes(self, flow: RestingPoints, pixels: Tensor) -> Tensor:
        """``(M, D)`` modes that enough pixels came to, or the heaviest.

        A point that rests alone within the margin of another resting place is no mode: it may
        stand for many pixels of a border, and would take in a small object beside it.
        """
        area = torch.zeros_like(flow.mass).index_add_(0, flow.where, pixels.to(flow.mass))
        lone = (flow.count < 2) & (area > 1)
        if not bool(lone.all()):
            lone &= (flow.rest @ flow.rest[~lone].T).amax(1) > self.margin
            area = area.masked_fill(lone, 0)
        find = partial(find_modes, flow.rest, margin=self.margin, width=self.width, weights=area)
        modes = find(min_mass=self.min_area)
        return modes if len(modes) else find()[:1]

    def _far(self, vectors: Tensor, modes: Tensor) -> Tensor:
        """Those whose cosine to every mode is below the margin, by their index."""
        parts = [(modes @ part).amax(0) < self.margin for part in _chunks(vectors, len(modes))]
        return torch.cat(parts).nonzero()[:, 0] if parts else vectors.new_zeros(0).long()

    def _assign(self, vectors: Tensor, modes: Tensor, sample: Tensor, home: Tensor) -> Tensor:
        """The mode of each of ``(D, n)`` loose pixels.

        The nearest mode, if by a width of the kernel nearer than the next one; else that of the
        nearest point of the sample, whose way is known.
        """
        label, doubt = [vectors.new_zeros(0).long()], [vectors.new_zeros(0).bool()]
        for part in _chunks(vectors, len(modes)):
            cosine = modes @ part  # (M, n)
            best, index = cosine.max(0)
            other = cosine.scatter_(0, index[None], -1.0).amax(0)
            gap = other.clamp(-1, 1).acos() - best.clamp(-1, 1).acos()
            label.append(index)
            doubt.append((gap < self.width) | (best < self.margin))
        found, asked = torch.cat(label), torch.cat(doubt).nonzero()[:, 0]
        near = [(sample @ part).argmax(0) for part in _chunks(vectors[:, asked], len(sample))]
        if near and len(modes) > 1:
            found[asked] = home[torch.cat(near)]
        return found

    def _prune(self, points: Tensor, modes: Tensor, label: Tensor, at: Tensor) -> Tensor:
        area = torch.bincount(label[at], minlength=len(modes))
        kept = area >= min(self.min_area, float(area.max()))
        if bool(kept.all()):
            return label
        homeless = at[(~kept)[label[at]]]
        label = (kept.long().cumsum(0) - 1)[label]
        for some in homeless.split(PIXELS_PER_PRODUCT):
            label[some] = assign_to_modes(points[:, some].T, modes[kept])
        return label


def _sum_cells(values: Tensor, side: int, axes: int) -> Tensor:
    """``(..., *S)`` to ``(..., *C)``: the sum over the pixels of each cell."""
    for axis in range(values.ndim - axes, values.ndim):
        beyond = -values.shape[axis] % side
        if beyond:
            values = pad(values, [0, 0] * (values.ndim - 1 - axis) + [0, beyond])
        values = values.unflatten(axis, (-1, side)).sum(axis + 1)
    return values


def _enlarge(values: Tensor, side: int, size: torch.Size) -> Tensor:
    """The value of each cell ``(*C)`` for its pixels ``(*S)``."""
    for axis, length in enumerate(size):
        values = values.repeat_interleave(side, axis).narrow(axis, 0, length)
    return values


def _sum_up(block: Tensor, mass: Tensor, means: Tensor) -> _Sample:
    """Blocks by their means, with the mass of the pixels that are left in each."""
    inside = block >= 0
    held = mass.new_zeros(len(means)).index_add_(0, block[inside], mass[inside])
    pixels = torch.bincount(block[inside], minlength=len(means))
    return _Sample(means, held.clamp_min(1e-9), pixels.to(mass.dtype))


def _chunks(vectors: Tensor, rows: int) -> Iterator[Tensor]:
    """Parts of ``(D, n)`` whose products with so many rows stay small."""
    if vectors.shape[1]:
        yield from vectors.split(max(1, COSINES_PER_PRODUCT // max(rows, 1)), 1)
