from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from congeal.errors import CongealError
from congeal.sphere import (
    angle_from_margin,
    calibrated_cosine,
    concentration_from_margin,
    normalise,
    optimise_directions,
    smallest_margin,
    smallest_margin_bounds,
    vmf_kernel,
)

seeds = st.integers(0, 2**31 - 1)


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def directions(count, dimensions, seed=0):
    return functional.normalize(normal(count, dimensions, seed=seed), dim=1)


def worst_margin(points):
    """The largest calibrated cosine of two different directions, pair by pair."""
    pairs = [(a, b) for i, a in enumerate(points) for b in points[:i]]
    return max(0.5 + 0.5 * float(a @ b) for a, b in pairs)


# --- normalise ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "dim"), [((5,), 0), ((4, 3), 1), ((2, 3, 5, 4), 1), ((6, 3), -1)]
)
def test_vectors_have_length_one_along_the_axis_asked_for(shape, dim):
    unit = normalise(normal(*shape), dim=dim)
    torch.testing.assert_close(unit.norm(dim=dim), torch.ones_like(unit.norm(dim=dim)))


def test_the_direction_of_a_vector_is_kept():
    x = normal(7, 5)
    torch.testing.assert_close(normalise(x), functional.normalize(x, dim=1))


@given(seeds, st.floats(1e-6, 1e6))
@settings(deadline=None, max_examples=20)
def test_the_length_of_a_vector_does_not_matter(seed, length):
    x = normal(3, 4, seed=seed)
    torch.testing.assert_close(normalise(x * length), normalise(x))


def test_a_zero_vector_stays_zero_with_a_finite_gradient():
    x = torch.zeros(2, 3, requires_grad=True)
    unit = normalise(x)
    unit.sum().backward()
    assert unit.eq(0).all()
    assert x.grad.isfinite().all()


def test_zero_vectors_leave_the_gradient_of_their_neighbours_alone():
    alone = normal(1, 4).requires_grad_()
    beside = torch.cat([alone.detach(), torch.zeros(1, 4)]).requires_grad_()
    normalise(alone)[:, 0].sum().backward()
    normalise(beside)[:1, 0].sum().backward()
    torch.testing.assert_close(beside.grad[:1], alone.grad)
    assert beside.grad[1].eq(0).all()


def test_the_gradient_is_at_right_angles_to_the_vector():
    x = normal(6, 4).requires_grad_()
    (normalise(x) * normal(6, 4, seed=1)).sum().backward()
    torch.testing.assert_close((x.grad * x).sum(1), torch.zeros(6, dtype=torch.float64))


def test_the_gradient_of_normalise_agrees_with_finite_differences():
    assert torch.autograd.gradcheck(normalise, normal(3, 4).requires_grad_())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_raised_to_float32(dtype):
    x = (normal(4, 3) * 100).to(dtype)
    unit = normalise(x)
    assert unit.dtype == torch.float32
    torch.testing.assert_close(unit, normalise(x.float()))


def test_a_long_vector_of_half_precision_does_not_overflow():
    unit = normalise(torch.full((1, 64), 6e4, dtype=torch.float16))
    torch.testing.assert_close(unit, torch.full((1, 64), 0.125))


# --- similarities ------------------------------------------------------------------------------


def test_the_calibrated_cosine_is_one_half_zero_for_same_right_opposite():
    x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    assert calibrated_cosine(x[:1], x).tolist() == [[1.0, 0.5, 0.0]]


@given(seeds)
@settings(deadline=None, max_examples=20)
def test_the_calibrated_cosine_is_one_less_a_quarter_of_the_squared_distance(seed):
    a, b = directions(4, 3, seed), directions(5, 3, seed + 1)
    distance = (a[:, None] - b[None]).square().sum(-1)
    torch.testing.assert_close(calibrated_cosine(a, b), 1 - distance / 4)


def test_the_kernel_is_the_exponential_of_kappa_times_cosine_up_to_a_constant():
    a, b = directions(4, 3), directions(5, 3, seed=1)
    expected = np.exp(6.0 * (a.numpy() @ b.numpy().T)) / math.exp(6.0)
    np.testing.assert_allclose(vmf_kernel(a, b, 6.0).numpy(), expected)


def test_a_large_concentration_does_not_overflow():
    x = directions(4, 3).float()
    kernel = vmf_kernel(x, x, 1e4)
    assert kernel.isfinite().all()
    torch.testing.assert_close(kernel.diagonal(), torch.ones(4), atol=2e-2, rtol=0)


def test_similarities_take_batches():
    a, b = directions(8, 3).reshape(2, 4, 3), directions(10, 3, 1).reshape(2, 5, 3)
    torch.testing.assert_close(calibrated_cosine(a, b)[1], calibrated_cosine(a[1], b[1]))
    torch.testing.assert_close(vmf_kernel(a, b, 3.0)[1], vmf_kernel(a[1], b[1], 3.0))


