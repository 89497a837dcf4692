"""The nearest mode of each pixel, whatever way it is found."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from congeal.grouping.nearest import (
    angles,
    lengths,
    nearest_in_runs,
    nearest_modes,
    nearest_two,
)
from congeal.sphere import normalise

COUNTS = [7, 700, 5000]  # with hundreds of modes, fewer pixels are compared at once


@pytest.mark.parametrize("count", COUNTS)
def test_the_nearest_mode_is_that_of_the_whole_table(count: int) -> None:
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(8, 5000, generator=generator, dtype=torch.float64)
    modes = normalise(torch.randn(count, 8, generator=generator, dtype=torch.float64), dim=1)
    index, cosine = nearest_modes(points, modes)
    table = normalise(points, dim=0).T @ modes.T
    assert torch.equal(index, table.argmax(1))
    torch.testing.assert_close(cosine, table.amax(1))


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("groups", [3, 6, 4000])
def test_the_nearest_mode_of_another_group_is_that_of_the_masked_table(
    count: int, groups: int
) -> None:
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(8, 5000, generator=generator, dtype=torch.float64)
    modes = normalise(torch.randn(count, 8, generator=generator, dtype=torch.float64), dim=1)
    group = torch.randint(1, groups, (count,), generator=generator)  # some numbers are of none
    index, cosine, other = nearest_two(points, modes, group)
    table = normalise(points, dim=0).T @ modes.T
    assert torch.equal(index, table.argmax(1))
    torch.testing.assert_close(cosine, table.amax(1))
    table = table.masked_fill(group[index][:, None] == group, -1)
    torch.testing.assert_close(other, table.amax(1))
    assert bool((nearest_two(points, modes, group * 0)[2] == -1).all())


@pytest.mark.parametrize("precision", ["highest", "medium"])
@pytest.mark.parametrize("count", [1, 5, 127, 129, 700])
def test_of_modes_that_are_as_near_the_first_is_told(count: int, precision: str) -> None:
    generator = torch.Generator().manual_seed(count)
    points = torch.randint(-1, 2, (6, 3000), generator=generator).float()  # some of them are zero
    modes = torch.eye(6).repeat_interleave(-(-count // 6), 0)[:count]  # many of them the same
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision(precision)  # of products, on a CPU that can do less
        index = nearest_modes(points, modes)[0]
        first, _, _ = nearest_two(points, modes, torch.arange(count))
    finally:
        torch.set_float32_matmul_precision(before)
    expected = (points.long().numpy().T @ modes.long().numpy().T).argmax(1)  # exact
    np.testing.assert_array_equal(index.numpy(), expected)
    np.testing.assert_array_equal(first.numpy(), expected)


@given(pixels=st.integers(1, 910), count=st.integers(1, 60), noise=st.sampled_from([0.0, 0.1, 0.5]))
@settings(deadline=None, max_examples=60)
def test_comparing_by_runs_finds_the_nearest_mode_too(
    pixels: int, count: int, noise: float
) -> None:
    generator = torch.Generator().manual_seed(pixels)
    modes = normalise(torch.randn(count, 5, generator=generator).double(), dim=1)
    modes = torch.cat([modes, modes[:1]])  # two that are the same: no pixel is safe with them
    runs = torch.randint(0, count, (70,), generator=generator).repeat_interleave(13)
    points = modes[runs].T + noise * torch.randn(5, 910, generator=generator).double()
    index, cosine = nearest_in_runs(points[:, :pixels], modes)
    expected = (normalise(points, dim=0).T @ modes.T)[:pixels]
    torch.testing.assert_close(cosine, expected.amax(1))
    torch.testing.assert_close(expected.gather(1, index[:, None])[:, 0], cosine)


def test_angles_are_never_nan() -> None:
    assert angles(torch.tensor([1.0000002, -1.0000002])).tolist() == pytest.approx([0, np.pi])


@pytest.mark.parametrize("count", [1, 70_000])
@pytest.mark.parametrize("apart", [False, True])
def test_lengths_are_those_of_the_columns(count: int, apart: bool) -> None:
    points = torch.randn(5, count, dtype=torch.float64)
    points[:, 0] = 0
    laid = points.T.contiguous().T if apart else points  # rows in one piece or not
    expected = points.norm(dim=0).clamp_min(1e-12)
    torch.testing.assert_close(lengths(laid), expected)
    points[2, -1] = torch.nan
    assert bool(lengths(points)[-1].isnan())
