"""Sum over pairs of different groups of what their similarity has above the margin, in blocks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from congeal.autograd import once_differentiable

__all__ = ["hinged_pairs"]

# Rows and columns of a block: on a CPU it stays in the cache of a core.
CPU_BLOCK = (128, 4096)
GPU_BLOCK = (4096, 16384)


class _Points(NamedTuple):
    """Pixels in order of their groups, so that those of one group follow one another."""

    unit: Tensor  # (N, D)
    weights: Tensor  # (N,)
    location: Tensor | None  # (N, n); None: all pairs count
    ends: list[int]  # (K,) where each group ends


class _Products:
    """Gives blocks of x_i.y_j + c, in memory that the next block uses again."""

    def __init__(self, left: Tensor, right: Tensor, size: int) -> None:
        self.left, self.right = left, right  # (N, E) each
        self.memory = left.new_empty(size)

    def block(self, rows: slice, columns: slice) -> Tensor:
        left, right = self.left[rows], self.right[columns]
        block = self.memory[: len(left) * len(right)].view(len(left), len(right))
        return torch.mm(left, right.T, out=block)


def _blocks(points: _Points) -> Iterator[tuple[slice, slice]]:
    """Rows and columns that cover each pair of different groups, the later one in the columns."""
    high, wide = CPU_BLOCK if points.unit.device.type == "cpu" else GPU_BLOCK
    count, group = len(points.unit), 0
    for start in range(0, count, high):
        rows = slice(start, min(start + high, count))
        group = _group_of(start, points.ends, group)
        for first in range(points.ends[group], count, wide):
            yield rows, slice(first, min(first + wide, count))


def _group_of(row: int, ends: list[int], group: int) -> int:
    """The group of a row, looked for from an earlier or the same group on."""
    while ends[group] <= row:
        group += 1
    return group


def _forget_own(block: Tensor, rows: slice, columns: slice, ends: list[int], group: int) -> int:
    """Zero the columns of a row's own group and of earlier ones; give the group of the first row.

    The search for that group begins at ``group``.
    """
    first = group = _group_of(rows.start, ends, group)
    start = rows.start
    while start < rows.stop:
        end = min(ends[group], rows.stop)
        own = min(ends[group], columns.stop) - columns.start
        if own > 0:
            block[start - rows.start : end - rows.start, :own] = 0
        start, group = end, group + 1
    return first


def _similarities(points: _Points, margin: float, size: int) -> _Products:
    """Products that give s_ij - margin."""
    one = points.unit.new_ones(len(points.unit), 1)
    left = torch.cat([0.5 * points.unit, (0.5 - margin) * one], 1)  # (N, D + 1)
    return _Products(left, torch.cat([points.unit, one], 1), size)


class _Nearness:
    """Gives blocks that are 1 where two pixels are closer than the repulsion radius, else 0."""

    def __init__(self, location: Tensor, repulsion_radius: float, size: int) -> None:
        self.location, self.repulsion_radius = location, repulsion_radius
        # a product of reduced precision would move the radius by pixels
        exact = torch.get_float32_matmul_precision() == "highest"
        self.products = None
        if location.device.type == "cpu" and exact:
            self.products = _distances(location, size)

    def block(self, rows: slice, columns: slice) -> Tensor:
        if self.products is not None:
            return self.products.block(rows, columns).gt_(-(self.repulsion_radius**2))
        direct = "donot_use_mm_for_euclid_dist"
        one, other = self.location[rows], self.location[columns]
        return (torch.cdist(one, other, compute_mode=direct) < self.repulsion_radius).to(one.dtype)


def _distances(location: Tensor, size: int) -> _Products:
    """Products that give -|p_i - p_j|^2, exact where positions are whole numbers."""
    place = location - location.mean(0).round()
    square = place.square().sum(1, keepdim=True)  # (N, 1)
    one = torch.ones_like(square)
    left = torch.cat([2 * place, -square, -one], 1)  # (N, n + 2)
    return _Products(left, torch.cat([place, one, square], 1), size)


def _gather(
    points: _Points, margin: float, repulsion_radius: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The sum, the weight of the pairs within the radius, and the gradient ``(N, D)``."""
    blocks = list(_blocks(points))
    size = max(((r.stop - r.start) * (c.stop - c.start) for r, c in blocks), default=0)
    similarities = _similarities(points, margin, size)
    nearness = (
        None if points.location is None else _Nearness(points.location, repulsion_radius, size)
    )
    weighted = points.weights[:, None] * similarities.right  # (N, D + 1)
    around = torch.zeros_like(weighted)  # of each pixel, the sum over the pairs that cost
    mass = points.unit.new_zeros(())
    group = 0
    for rows, columns in blocks:
        active = similarities.block(rows, columns).gt_(0)  # (n, m)
        if nearness is None:
            group = _forget_own(active, rows, columns, points.ends, group)
        else:
            near = nearness.block(rows, columns)
            group = _forget_own(near, rows, columns, points.ends, group)
            mass += 2 * points.weights[rows] @ (near @ points.weights[columns])
            active *= near
        around[rows].addmm_(active, weighted[columns])
        around[columns].addmm_(active.T, weighted[rows])
    around *= points.weights[:, None]
    return (similarities.left * around).sum(), mass, around[:, :-1]


