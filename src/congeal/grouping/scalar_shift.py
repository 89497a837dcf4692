"""Mean shift of one number per pixel, exact (DVIS, section 3.4: discretisation)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from congeal.errors import CongealError
from congeal.grouping.components import split_parts
from congeal.grouping.groups import Groups, OverBatch, check_embedding
from congeal.grouping.proposals import mask_nms

__all__ = ["ScalarMeanShift", "scalar_mean_shift"]

STRIDES = (4096, 256, 16, 1)  # values are sampled at these strides, then refined between samples
STEP_LIMIT = 10_000  # the shift converges in finitely many steps; limits cycles by rounding errors


@dataclass(frozen=True)
class _Line:
    """Points on a line with cumulative sums of mass, so that a window takes two look-ups."""

    points: Tensor  # (M,) float64, ascending
    total: Tensor  # (M + 1,) mass before each point
    moment: Tensor  # (M + 1,) mass times place before each point

    @classmethod
    def of(cls, points: Tensor, mass: Tensor) -> _Line:
        zero = points.new_zeros(1)
        total = torch.cat([zero, mass.cumsum(0)])
        return cls(points, total, torch.cat([zero, (mass * points).cumsum(0)]))

    def window(self, centre: Tensor, bandwidth: float) -> Tensor:
        """``(2, N)`` first point within the bandwidth of each centre, and first beyond."""
        low = torch.searchsorted(self.points, centre - bandwidth)
        high = torch.searchsorted(self.points, centre + bandwidth, right=True)
        return torch.stack([low, high])

    def mass(self, window: Tensor) -> Tensor:
        """``(N,)`` mass in each window."""
        return self.total[window[1]] - self.total[window[0]]

    def mean(self, window: Tensor, otherwise: Tensor) -> Tensor:
        """``(N,)`` centre of mass of each window; windows without mass keep their value."""
        mass = self.mass(window)
        mean = (self.moment[window[1]] - self.moment[window[0]]) / mass
        return torch.where(mass > 0, mean, otherwise)


def _follow(line: _Line, start: Tensor, bandwidth: float) -> Tensor:
    """``(N,)`` where the shift that begins at each start comes to rest: its window stays."""
    place = start.clone()
    window = line.window(place, bandwidth)
    active = torch.arange(len(start), device=start.device)
    for _ in range(STEP_LIMIT):
        moved = line.mean(window, place[active])
        place[active] = moved
        after = line.window(moved, bandwidth)
        moving = (after != window).any(0)
        active, window = active[moving], after[:, moving]
        if not len(active):
            break
    return place


def _settle(line: _Line, bandwidth: float) -> Tensor:
    """``(M,)`` limit of each point of the line.

    A step of the shift never changes the order of two points, so that all points between two that
    end in one place end there too: only some are followed, then those between that differ.
    """
    count = len(line.points)
    index = torch.arange(count, device=line.points.device)
    settled = torch.full_like(line.points, torch.nan)
    for stride in STRIDES:
        chosen = (index % stride == 0) | (index == count - 1)
        todo = (chosen & settled.isnan()).nonzero()[:, 0]
        settled[todo] = _follow(line, line.points[todo], bandwidth)
        known = ~settled.isnan()
        before = torch.where(known, index, 0).cummax(0).values
        after = torch.where(known, index, count - 1).flip(0).cummin(0).values.flip(0)
        settled = torch.where(settled[before] == settled[after], settled[before], settled)
    return settled


def scalar_mean_shift(values: Tensor, bandwidth: float, weights: Tensor | None = None) -> Tensor:
    """Exact limits of N numbers under mean shift with a flat kernel.

    Every number moves to the mean of the given numbers within the bandwidth of it (the bandwidth
    included), again and again until it rests. Sorting the numbers makes every window a
    difference of two running sums, O(N log N) in all.

    Args:
        values: ``(N,)`` finite floats, in any order.
        bandwidth: half the width of the window, above 0.
        weights: ``(N,)`` mass of each number, at least 0.

    Returns:
        ``(N,)`` float64.

    Raises:
        CongealError: the bandwidth is not above 0.

    Example:
        >>> scalar_mean_shift(torch.tensor([5.0, 0.0, 1.0]), 1.0).tolist()
        [5.0, 0.5, 0.5]
    """
    if not bandwidth > 0:
        raise CongealError(f"expected a bandwidth above 0, got {bandwidth}")
    points, inverse, counts = torch.unique(values, return_inverse=True, return_counts=True)
    mass = _mass(inverse, counts, weights)
    if not len(points):
        return values.double()
    return _settle(_Line.of(points.double(), mass), bandwidth)[inverse]


def _mass(inverse: Tensor, counts: Tensor, weights: Tensor | None) -> Tensor:
    """``(M,)`` float64 mass of each distinct value."""
    if weights is None:
        return counts.double()
    mass = torch.zeros(len(counts), dtype=torch.float64, device=counts.device)
    return mass.index_add(0, inverse, weights.double())


def _merge(places: Tensor, around: Tensor, bandwidth: float) -> Tensor:
    """Select modes among distinct limits by mass, without others within the bandwidth.

    Args:
        places: ``(R,)`` ascending.
        around: ``(R,)`` mass within the bandwidth of each; without mass none is a mode.
        bandwidth: of the kernel.

    Returns:
        ``(K,)`` ascending.
    """
    low = torch.searchsorted(places, places - bandwidth).tolist()
    high = torch.searchsorted(places, places + bandwidth, right=True).tolist()
    order = around.argsort(descending=True, stable=True)
    alive = bytearray(b"\1" * len(places))
    kept = []
    for i in order[: int((around > 0).sum())].tolist():
        if alive[i]:
            kept.append(i)
            alive[low[i] : high[i]] = bytes(high[i] - low[i])
    return places[sorted(kept)]


@dataclass(frozen=True)
class ScalarMeanShift(OverBatch):
    """Groups of pixels by one number each, by exact mean shift with one or more bandwidths.

    Every pixel belongs to the mode where its number comes to rest. Modes within a bandwidth of a
    heavier one are joined to the nearest that stays. Each bandwidth gives one layer; a group that
    another layer already holds is left out of the later one.

    A group's prototype is its mode, and its score 1 - (mean distance of its numbers from the mode)
    / bandwidth, at least 0: 1 for a piecewise constant map.

    Args:
        bandwidths: half widths of the flat kernel, one layer each (.9 and .4 in the paper).
        foreground_threshold: pixels below this are no objects. Half: what would be rounded to 0.
        min_area: groups of fewer pixels are left out.
        duplicate_iou: groups of two layers with an IoU of at least this are one.
        split_components: split groups into connected components; else a group may lie anywhere.
        bins: sort the numbers into this many bins first, for speed on very large images. A number
            then stands for the mean of its bin, so it moves by less than range / bins, and a
            window may gain or lose what lies that close to its ends. None: exact.

    Raises:
        CongealError: a value is out of range.

    Example:
        >>> values = torch.tensor([[[0.0, 2.0, 2.1, 3.1, 3.2, 3.3]]])
        >>> ScalarMeanShift(bandwidths=(0.4,)).group(values).labels.tolist()
        [[0, 2, 2, 1, 1, 1]]
    """

    bandwidths: tuple[float, ...] = (0.9, 0.4)
    foreground_threshold: float = 0.5
    min_area: int = 1
    duplicate_iou: float = 0.9
    split_components: bool = False
    bins: int | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        if not self.bandwidths or not min(self.bandwidths) > 0:
            raise CongealError(f"expected bandwidths above 0, got {self.bandwidths}")
        few = self.bins is not None and self.bins < 1
        if not 0 < self.duplicate_iou <= 1 or self.min_area < 0 or few:
            raise CongealError(
                "expected duplicate_iou in (0, 1], min_area >= 0 and bins >= 1, got "
                f"{self.duplicate_iou}, {self.min_area} and {self.bins}"
            )

    @torch.no_grad()
    def group(
        self, embedding: Tensor, mask: Tensor | None = None, weights: Tensor | None = None
    ) -> Groups:
        """Group the pixels of one image.

        Args:
            embedding: ``(1, *S)`` one number per pixel, background below the threshold.
            mask: ``(*S)`` bool, the pixels to group; None: all.
            weights: ``(*S)`` mass of each pixel, at least 0; None: all the same.

        Returns:
            One layer per bandwidth, in their order; prototypes ``(K, 1)`` in the units of the
            embedding, numbered over all layers with the largest group first.

        Raises:
            CongealError: shapes do not fit, more than one number per pixel, or NaN.
        """
        check_embedding(embedding, mask, weights)
        if len(embedding) != 1:
            raise CongealError(f"expected one value per pixel, (1, *S), got {len(embedding)}")
        value = embedding[0].double()
        kept = value >= self.foreground_threshold
        if mask is not None:
            kept &= mask.bool()
        mass = None if weights is None else weights[kept].double()
        found = self._groups(value[kept], kept, mass)
        layers = torch.zeros((len(found), *kept.shape), dtype=torch.int64, device=kept.device)
        start = 0
        for layer, (labels, modes, _) in zip(layers, found, strict=True):
            layer[kept] = torch.where(labels > 0, labels + start, 0)
            start += len(modes)
        modes, scores = (torch.cat([each[column] for each in found]) for column in (1, 2))
        ranks = [torch.full_like(own, rank) for rank, (_, own, _) in enumerate(found)]
        layers, order = self._pool(layers, torch.cat(ranks))
        dtype = embedding.dtype
        return Groups(layers, modes[order, None].to(dtype), scores[order].to(dtype))

    def _groups(
        self, values: Tensor, kept: Tensor, mass: Tensor | None
    ) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Labels ``(N,)`` 1..k of the kept pixels, modes and scores ``(k,)``, per bandwidth."""
        if not len(values):
            return [(values.long(), values, values) for _ in self.bandwidths]
        points, inverse, held = self._points(values, mass)
        line = _Line.of(points, held)
        found = []
        for bandwidth in self.bandwidths:
            places, rest = torch.unique(_settle(line, bandwidth), return_inverse=True)
            modes = _merge(places, line.mass(line.window(places, bandwidth)), bandwidth)
            nearest = torch.bucketize(places, (modes[1:] + modes[:-1]) / 2)
            labels = (nearest[rest] + 1 if len(modes) else torch.zeros_like(rest))[inverse]
            if self.split_components:
                labels, whole = _split(labels, kept)
                modes = modes[whole - 1]
            found.append((labels, modes, _scores(labels, modes, values, mass, bandwidth)))
        return found

    def _points(self, values: Tensor, mass: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Distinct numbers, ascending, which of them each value is, and the mass of each."""
        if self.bins is None:
            points, inverse, counts = torch.unique(values, return_inverse=True, return_counts=True)
            return points, inverse, _mass(inverse, counts, mass)
        low, high = values.aminmax()
        share = (values - low) / (high - low).clamp_min(torch.finfo(values.dtype).tiny)
        bins = (share * self.bins).long().clamp_max(self.bins - 1)
        _, inverse, counts = torch.unique(bins, return_inverse=True, return_counts=True)
        sums = torch.zeros_like(counts, dtype=values.dtype).index_add(0, inverse, values)
        return sums / counts, inverse, _mass(inverse, counts, mass)

    def _pool(self, layers: Tensor, rank: Tensor) -> tuple[Tensor, Tensor]:
        """Drop small groups and duplicates of those of an earlier bandwidth, and sort by area.

        Returns:
            The layers with their groups renumbered, and the old index 0..K-1 of each new group.
        """
        areas = torch.bincount(layers.flatten(), minlength=len(rank) + 1)
        small = areas < max(self.min_area, 1)
        layers = layers.masked_fill(small[layers], 0)
        below = math.nextafter(self.duplicate_iou, 0)  # an IoU of just so much is a duplicate
        kept = mask_nms(layers, -rank, below).sort().values
        kept = kept[~small[kept]]
        kept = kept[areas[kept].argsort(descending=True, stable=True)]
        rename = torch.zeros_like(areas)
        rename[kept] = torch.arange(1, len(kept) + 1, device=kept.device)
        return rename[layers], kept - 1


def _split(labels: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
    """Components of the groups ``(N,)`` of the kept pixels, and the group of each component."""
    whole = torch.zeros(kept.shape, dtype=torch.int64, device=labels.device)
    whole[kept] = labels
    parts = torch.from_numpy(split_parts(whole.cpu().numpy())).to(labels.device)[kept]
    group = labels.new_zeros(int(parts.max()) + 1).index_copy(0, parts, labels)
    return parts, group[1:]


def _scores(
    labels: Tensor, modes: Tensor, values: Tensor, mass: Tensor | None, bandwidth: float
) -> Tensor:
    """``(k,)`` score of each group by the distance of its numbers from the mode."""
    centre = torch.cat([modes.new_zeros(1), modes])
    mass = torch.ones_like(values) if mass is None else mass
    around = torch.zeros_like(centre).index_add(0, labels, mass)
    away = torch.zeros_like(centre).index_add(0, labels, mass * (values - centre[labels]).abs())
    return (1 - away / around.clamp_min(1e-300) / bandwidth).clamp(0, 1)[1:]
