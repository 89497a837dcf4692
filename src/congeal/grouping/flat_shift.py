"""Flat-kernel mean shift with thresholding (De Brabandere et al., 2017, section 3.2)."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from congeal.autograd import full_precision
from congeal.errors import CongealError, unknown
from congeal.grouping.groups import Groups, OverBatch, groups_from_labels, take_pixels
from congeal.grouping.sampling import GOLDEN

__all__ = ["FlatMeanShift"]

Order = Literal["largest", "first", "random"]

ANCHORS = 1024  # candidate pixels for the start with the most neighbours


@dataclass(frozen=True)
class FlatMeanShift(OverBatch):
    """Extracts instances one by one, each around a mode of the embedding (DL).

    Take a pixel that has no instance yet; move to the mean of the pixels within the bandwidth,
    until it rests; what lies within the threshold of that centre is an instance; repeat. Distances
    are Euclidean, in the space of the embedding as it is (not on the sphere). Both the means and
    the instances are made of pixels that have no instance yet.

    Each instance costs one product with the pixels left and a few passes over those nearby. An
    embedding that was not trained may fall into an instance per pixel, hence ``max_instances``.

    Args:
        bandwidth: radius of the mean; the paper takes delta_v (.5), its code delta_d (1.5).
        threshold: radius of the instance around its centre; None: the bandwidth.
        order: which pixel is taken next: ``"largest"``, one with many others around it (counted
            among 1,024 pixels spread over the image; then the first left), ``"first"``, the first
            left in the order of the image, or ``"random"``, as in the paper.
        min_area: smaller instances are dropped; their pixels get no instance.
        max_instances: instances, dropped ones included, after which the search ends; None: never.
        steps: after which a centre that does not rest by itself is taken where it is.
        seed: of the random order.

    Raises:
        CongealError: a value is out of range, or the order is unknown.

    Example:
        >>> embedding = torch.tensor([[0.0, 0.1, 5.0, 5.1, 5.2]])
        >>> groups = FlatMeanShift(bandwidth=0.5).group(embedding)
        >>> groups.labels.tolist(), [round(x, 2) for x in groups.prototypes[:, 0].tolist()]
        ([2, 2, 1, 1, 1], [5.1, 0.05])
    """

    bandwidth: float = 0.5
    threshold: float | None = None
    order: Order = "largest"
    min_area: int = 1
    max_instances: int | None = 1000
    steps: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        for name, radius in (("bandwidth", self.bandwidth), ("threshold", self.threshold)):
            if radius is not None and not (radius > 0 and math.isfinite(radius)):
                raise CongealError(f"expected {name} > 0, got {radius}")
        if self.order not in get_args(Order):
            raise unknown("order", self.order, get_args(Order))
        if self.steps < 1 or (self.max_instances is not None and self.max_instances < 1):
            raise CongealError(
                f"expected steps and max_instances >= 1, got {self.steps} and {self.max_instances}"
            )

    @full_precision
    def group(
        self,
        embedding: Tensor,
        mask: Tensor | None = None,
        weights: Tensor | None = None,
        classes: Tensor | None = None,
    ) -> Groups:
        """Extract the instances of one image.

        Args:
            embedding: ``(D, *S)``.
            mask: ``(*S)`` bool, the pixels to group (the foreground); None: all.
            weights: ``(*S)`` mass of each pixel in the means; None: all the same.
            classes: ``(*S)`` int64 semantic class of each pixel. If given, only classes from 1 on
                are grouped, and each on its own, so that no instance spans two.

        Returns:
            The instances, largest first; prototypes are the means of their pixels, as they are.

        Raises:
            CongealError: shapes do not fit, a value is not finite, or a weight is negative.
        """
        embedding, kept, mass = take_pixels(embedding, mask, weights)
        if classes is not None and classes.shape != kept.shape:
            raise CongealError(
                f"expected classes of shape {tuple(kept.shape)}, got {tuple(classes.shape)}"
            )
        with torch.no_grad():
            labels = self._label(embedding.detach(), kept, mass, classes)
        mass_of = None if weights is None else mass
        groups = groups_from_labels(labels, embedding, weights=mass_of, unit=False)
        if classes is None:
            return groups
        its_class = classes.new_zeros(len(groups) + 1)
        its_class.scatter_(0, groups.labels.flatten(), classes.flatten())
        return dataclasses.replace(groups, classes=its_class[1:].long())

    def _label(
        self, embedding: Tensor, kept: Tensor, mass: Tensor, classes: Tensor | None
    ) -> Tensor:
        """``(*S)`` int64 instances of all classes, 0 for none."""
        labels = torch.zeros_like(kept, dtype=torch.int64).flatten()
        if classes is None:
            parts = [kept]
        else:
            parts = [kept & (classes == one) for one in torch.unique(classes).tolist() if one > 0]
        for part in parts:
            index = part.flatten().nonzero()[:, 0]
            if not len(index):
                continue
            points = embedding.flatten(1)[:, index].T.contiguous()
            instance = self._instances(points, mass.flatten()[index])
            labels[index] = torch.where(instance > 0, instance + labels.max(), 0)
        return labels.reshape(kept.shape)

    def _instances(self, points: Tensor, mass: Tensor) -> Tensor:
        """``(N,)`` instance 1, 2, ... of each of ``(N, D)`` points, 0 for none."""
        instance = torch.zeros(len(points), dtype=torch.int64, device=points.device)
        if not len(points):
            return instance
        order = torch.arange(len(points), device=points.device)
        if self.order == "random":
            generator = torch.Generator().manual_seed(self.seed)
            order = torch.randperm(len(points), generator=generator).to(points.device)
            points, mass = points[order], mass[order]
        pool = _PixelPool(points, mass)
        anchors = _Anchors(pool, self.bandwidth) if self.order == "largest" else None
        found = 0
        while pool.count and (self.max_instances is None or found < self.max_instances):
            found += 1
            seed = pool.first() if anchors is None else anchors.next(pool)
            members = self._members(pool, pool.points[seed], seed)
            if len(members) >= self.min_area:
                instance[order[pool.index[members]]] = found
            pool.take(members)
        return instance

    def _members(self, pool: _PixelPool, centre: Tensor, seed: int) -> Tensor:
        """Where in the pool the pixels lie that a seed moves to."""
        threshold = self.bandwidth if self.threshold is None else self.threshold
        slack = self.bandwidth  # how far the centre may move before others come near
        steps = self.steps
        while True:
            near = pool.near(centre, slack + max(self.bandwidth, threshold))
            points = pool.points[near]
            centre, taken = self._climb(points, pool.mass[near], centre, slack, steps)
            steps -= taken
            if not taken or not steps:
                break
        members = near[_away(points, centre) <= threshold]
        return members if len(members) else near.new_tensor([seed])  # only by rounding

    def _climb(
        self, points: Tensor, mass: Tensor, centre: Tensor, slack: float, steps: int
    ) -> tuple[Tensor, int]:
        """Move a centre until it has moved further than ``slack``, or to its rest.

        Returns:
            The centre, and the steps it took when there may be more to take, 0 when there are not.
        """
        start = centre
        before = None
        for step in range(steps):
            inside = _away(points, centre) <= self.bandwidth
            if before is not None and torch.equal(inside, before):
                break
            before = inside
            share = mass * inside
            total = share.sum()
            if not bool(total > 0):
                break
            centre = share @ points / total
            if float(torch.linalg.vector_norm(centre - start)) > slack:
                return centre, step + 1
        return centre, 0


def _away(points: Tensor, centre: Tensor) -> Tensor:
    """``(N,)`` distances, without the cancellation of the expanded square."""
    away: Tensor = torch.linalg.vector_norm(points - centre, dim=1)
    return away


class _PixelPool:
    """The pixels that have no instance yet, and possibly some that have.

    Pixels are thrown out together, when a quarter of those held are taken, so that all the
    throwing out costs a few copies.
    """

    def __init__(self, points: Tensor, mass: Tensor) -> None:
        self.points = points - points.mean(0)  # small numbers have exact squares
        self.mass = mass
        self.square = self.points.square().sum(1)
        self.index = torch.arange(len(points), device=points.device)
        self.left = torch.ones_like(self.index, dtype=torch.bool)
        self.count = len(points)
        self.rounding = 64 * torch.finfo(points.dtype).eps * float(self.square.max())

    def first(self) -> int:
        """Index of the first remaining pixel."""
        return int(self.left.to(torch.uint8).argmax())

    def near(self, centre: Tensor, radius: float) -> Tensor:
        """Indices of remaining pixels within a radius, and possibly some just beyond."""
        square = torch.addmv(self.square, self.points, centre, alpha=-2)
        limit = radius**2 + self.rounding - float(centre @ centre)
        return ((square <= limit) & self.left).nonzero()[:, 0]

    def take(self, members: Tensor) -> None:
        """Remove pixels."""
        self.left[members] = False
        self.count -= len(members)
        if self.count < 0.75 * len(self.left):
            self.points, self.mass = self.points[self.left], self.mass[self.left]
            self.square, self.index = self.square[self.left], self.index[self.left]
            self.left = torch.ones_like(self.index, dtype=torch.bool)


class _Anchors:
    """Pixels spread over the image, with the number of anchors near each."""

    def __init__(self, pool: _PixelPool, bandwidth: float) -> None:
        steps = torch.arange(ANCHORS, dtype=torch.float64, device=pool.points.device)
        place = (steps + (steps * GOLDEN) % 1) * (pool.count / ANCHORS)  # not along columns
        few = pool.count <= ANCHORS
        self.index = pool.index if few else place.long().clamp_(max=pool.count - 1)
        points = pool.points[self.index]
        close = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
        self.close = (close <= bandwidth).to(points.dtype) * pool.mass[self.index]
        self.left = torch.ones_like(self.index, dtype=torch.bool)

    def next(self, pool: _PixelPool) -> int:
        """Index in the pool of the remaining anchor with the most remaining anchors around it.

        Without remaining anchors, the first pixel of the pool.
        """
        place = torch.searchsorted(pool.index, self.index).clamp_(max=len(pool.index) - 1)
        self.left &= (pool.index[place] == self.index) & pool.left[place]
        if not bool(self.left.any()):
            return pool.first()
        around = self.close @ self.left.to(self.close.dtype)
        return int(place[torch.where(self.left, around, -1.0).argmax()])
