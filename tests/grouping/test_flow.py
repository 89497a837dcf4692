"""Points shift until they rest, and those that meet go on as one."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from congeal.grouping import MeanShift
from congeal.grouping.flow import STRAY_WIDTHS, converge, merge_points
from congeal.sphere import normalise

KAPPA = 36.0


def clouds(count: int, dimensions: int = 5, seed: int = 0) -> Tensor:
    """Points around three directions at right angles, and some between them."""
    generator = torch.Generator().manual_seed(seed)
    centre = torch.eye(dimensions, dtype=torch.float64)[torch.arange(count) % 3]
    noise = torch.randn(count, dimensions, generator=generator, dtype=torch.float64)
    return normalise(centre + 0.25 * noise, dim=1)


def written_out(points: Tensor, mass: Tensor, steps: int) -> list[Tensor]:
    """Gaussian blurring mean shift on the sphere, the points before each step and at last."""
    trail = [points]
    for _ in range(steps):
        kernel = (KAPPA * (points @ points.T - 1)).exp() * mass
        points = kernel @ points
        points = points / points.norm(dim=1, keepdim=True)
        trail.append(points)
    return trail


def test_a_crowd_rests_where_the_written_out_shift_takes_it() -> None:
    points = clouds(90)
    flow = converge(points, MeanShift(KAPPA), points.new_ones(90), width=1e-6, steps=8, tolerance=0)
    expected = written_out(points, points.new_ones(90), 8)[-1]
    rest = flow.rest[flow.where]
    torch.testing.assert_close(rest, expected, rtol=0, atol=1e-5)


def test_mass_counts_as_so_many_points_in_one_place() -> None:
    points = clouds(30, seed=1)
    times = torch.arange(30) % 4 + 1
    shift = MeanShift(KAPPA)
    heavy = converge(points, shift, times.double(), width=1e-6, tolerance=1e-9)
    many = points.repeat_interleave(times, dim=0)
    single = converge(many, shift, many.new_ones(len(many)), width=1e-6, tolerance=1e-9)
    by_mass, by_number = (
        heavy.rest[heavy.where].repeat_interleave(times, 0),
        single.rest[single.where],
    )
    torch.testing.assert_close(by_mass, by_number, rtol=0, atol=1e-6)
    assert float(single.mass.sum()) == float(heavy.mass.sum()) == int(times.sum())


def test_points_that_came_together_are_shifted_as_one(monkeypatch) -> None:
    points, counts, step = clouds(300), [], MeanShift.step

    def noting(shift, crowd, *args):
        counts.append(crowd.shape[1])
        return step(shift, crowd, *args)

    monkeypatch.setattr(MeanShift, "step", noting)
    flow = converge(points, MeanShift(KAPPA), points.new_ones(300), width=0.01, steps=20)
    assert counts[0] == 300
    assert counts[-1] < 30
    assert counts == sorted(counts, reverse=True)
    assert flow.count.sum() == 300


@settings(deadline=None, max_examples=40)
@given(count=st.integers(1, 60), places=st.integers(1, 12), seed=st.integers(0, 99))
def test_uniting_keeps_mass_and_its_centre(count: int, places: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    where = torch.randint(places, (count,), generator=generator)
    spots = normalise(torch.randn(places, 6, generator=generator).double(), dim=1)
    weights = torch.rand(count, generator=generator).double() + 0.1
    united, mass, into = merge_points(spots[where], weights, 1e-3)
    assert len(united) == len(set(where.tolist()))
    torch.testing.assert_close(united[into], spots[where])
    for place in set(where.tolist()):
        here = where == place
        assert float(mass[into[here][0]]) == pytest.approx(float(weights[here].sum()))


def test_what_is_far_apart_is_never_united() -> None:
    points = normalise(torch.randn(5000, 16, generator=torch.Generator().manual_seed(0)), dim=1)
    united, _, into = merge_points(points, torch.ones(5000), 1e-3)
    assert len(united) == 5000
    assert torch.equal(united[into], points)


@settings(deadline=None, max_examples=40)
@given(
    dimensions=st.sampled_from([2, 3, 16, 64, 256]),
    width=st.floats(1e-3, 0.3),
    spread=st.floats(0, 1),
    seed=st.integers(0, 99),
)
def test_merged_points_stay_near(dimensions: int, width: float, spread: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(400, dimensions, generator=generator, dtype=torch.float64)
    points = normalise(torch.eye(dimensions, dtype=torch.float64)[0] + spread * noise, dim=1)
    united, mass, into = merge_points(points, torch.ones(400, dtype=torch.float64), width)
    assert float(mass.sum()) == 400
    moved = (points - united[into]).norm(dim=1)
    assert float(moved.max()) <= 2 * STRAY_WIDTHS * width


@pytest.mark.parametrize("dimensions", [2, 3, 16, 64, 256])
def test_in_any_dimension_close_points_become_one_and_distant_ones_stay_two(
    dimensions: int,
) -> None:
    generator = torch.Generator().manual_seed(dimensions)
    one = normalise(torch.randn(500, dimensions, generator=generator).double(), dim=1)
    way = normalise(torch.randn(500, dimensions, generator=generator).double(), dim=1)

    def share_united(distance: float) -> float:
        pairs = torch.stack([one, one + distance * way], 1)
        return (
            sum(len(merge_points(pair, torch.ones(2).double(), 0.01)[1]) == 1 for pair in pairs)
            / 500
        )

    assert share_united(0.001) > 0.8
    assert share_united(0.2) == 0


@pytest.mark.parametrize("spread", [0.0, 0.02, 0.1])
def test_united_points_stand_in_the_order_of_the_first_of_each(spread: float) -> None:
    generator = torch.Generator().manual_seed(0)
    spots = normalise(torch.randn(9, 6, generator=generator).double(), dim=1)
    noise = spread * torch.randn(200, 6, generator=generator).double()
    points = normalise(spots[torch.randint(9, (200,), generator=generator)] + noise, dim=1)
    into = merge_points(points, torch.ones(200).double(), 0.02)[2].tolist()
    assert list(dict.fromkeys(into)) == list(range(len(set(into))))
