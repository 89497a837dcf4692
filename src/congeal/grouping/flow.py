"""The shift stage of the grouping pipeline without a kernel radius: points shift until they rest.

A step of N points costs N^2 D. Points that meet are merged, so only the first steps take all N.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from congeal.grouping.modes import Shifting
from congeal.grouping.sampling import GOLDEN
from congeal.sphere import normalise

__all__ = ["MERGE_WIDTHS", "RestingPoints", "converge", "merge_points"]

MERGE_WIDTHS = 0.125  # 1 / sqrt(kappa): distance at which points become one
HASH_MULTIPLIER = 0x9E3779B97F4A7C15  # odd, with no pattern in its bits
HASH_RANGE = 2**64
EARLY_STEPS = 4  # points that meet are merged after each of the first steps,
MERGED_SHARE = 0.9  # or if the last merge left a smaller share of the points,
MANY_POINTS = 800  # or above this number: a step then takes far longer than a merge;
MERGE_INTERVAL = 4  # otherwise every so many steps
STRAY_WIDTHS = 6  # widths from the mean of its hash cell beyond which a point stays by itself


@dataclass(frozen=True)
class RestingPoints:
    """Where points rest, and which points rest there.

    Attributes:
        rest: ``(S, D)`` unit vectors, the resting places.
        mass: ``(S,)`` of the points at each.
        where: ``(N,)`` int64, the resting place of each point.

    Example:
        >>> from congeal.grouping import MeanShift
        >>> points = normalise(torch.tensor([[1.0, 0.1], [1.0, -0.1], [-1.0, 0.0]]), dim=1)
        >>> flow = converge(points, MeanShift(margin=0.5), torch.ones(3), width=0.01)
        >>> flow.mass.sort().values.tolist()
        [1.0, 2.0]
    """

    rest: Tensor
    mass: Tensor
    where: Tensor

    @property
    def count(self) -> Tensor:
        """``(S,)`` int64, how many points came to each place."""
        return torch.bincount(self.where, minlength=len(self.rest))


def converge(
    points: Tensor,
    shift: Shifting,
    weights: Tensor,
    *,
    width: float,
    steps: int = 50,
    tolerance: float = 1e-3,
) -> RestingPoints:
    """Repeat mean-shift steps until no point moves further than ``tolerance``.

    Args:
        points: ``(N, D)`` unit vectors.
        shift: gives the step.
        weights: ``(N,)`` mass of each point, above 0.
        width: distance at which points become one, well below the width of the kernel.
        steps: at most.
        tolerance: largest change of a coordinate taken as rest.

    Example:
        See :class:`RestingPoints`.
    """
    where = torch.arange(len(points), device=points.device)
    due = 0
    for step in range(steps):
        if step >= due:
            before = len(points)
            points, weights, into = merge_points(points, weights, width)
            where = into[where]
            due = _due(step, before, len(points))
        moved = shift.step(points[None], weights[None])[0]
        change = float((moved - points).abs().max()) if len(points) else 0.0
        points = moved
        if change < tolerance:
            break
    rest, mass, into = merge_points(points, weights, width)
    return RestingPoints(rest, mass, into[where])


def _due(step: int, before: int, after: int) -> int:
    """The step before which points are merged again."""
    often = step < EARLY_STEPS or after < MERGED_SHARE * before or after > MANY_POINTS
    return step + (1 if often else MERGE_INTERVAL)


@cache
def _salt(dimensions: int) -> list[int]:
    """A factor of each axis, for hashing."""
    return [
        pow(HASH_MULTIPLIER, axis + 1, HASH_RANGE) - HASH_RANGE // 2 for axis in range(dimensions)
    ]


def merge_points(points: Tensor, weights: Tensor, width: float) -> tuple[Tensor, Tensor, Tensor]:
    """Merge the points in the same cell of a grid, unless they are far apart.

    Two points closer than ``width`` may lie in two cells. They stay two, and are merged after a
    later step if they go on towards each other.

    Args:
        points: ``(N, D)`` unit vectors.
        weights: ``(N,)`` mass of each, above 0.
        width: about the distance at which two are as likely to become one as not.

    Returns:
        The mean directions ``(M, D)`` in the order of their first points, their mass ``(M,)``, and
        of each point the one it became, ``(N,)`` int64.

    Example:
        >>> points = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
        >>> united, mass, into = merge_points(points, torch.tensor([1.0, 2.0, 3.0]), 0.01)
        >>> united.tolist(), mass.tolist(), into.tolist()
        ([[1.0, 0.0], [0.0, 1.0]], [4.0, 2.0], [0, 1, 0])
    """
    into, count = _cells(points, width)
    if count == len(points):
        return points, weights, torch.arange(len(points), device=points.device)
    together, mass = _add_up(points, weights, into)
    apart = (points - together[into]).square().sum(1) > (STRAY_WIDTHS * width) ** 2
    if bool(apart.any()):
        into[apart] = torch.arange(len(points), device=points.device)[apart] + len(mass)
        together, mass = _add_up(points, weights, into := _number(into)[0])
    return together, mass, into


def _cells(points: Tensor, width: float) -> tuple[Tensor, int]:
    """``(N,)`` int64, the cell of each of ``(N, D)`` points, in order of appearance; how many.

    Of two points at a distance d in any direction, the axes tell each about d / sqrt(D): with sides
    of width sqrt(D), and edges anywhere, both are in one cell with probability exp(-.8 d / width).
    """
    side = width * math.sqrt(points.shape[1])
    edges = torch.arange(points.shape[1], device=points.device) * GOLDEN % 1
    salt = torch.tensor(_salt(points.shape[1]), device=points.device)
    cell = ((points / side + edges).floor().long() * salt).sum(1)  # wraps around, as a hash may
    return _number(cell)


def _number(names: Tensor) -> tuple[Tensor, int]:
    """``(N,)`` int64, 0 for the first name and all alike, 1 for the next, ...; how many."""
    names, into = torch.unique(names, return_inverse=True)
    place = torch.arange(len(into), device=into.device)
    first = torch.full_like(names, len(into)).scatter_reduce_(0, into, place, "amin")
    rank = torch.empty_like(first).index_copy_(0, first.argsort(), place[: len(first)])
    return rank[into], len(first)


def _add_up(points: Tensor, weights: Tensor, into: Tensor) -> tuple[Tensor, Tensor]:
    """Mean directions ``(M, D)`` of what becomes one, and the mass of each, ``(M,)``."""
    count = int(into.max()) + 1 if len(into) else 0
    mass = weights.new_zeros(count).index_add_(0, into, weights)
    sums = points.new_zeros(count, points.shape[1])
    return normalise(sums.index_add_(0, into, points * weights[:, None]), dim=1), mass
