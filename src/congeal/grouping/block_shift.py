"""Sums over every point's neighbourhood on a CPU, by blocks of the symmetric kernel matrix."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from congeal.autograd import once_differentiable

__all__ = ["block_means", "fits_blocks", "not_light"]

SIDE = 256  # of a block, at most
MANY = 4096  # points from which on blocks are twice as wide: fewer calls, as many pairs at once
LIGHTEST = 1e-12  # mass of a point
LANES = 16  # sides are a multiple, as processors take numbers
PAIRS = 2**20  # worked on in one call, which stay in the cache of a processor
_NAME = "mean shift by blocks"
# Smallest log2 of a weight: next to the weight 1 of a point for itself it is nothing, and products
# with numbers too small for the exponent of a float take some processors several times as long.
LEAST = -110.0
LOG2E = math.log2(math.e)  # exp2 takes less than half the time of exp


def fits_blocks(points: Tensor, weights: Tensor | None, location: Tensor | None) -> bool:
    """Whether :func:`block_means` serves: on a CPU, no mass of zero, no gradient but the points'.

    A point of mass zero may be far from all others, so that its whole row of the kernel
    underflows; the fused kernel scales each row by its largest entry and knows no such row.

    Example:
        >>> fits_blocks(torch.eye(3), None, None)
        True
    """
    extra = [part for part in (weights, location) if part is not None]
    if points.device.type != "cpu" or any(part.requires_grad for part in extra):
        return False
    if points.shape[-2] == 0 or torch.compiler.is_compiling():
        return False
    return weights is None or not_light(weights)


def not_light(weights: Tensor) -> bool:
    """Whether each point has a mass next to which what is far away may be nothing."""
    return bool((weights > LIGHTEST).all())


def block_means(
    points: Tensor,
    *,
    concentration: float | Tensor,
    weights: Tensor | None = None,
    location: Tensor | None = None,
    spread: float = 1.0,
    long: bool = True,
) -> Tensor:
    """Mean of the neighbourhood of each point, sum_j K_ij m_j x_j / sum_j K_ij m_j.

    K is symmetric, so each block serves its rows and its columns: half of the similarities and
    exponentials that attention computes. The backward pass computes the blocks again, so that
    nothing of the size of K is held: memory is linear in N, forward and backward.

    Args:
        points: ``(N, D)`` unit vectors, float32 or float64, N at least 1.
        concentration: kappa, a number or a scalar tensor.
        weights: ``(N,)`` mass of each point, above 0.
        location: ``(N, n)`` positions; the kernel falls off with distance.
        spread: standard deviation of that fall-off.
        long: whether it matters how long a mean is. If its direction only, the numerator is given:
            not to divide it saves a tenth of the time, and more where D alone fills the registers
            of a processor, as 16 does.

    Returns:
        ``(N, D)``, not of length one.

    Example:
        >>> points = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> block_means(points, concentration=1e-6).round(decimals=3).tolist()
        [[0.5, 0.5], [0.5, 0.5]]
        >>> block_means(points, concentration=1e-6, long=False).round(decimals=3).tolist()
        [[1.0, 1.0], [1.0, 1.0]]
    """
    kappa = torch.as_tensor(concentration, dtype=points.dtype)
    mass = None if weights is None else weights.to(points.dtype)[:, None]
    place = None
    if location is not None:
        place = location.to(points.dtype)
        place = (place - place.mean(0)) / spread
    sums: Tensor = _BlockSums.apply(points, kappa, mass, place, long)
    return sums[:, :-1] / sums[:, -1:] if long else sums


class _Grid(NamedTuple):
    """How N points are cut into blocks of the same side, the last filled up with zeros."""

    points: int
    blocks: int
    side: int

    @property
    def together(self) -> int:
        """Blocks worked on in one call."""
        return min(self.blocks, max(PAIRS // self.side**2, torch.get_num_threads()))

    def cut(self, values: Tensor) -> Tensor:
        """``(N, E)`` to ``(blocks, side, E)``."""
        filled = pad(values, (0, 0, 0, self.blocks * self.side - self.points))
        return filled.view(self.blocks, self.side, -1)

    def join(self, values: Tensor) -> Tensor:
        """``(blocks, side, E)`` to ``(N, E)``."""
        return values.reshape(self.blocks * self.side, -1)[: self.points]

    def pairs(self) -> Iterator[tuple[slice, slice]]:
        """Runs of block rows and of block columns that cover each pair of blocks once.

        Columns run past the last block: block c stands for c - blocks there, so that a run is a
        slice of an array laid out twice.
        """
        for offset in range(self.blocks // 2 + 1):
            rows = self.blocks // 2 if 2 * offset == self.blocks else self.blocks
            for first in range(0, rows, self.together):
                last = min(first + self.together, rows)
                yield slice(first, last), slice(first + offset, last + offset)


def _make_grid(count: int) -> _Grid:
    blocks = -(-count // (SIDE if count < MANY else 2 * SIDE))
    side = -(-count // (blocks * LANES)) * LANES
    return _Grid(count, -(-count // side), side)


def _twice(blocks: Tensor) -> Tensor:
    return torch.cat([blocks, blocks])


def _log_factors(points: Tensor, kappa: Tensor, place: Tensor | None) -> tuple[Tensor, Tensor]:
    """Factors of log2 K = (kappa (x_i.x_j - 1) - |p_i - p_j|^2 / 2) log2 e, ``(N, E)`` each."""
    scale = float(kappa) * LOG2E
    one = points.new_ones(len(points), 1)
    if place is None:
        return torch.cat([points * scale, one * -scale], 1), torch.cat([points, one], 1)
    fall = place.square().sum(1, keepdim=True) * (-0.5 * LOG2E)  # (N, 1)
    rows = torch.cat([points * scale, place * LOG2E, fall - scale, one], 1)
    return rows, torch.cat([points, place, one, fall], 1)


class _Kernel:
    """Gives the blocks of K, several at a time, in memory that the next ones use again."""

    def __init__(self, grid: _Grid, points: Tensor, kappa: Tensor, place: Tensor | None) -> None:
        self.grid = grid
        rows, columns = _log_factors(points, kappa, place)
        self.deep = place is not None or -2 * float(kappa) * LOG2E < LEAST
        self.rows = grid.cut(rows)  # (blocks, side, E)
        self.columns = _twice(grid.cut(columns)).mT  # (2 blocks, E, side)
        self.memory = points.new_empty(grid.together, grid.side, grid.side)

    def __iter__(self) -> Iterator[tuple[slice, slice, Tensor]]:
        for i, j in self.grid.pairs():
            block = self.memory[: i.stop - i.start]
            torch.bmm(self.rows[i], self.columns[j], out=block)
            if self.deep:
                block.clamp_min_(LEAST)
            yield i, j, block.exp2_()


class _Product:
    """Gathers K V from blocks of a symmetric K: each as it stands, and transposed."""

    def __init__(self, grid: _Grid, values: Tensor) -> None:  # (N, E)
        self.grid = grid
        cut = grid.cut(values)
        self.values = _twice(cut)  # (2 blocks, side, E)
        self.transposed = cut.mT.contiguous()  # (blocks, E, side)
        self.by_rows = torch.zeros_like(cut)
        self.by_columns = torch.zeros_like(_twice(self.transposed))

    def add(self, i: slice, j: slice, block: Tensor) -> None:
        self.by_rows[i].baddbmm_(block, self.values[j])
        if i != j:
            self.by_columns[j].baddbmm_(self.transposed[i], block)

    def total(self) -> Tensor:
        """``(N, E)``."""
        first, second = self.by_columns.chunk(2)
        return self.grid.join(self.by_rows + (first + second).mT)


class _BlockSums(torch.autograd.Function):
    """Forward and backward of u_i = sum_j K_ij m_j v_j, where v is x, or (x, 1).

    With g = dL/du, whose first D columns are g', the gradient is

        dL/dx_i = kappa sum_j K_ij T_ij x_j + m_i sum_j K_ij g'_j

    where T_ij = m_j g_i.v_j + m_i g_j.v_i is symmetric too. It is the paper's backward pass (RPE,
    section 3.2) with the roles of x as query, key and value gathered.
    """

    @staticmethod
    def forward(
        ctx: Any,
        points: Tensor,  # (N, D)
        kappa: Tensor,  # ()
        mass: Tensor | None,  # (N, 1)
        place: Tensor | None,  # (N, n)
        total: bool,
    ) -> Tensor:
        grid = _make_grid(len(points))
        values = _values(points, total)
        product = _Product(grid, values if mass is None else values * mass)
        for i, j, block in _Kernel(grid, points, kappa, place):
            product.add(i, j, block)
        sums = product.total()
        ctx.save_for_backward(points, kappa, mass, place, sums)
        return sums

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        with torch.no_grad():
            slope, sharper = _gradients(grads[0], *ctx.saved_tensors)
        if not ctx.needs_input_grad[1]:
            return once_differentiable(slope, _NAME), None, None, None, None
        return (
            once_differentiable(slope, _NAME),
            once_differentiable(sharper, _NAME),
            None,
            None,
            None,
        )


def _values(points: Tensor, total: bool) -> Tensor:
    """What is summed, ``(N, D)`` or ``(N, D + 1)``."""
    return torch.cat([points, points.new_ones(len(points), 1)], 1) if total else points


def _gradients(
    gradient: Tensor,  # (N, D) or (N, D + 1), dL/du
    points: Tensor,  # (N, D)
    kappa: Tensor,  # ()
    mass: Tensor | None,  # (N, 1)
    place: Tensor | None,  # (N, n)
    sums: Tensor,  # as the gradient
) -> tuple[Tensor, Tensor]:
    """Gradients by the points and by the concentration."""
    grid = _make_grid(len(points))
    dimensions = points.shape[1]
    values = _values(points, gradient.shape[1] > dimensions)
    values = values if mass is None else values * mass
    left = grid.cut(torch.cat([gradient, values], 1))
    right = _twice(grid.cut(torch.cat([values, gradient], 1))).mT
    turned = _Product(grid, points)
    straight = _Product(grid, gradient[:, :dimensions])
    kernel = _Kernel(grid, points, kappa, place)
    memory = torch.empty_like(kernel.memory)
    for i, j, block in kernel:
        turn = memory[: len(block)]
        torch.bmm(left[i], right[j], out=turn)
        turned.add(i, j, turn.mul_(block))
        straight.add(i, j, block)
    inner, received = turned.total(), straight.total()
    slope = kappa * inner + (received if mass is None else received * mass)
    return slope, 0.5 * (points * inner).sum() - (gradient * sums).sum()