# --- concentration and angle -------------------------------------------------------------------


@pytest.mark.parametrize(("margin", "kappa"), [(0.0, 9.0), (0.5, 36.0), (0.7, 100.0)])
def test_the_concentration_makes_the_margin_three_standard_deviations(margin, kappa):
    assert concentration_from_margin(margin) == pytest.approx(kappa)
    assert 3 / math.sqrt(concentration_from_margin(margin)) == pytest.approx(1 - margin)


@pytest.mark.parametrize("margin", [-0.1, 1.0, 1.5, math.nan])
def test_a_margin_outside_its_range_is_refused(margin):
    with pytest.raises(CongealError, match="expected a margin in"):
        concentration_from_margin(margin)


@given(st.floats(0, 1))
def test_the_calibrated_cosine_at_the_angle_of_a_margin_is_the_margin(margin):
    assert 0.5 + 0.5 * math.cos(angle_from_margin(margin)) == pytest.approx(margin, abs=1e-12)


# --- how many groups fit -----------------------------------------------------------------------


# Tammes' problem: the angle at which n directions can be kept apart, in degrees (Schuette & van der
# Waerden, 1951; Danzer, 1986).
TAMMES = {4: 109.4712206, 5: 90.0, 6: 90.0, 7: 77.8695422, 9: 70.5287794, 12: 63.4349488}


@pytest.mark.parametrize("groups", TAMMES)
def test_the_smallest_margins_on_the_ordinary_sphere_are_the_known_optima(groups):
    optimum = 0.5 + 0.5 * math.cos(math.radians(TAMMES[groups]))
    assert optimum - 1e-9 <= smallest_margin(groups, 3) <= optimum + 1e-4


@pytest.mark.parametrize("dimensions", [2, 3, 8, 64])
def test_up_to_one_more_group_than_dimensions_form_a_simplex(dimensions):
    for groups in range(2, dimensions + 2):
        expected = (groups - 2) / (2 * (groups - 1))
        assert smallest_margin(groups, dimensions) == pytest.approx(expected)


@pytest.mark.parametrize("dimensions", [3, 8, 64])
def test_up_to_twice_as_many_groups_as_dimensions_need_a_right_angle(dimensions):
    for groups in range(dimensions + 2, 2 * dimensions + 1):
        assert smallest_margin(groups, dimensions) == 0.5


@pytest.mark.parametrize("groups", [4, 5, 9])
def test_in_the_plane_groups_are_at_equal_angles(groups):
    circle = 2 * math.pi * torch.arange(groups, dtype=torch.float64) / groups
    points = torch.stack([circle.cos(), circle.sin()], 1)
    assert smallest_margin(groups, 2) == pytest.approx(worst_margin(points))


def test_one_group_needs_no_margin():
    assert smallest_margin(1, 3) == 0.0


@pytest.mark.parametrize(("groups", "dimensions"), [(0, 3), (4, 1)])
def test_a_number_of_groups_or_dimensions_that_cannot_be_is_refused(groups, dimensions):
    with pytest.raises(CongealError, match="expected groups >= 1 and dimensions >= 2"):
        smallest_margin(groups, dimensions)


@pytest.mark.parametrize(("groups", "dimensions"), [(4, 3), (5, 4), (6, 3), (8, 4)])
def test_the_optimiser_finds_the_simplex_and_the_cross_polytope_by_itself(groups, dimensions):
    points = optimise_directions(groups, dimensions, steps=400)
    assert points.shape == (groups, dimensions)
    torch.testing.assert_close(points.norm(dim=1), torch.ones(groups, dtype=torch.float64))
    assert worst_margin(points) == pytest.approx(smallest_margin(groups, dimensions), abs=2e-3)


def test_the_optimiser_gives_the_same_directions_for_the_same_seed():
    first, again = (optimise_directions(5, 3, steps=20, seed=7) for _ in range(2))
    assert torch.equal(first, again)


def test_the_lower_bounds_of_the_paper_hold_below_the_true_optima():
    lower = [smallest_margin_bounds(groups)[0] for groups in (4, 5, 6, 7)]
    assert lower == pytest.approx([0.0931, 0.2745, 0.3954, 0.4818], abs=5e-5)
    assert all(a < b for a, b in zip(lower, [1 / 3, 0.5, 0.5, 0.6051], strict=True))


@given(st.integers(2, 10_000))
def test_the_bounds_are_margins_and_in_order(groups):
    lower, upper = smallest_margin_bounds(groups)
    assert 0 <= lower <= upper <= 1


def test_the_bounds_close_in_on_each_other_as_groups_become_many():
    lower, upper = smallest_margin_bounds(10**6)
    assert upper - lower < 1e-5


def test_bounds_for_a_single_group_are_refused():
    with pytest.raises(CongealError, match="at least 2 groups"):
        smallest_margin_bounds(1)