class _HingedPairs(torch.autograd.Function):
    """Forward and backward of :func:`hinged_pairs`.

    The gradient is gathered in the forward pass, so that nothing of the size of the pair matrix
    outlives its block. The sum follows from it: with a_ij telling the pairs above the margin,

        sum_ij w_i w_j a_ij (s_ij - margin) = sum_i w_i (x_i / 2 . g_i + (1/2 - margin) h_i)

    where g_i = sum_j a_ij w_j x_j, which w_i times is the gradient, and h_i = sum_j a_ij w_j.
    """

    @staticmethod
    def forward(
        ctx: Any,
        unit: Tensor,
        groups: Tensor,
        weights: Tensor,
        location: Tensor | None,
        margin: float,
        repulsion_radius: float,
    ) -> tuple[Tensor, Tensor]:
        order = groups.argsort(stable=True)
        ends = torch.bincount(groups).cumsum(0).tolist()
        place = None if location is None else location[order]
        points = _Points(unit[order], weights[order], place, ends)
        loss, mass, sorted_gradient = _gather(points, margin, repulsion_radius)
        gradient = torch.empty_like(unit)
        gradient[order] = sorted_gradient
        ctx.save_for_backward(gradient)
        ctx.mark_non_differentiable(mass)
        return loss, mass

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return (
            once_differentiable(grads[0] * gradient, "pairwise loss"),
            None,
            None,
            None,
            None,
            None,
        )


def hinged_pairs(
    unit: Tensor,
    groups: Tensor,
    weights: Tensor,
    location: Tensor | None = None,
    *,
    margin: float = 0.5,
    repulsion_radius: float | None = None,
) -> tuple[Tensor, Tensor]:
    """Sum over pairs i, j of different groups of w_i w_j max(s_ij - margin, 0), and their weight.

    Each pair is looked at once, and pairs of one group hardly at all, since the pixels are put in
    order of their groups. The sum can be differentiated once, by ``unit``.

    Args:
        unit: ``(N, D)`` vectors of length one, N at least 1.
        groups: ``(N,)`` int64 in 0..K-1, every group present.
        weights: ``(N,)``.
        location: ``(N, n)`` positions; used only with ``repulsion_radius``.
        margin: in units of the calibrated cosine.
        repulsion_radius: only pairs closer than this count; None: all.

    Returns:
        Two scalars: the sum, and the sum of w_i w_j of the pairs within the radius (0 without a
        radius, where no caller needs it). i, j and j, i are two pairs.

    Example:
        >>> unit = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
        >>> total, _ = hinged_pairs(unit, torch.tensor([0, 1, 0]), torch.ones(3), margin=0.75)
        >>> total.item()
        1.0
    """
    place = None if repulsion_radius is None or location is None else location.to(unit.dtype)
    total: Tensor
    mass: Tensor
    total, mass = _HingedPairs.apply(unit, groups, weights, place, margin, repulsion_radius or 0.0)
    return total, mass
