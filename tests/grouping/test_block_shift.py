"""The blocks of the symmetric kernel give what the written-out matrix gives."""

from __future__ import annotations

import psutil
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from congeal.errors import CongealError
from congeal.grouping.block_shift import (
    SIDE,
    _Kernel,
    _make_grid,
    block_means,
    fits_blocks,
)
from congeal.grouping.mean_shift import mean_shift_step
from congeal.sphere import normalise


def draw(count: int, dimensions: int = 5, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return normalise(
        torch.randn(count, dimensions, generator=generator, dtype=torch.float64), dim=1
    )


def written_out(
    points: Tensor,
    kappa: Tensor,
    weights: Tensor | None = None,
    location: Tensor | None = None,
    spread: float = 1.0,
    mean: bool = True,
) -> Tensor:
    logits = kappa * (points @ points.T - 1)
    if location is not None:
        logits = logits - torch.cdist(location, location).square() / (2 * spread**2)
    kernel = logits.exp()
    if weights is not None:
        kernel = kernel * weights
    return kernel @ points / (kernel.sum(1, keepdim=True) if mean else 1)


@pytest.mark.parametrize("count", [1, 2, 7, SIDE, SIDE + 1, 2 * SIDE, 700, 17 * SIDE + 5])
def test_every_pair_of_blocks_is_visited_once(count: int) -> None:
    grid = _make_grid(count)
    seen = torch.zeros(grid.blocks, grid.blocks, dtype=torch.int64)
    for rows, columns in grid.pairs():
        for i, j in zip(range(rows.start, rows.stop), range(columns.start, columns.stop)):  # noqa: B905
            seen[i, j % grid.blocks] += 1
            if i != j:
                seen[j % grid.blocks, i] += 1
    assert torch.equal(seen, torch.ones_like(seen))


@pytest.mark.parametrize("count", [1, 3, 255, 513, 900])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("located", [False, True])
@pytest.mark.parametrize("mean", [False, True])
def test_means_sums_and_gradients_are_those_of_the_matrix(
    count: int, weighted: bool, located: bool, mean: bool
) -> None:
    generator = torch.Generator().manual_seed(1)
    points = draw(count).requires_grad_()
    kappa = torch.tensor(9.0, dtype=torch.float64, requires_grad=True)
    weights = torch.rand(count, generator=generator).double() + 0.1 if weighted else None
    location = 40 * torch.rand(count, 2, generator=generator).double() if located else None
    pull = torch.randn(count, 5, generator=generator).double()
    expected = written_out(points, kappa, weights, location, 6.0, mean)
    how = {"weights": weights, "location": location, "spread": 6.0, "long": mean}
    got = block_means(points, concentration=kappa, **how)
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)
    wanted = torch.autograd.grad((expected * pull).sum(), (points, kappa))
    for slope, reference in zip(
        torch.autograd.grad((got * pull).sum(), (points, kappa)), wanted, strict=True
    ):
        torch.testing.assert_close(slope, reference, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("kappa", [9.0, 36.0, 250.0, 3000.0])
def test_a_sharp_kernel_has_no_number_too_small_for_the_exponent_and_the_same_means(
    kappa: float,
) -> None:
    torch.manual_seed(0)
    points = normalise(torch.randn(600, 3), dim=1)  # some of them opposite
    kernel = _Kernel(_make_grid(len(points)), points, torch.tensor(kappa), None)
    smallest = torch.finfo(torch.float32).tiny
    assert all(bool((block >= smallest).all()) for _, _, block in kernel)
    exact = points.double()
    expected = torch.softmax(kappa * exact @ exact.T, 1) @ exact
    assert torch.allclose(block_means(points, concentration=kappa).double(), expected, atol=1e-4)


@pytest.mark.parametrize("long", [False, True])
def test_gradcheck_through_normalised_steps(long: bool) -> None:
    raw = draw(6, 3).requires_grad_()
    kappa = torch.tensor(4.0, dtype=torch.float64, requires_grad=True)

    def two_steps(x: Tensor, k: Tensor) -> Tensor:
        x = normalise(x, dim=1)
        for _ in range(2):
            x = normalise(block_means(x, concentration=k, long=long), dim=1)
        return x

    assert torch.autograd.gradcheck(two_steps, (raw, kappa))


def test_steps_with_and_without_blocks_agree_in_single_precision() -> None:
    points = draw(3000, 16).float()[None]
    by_blocks = mean_shift_step(points, concentration=36.0)
    with_a_point_of_no_mass = torch.ones(1, 3001)
    with_a_point_of_no_mass[0, -1] = 0
    more = torch.cat([points, points[:, :1]], 1)
    by_attention = mean_shift_step(more, concentration=36.0, weights=with_a_point_of_no_mass)
    torch.testing.assert_close(by_blocks[0], by_attention[0, :-1], rtol=0, atol=2e-6)


@settings(max_examples=15, deadline=None)
@given(count=st.integers(2, 600), seed=st.integers(0, 99))
def test_the_order_of_the_points_does_not_matter(count: int, seed: int) -> None:
    points = draw(count, 4, seed)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    means = block_means(points, concentration=20.0)
    shuffled = block_means(points[order], concentration=20.0)
    torch.testing.assert_close(shuffled, means[order], rtol=0, atol=1e-12)


def test_sums_point_where_the_means_do_however_light_the_points_are() -> None:
    points = draw(600, 16).float()
    light = torch.logspace(-11, 0, 600)
    means = block_means(points, concentration=36.0, weights=light)
    sums = block_means(points, concentration=36.0, weights=light, long=False)
    torch.testing.assert_close(normalise(sums), normalise(means), rtol=0, atol=2e-6)


def test_copies_of_a_point_are_one_point_of_their_mass() -> None:
    points = draw(300)
    heavy = torch.ones(300).double()
    heavy[7] = 5
    copied = torch.cat([points, points[7:8].expand(4, -1)])
    torch.testing.assert_close(
        block_means(points, concentration=9.0, weights=heavy),
        block_means(copied, concentration=9.0)[:300],
        rtol=0,
        atol=1e-12,
    )


def test_masses_of_zero_and_gradients_of_masses_are_left_to_attention() -> None:
    points = draw(4)
    assert fits_blocks(points, None, None)
    assert not fits_blocks(points, torch.tensor([1.0, 0.0, 1.0, 1.0]), None)
    assert not fits_blocks(points, torch.ones(4, requires_grad=True), None)
    assert not fits_blocks(points[:0], None, None)


def test_memory_does_not_grow_with_the_square_of_the_points() -> None:
    points = draw(16_384, 8).float().requires_grad_()
    before = psutil.Process().memory_info().rss
    mean_shift_step(points[None], concentration=36.0).sum().backward()
    grown = psutil.Process().memory_info().rss - before
    assert grown < 16_384**2 * 4 / 4  # the matrix would take 1 GiB


def test_a_second_derivative_is_refused_in_a_line() -> None:
    points = draw(6).requires_grad_()
    means = block_means(points, concentration=4.0)
    (slope,) = torch.autograd.grad(means.square().sum(), points, create_graph=True)
    with pytest.raises(CongealError, match="second derivative of the mean shift by blocks"):
        slope.sum().backward()
