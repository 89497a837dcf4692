"""The pipeline without a radius: points that stand for the whole map shift, pixels follow.

sample: blocks of alike pixels by their mean, an even choice of the other pixels (loose ones)
shift: mean shift of the sample until it rests; what no mode explains is sampled again
assign: a block goes where its mean went, a loose pixel to its nearest mode, in doubt with the
    sample that is most like it
prune: groups of few pixels are given up; their pixels go to the nearest mode that is left
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from congeal.grouping.flow import UNITED, Flow, let_flow
from congeal.grouping.modes import Shifting, assign_to_modes, find_modes, widest
from congeal.grouping.sampling import spread_indices
from congeal.grouping.windows import sum_cells
from congeal.sphere import normalise

__all__ = ["group_everywhere"]

BLOCKS = 4  # for each anchor: most become one with others before the first step
ALIKE = 1.25  # kernel widths: root mean square angle in a block for which its mean may stand
FOREIGN = 3.0  # kernel widths from the mean of its block, beyond which a pixel is loose
REST = 1e-4  # change of a coordinate below which a point rests: sharp kernels move slowly
ROUNDS = 4  # times that what no mode explains is sampled again
COMPARED = 2**22  # cosines written at once: 16 MB
PIXELS = 65_536  # pixels compared at once with their blocks


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
        side = math.ceil((count / (BLOCKS * self.anchors)) ** (1 / mask.ndim))
        if side < 2:
            return loose, unit.flatten(1).T[:0]
        inside = unit if bool(mask.all()) else unit * mask
        sums = sum_cells(inside, side, mask.ndim)  # (D, *C)
        held = sum_cells(mask.to(unit.dtype), side, mask.ndim)  # (*C)
        length = torch.linalg.vector_norm(sums, dim=0) / held.clamp_min(1)
        alike = (held > 1) & (2 - 2 * length < (ALIKE * self.width) ** 2)
        means = normalise(sums, dim=0)
        number = torch.where(alike, alike.flatten().long().cumsum(0).view(alike.shape) - 1, -1)
        edge = math.cos(min(FOREIGN * self.width, math.pi))
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
        stratum = torch.zeros_like(loose)
        for number in range(ROUNDS + 1):
            sample = _Sample.of(whole, *self._draw(vectors, weight, stratum))
            flow = let_flow(
                sample.points,
                self.shift,
                sample.mass,
                width=UNITED * self.width,
                steps=self.steps,
                tolerance=REST,
            )
            modes = self._modes(flow, sample.pixels)
            every = not len(means) and len(sample.points) == len(loose)
            if every or number == ROUNDS:
                break
            far = self._far(vectors, modes)
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

    def _modes(self, flow: Flow, pixels: Tensor) -> Tensor:
        """``(M, D)`` modes that enough pixels came to, or the heaviest.

        A single point at rest not far from where others rest is none: it may stand for many
        pixels of a border, and would take in a small object beside it.
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
        for some in homeless.split(PIXELS):
            label[some] = assign_to_modes(points[:, some].T, modes[kept])
        return label


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
        yield from vectors.split(max(1, COMPARED // max(rows, 1)), 1)
