"""Mean shift against the kernel matrix written out in float64."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize

from congeal.errors import CongealError
from congeal.grouping import MeanShift, mean_shift_step


def sphere(*shape, seed=0):
    """Random unit vectors along the last axis, float64."""
    generator = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(*shape, generator=generator, dtype=torch.float64), dim=-1)


def grid(*size):
    axes = [torch.arange(side, dtype=torch.float64) for side in size]
    return torch.cartesian_prod(*axes).reshape(-1, len(size))


def slow_step(points, kappa, eta=1.0, weights=None, location=None, sigma=1.0):
    """One step on ``(N, D)`` with the N x N kernel in full."""
    kernel = (kappa * points @ points.T).exp()
    if weights is not None:
        kernel = kernel * weights
    if location is not None:
        away = (location[:, None] - location[None]).square().sum(-1)
        kernel = kernel * (-away / (2 * sigma**2)).exp()
    mean = kernel @ points / kernel.sum(1, keepdim=True)
    return normalize(eta * mean + (1 - eta) * points, dim=1)


def groups_on_axes(count, each, noise, seed=0):
    """``(count * each, D)`` points around orthogonal directions, with the group of each."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count).repeat_interleave(each)
    offset = noise * torch.randn(len(labels), count, generator=generator, dtype=torch.float64)
    return normalize(torch.eye(count, dtype=torch.float64)[labels] + offset, dim=1), labels


# --- one step ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kappa", [0.5, 6.0, 36.0, 100.0, 400.0])
def test_a_step_is_softmax_attention_with_tied_queries_keys_and_values(kappa):
    x = sphere(50, 4)
    expected = normalize(torch.softmax(kappa * x @ x.T, dim=1) @ x, dim=1)
    torch.testing.assert_close(mean_shift_step(x[None], concentration=kappa)[0], expected)
    torch.testing.assert_close(slow_step(x, kappa), expected)


@pytest.mark.parametrize("eta", [0.1, 0.5, 1.0])
def test_the_step_size_mixes_the_mean_with_the_point(eta):
    x = sphere(30, 3)
    moved = mean_shift_step(x[None], concentration=5.0, eta=eta)[0]
    torch.testing.assert_close(moved, slow_step(x, 5.0, eta))


@pytest.mark.parametrize("eta", [0.5, 1.0])
@pytest.mark.parametrize("lightest", [0.0, 1e-6, 0.1])
@pytest.mark.parametrize("count", [30, 300])
def test_weights_multiply_the_kernel(count, lightest, eta):
    x, m = sphere(count, 3).requires_grad_(), torch.rand(count, dtype=torch.float64) * 7
    m[::7] = lightest
    m.requires_grad_()
    moved = mean_shift_step(x[None], concentration=5.0, eta=eta, weights=m[None])[0]
    expected = slow_step(x, 5.0, eta, weights=m)
    torch.testing.assert_close(moved, expected)
    pull = sphere(count, 3, seed=1)
    wanted = torch.autograd.grad((expected * pull).sum(), (x, m))
    slopes = torch.autograd.grad((moved * pull).sum(), (x, m))
    heavy = m.detach() > 0  # of the mass of a point that has none, the logarithm has no slope
    torch.testing.assert_close(slopes[0], wanted[0])
    torch.testing.assert_close(slopes[1][heavy], wanted[1][heavy])


@given(st.lists(st.integers(1, 4), min_size=2, max_size=12), st.integers(0, 2**31 - 1))
@settings(deadline=None, max_examples=20)
def test_a_point_of_weight_m_stands_for_m_points(times, seed):
    x, repeat = sphere(len(times), 3, seed=seed), torch.tensor(times)
    weighted = mean_shift_step(x[None], concentration=5.0, weights=repeat[None].double())[0]
    repeated = mean_shift_step(x.repeat_interleave(repeat, 0)[None], concentration=5.0)[0]
    torch.testing.assert_close(weighted.repeat_interleave(repeat, 0), repeated)


def test_the_scale_of_the_weights_does_not_matter():
    x, m = sphere(20, 3), torch.rand(20, dtype=torch.float64)
    first, scaled = (
        mean_shift_step(x[None], concentration=5.0, weights=w[None]) for w in (m, 1e6 * m)
    )
    torch.testing.assert_close(first, scaled)


def test_a_point_of_weight_zero_does_not_attract_others():
    x = sphere(20, 3)
    weights = torch.ones(1, 20, dtype=torch.float64)
    weights[0, 12:] = 0
    moved = mean_shift_step(x[None], concentration=5.0, weights=weights)[0, :12]
    torch.testing.assert_close(moved, slow_step(x[:12], 5.0))


@pytest.mark.parametrize("size", [(40,), (6, 7), (3, 4, 5)])
def test_with_a_location_the_kernel_falls_off_with_distance(size):
    place = grid(*size)
    x, m = sphere(len(place), 3), torch.rand(len(place), dtype=torch.float64)
    moved = mean_shift_step(
        x[None], concentration=5.0, weights=m[None], location=place[None], sigma=1.7
    )
    torch.testing.assert_close(moved[0], slow_step(x, 5.0, weights=m, location=place, sigma=1.7))


def test_a_location_of_integers_is_taken():
    x, place = sphere(6, 3), grid(2, 3)
    whole, real = (
        mean_shift_step(x[None], concentration=5.0, location=p[None]) for p in (place.long(), place)
    )
    assert torch.equal(whole, real)


def test_where_the_origin_of_the_image_lies_does_not_matter():
    x, place = sphere(30, 3), grid(5, 6)
    here, there = (
        mean_shift_step(x[None], concentration=5.0, location=p[None], sigma=2.0)
        for p in (place, place + 1000)
    )
    torch.testing.assert_close(here, there)


def test_a_long_image_in_single_precision_keeps_its_kernel():
    """The distance term reaches -1e5 at the ends; masked points must stay below it there too."""
    place = torch.stack([torch.zeros(3000), torch.arange(3000)], 1).double()
    x, m = sphere(3000, 3), torch.ones(3000, dtype=torch.float64)
    m[::3] = 0
    arguments = {"location": place[None].float(), "weights": m[None].float(), "sigma": 5.0}
    moved = mean_shift_step(x[None].float(), concentration=9.0, **arguments)[0]
    expected = slow_step(x, 9.0, weights=m, location=place, sigma=5.0)
    torch.testing.assert_close(moved.double(), expected, atol=2e-2, rtol=0)


@given(st.integers(2, 5), st.integers(0, 2**31 - 1))
@settings(deadline=None, max_examples=20)
def test_rotating_the_sphere_rotates_the_step(dimensions, seed):
    x = sphere(12, dimensions, seed=seed)
    rotation = torch.linalg.qr(sphere(dimensions, dimensions, seed=seed + 1)).Q
    torch.testing.assert_close(
        mean_shift_step((x @ rotation)[None], concentration=5.0),
        mean_shift_step(x[None], concentration=5.0) @ rotation,
    )


# --- images ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(9,), (4, 5), (2, 3, 4)])
def test_every_step_of_an_image_is_returned(size):
    embedding = 4 * sphere(2, 3, *size)
    trail = MeanShift(concentration=5.0, steps=3)(embedding)
    assert [tuple(step.shape) for step in trail] == [(2, 3, *size)] * 3
    for b in range(2):
        points = normalize(embedding[b].flatten(1).T, dim=1)
        for step in trail:
            points = slow_step(points, 5.0)
            torch.testing.assert_close(step[b].flatten(1).T, points)


def test_no_steps_return_an_empty_list():
    assert MeanShift(steps=0)(sphere(1, 3, 4, 4)) == []


def test_the_kernel_radius_is_three_standard_deviations_in_pixels_of_the_map():
    embedding = normalize(sphere(1, 3, 6, 7), dim=1)
    (moved,) = MeanShift(concentration=5.0, steps=1, kernel_radius=6.0)(embedding)
    expected = slow_step(embedding[0].flatten(1).T, 5.0, location=grid(6, 7), sigma=2.0)
    torch.testing.assert_close(moved[0].flatten(1).T, expected)


@pytest.mark.parametrize("radius", [None, 5.0])
def test_masked_pixels_do_not_attract_others(radius):
    embedding = sphere(2, 3, 5, 6)
    mask = torch.rand(2, 5, 6, generator=torch.Generator().manual_seed(1)) > 0.4
    changed = torch.where(mask[:, None], embedding, 1.0)
    shift = MeanShift(concentration=5.0, steps=2, kernel_radius=radius)
    kept = mask[:, None].expand_as(embedding)
    before, after = shift(embedding, mask)[-1], shift(changed, mask)[-1]
    torch.testing.assert_close(before[kept], after[kept])


def test_a_mask_and_weights_multiply():
    embedding, mask = sphere(1, 3, 4, 4), torch.arange(16).reshape(1, 4, 4) % 3 > 0
    weights = torch.rand(1, 4, 4, dtype=torch.float64)
    shift = MeanShift(steps=1)
    both, product = shift(embedding, mask, weights)[0], shift(embedding, None, weights * mask)[0]
    torch.testing.assert_close(both, product)


def test_masses_of_another_precision_are_taken():
    points, mass = sphere(40, 5).float(), torch.rand(40, dtype=torch.float64) + 0.1
    moved = mean_shift_step(points[None], concentration=36.0, weights=mass[None])
    same = mean_shift_step(points[None], concentration=36.0, weights=mass[None].float())
    torch.testing.assert_close(moved, same)
    assert moved.dtype == torch.float32


def test_a_mask_without_a_pixel_leaves_finite_vectors():
    embedding = sphere(1, 3, 4, 4)
    mask = torch.zeros(1, 4, 4, dtype=torch.bool)
    assert MeanShift(steps=3)(embedding, mask)[-1].isfinite().all()


def test_each_image_of_a_batch_shifts_by_itself():
    embedding = sphere(3, 4, 5, 5)
    together = MeanShift(steps=2, kernel_radius=4.0)(embedding)[-1]
    alone = torch.cat([MeanShift(steps=2, kernel_radius=4.0)(one[None])[-1] for one in embedding])
    torch.testing.assert_close(together, alone)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_worked_in_float32(dtype):
    embedding = sphere(1, 3, 4, 4).to(dtype)
    moved = MeanShift(steps=2)(embedding)[-1]
    assert moved.dtype == torch.float32
    assert torch.equal(moved, MeanShift(steps=2)(embedding.float())[-1])


def test_autocast_does_not_lower_the_precision():
    embedding = sphere(1, 3, 4, 4).float()
    expected = MeanShift(steps=2)(embedding)[-1]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(MeanShift(steps=2)(embedding)[-1], expected)


# --- convergence -------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 8])
def test_drawn_groups_collapse_into_a_point_each(count):
    points, labels = groups_on_axes(count + 1, each=20, noise=0.1)
    settled = MeanShift(margin=0.5, steps=10).shift(points[None])[-1][0]
    for label in range(count + 1):
        group = settled[labels == label]
        assert (group - group[0]).abs().max() < 1e-6
        assert group[0].argmax() == label
        assert group[0].max() > 0.95


@given(st.integers(0, 2**31 - 1))
@settings(deadline=None, max_examples=10)
def test_every_step_brings_a_group_closer_together(seed):
    """A cap around a direction holds the means of its points, so it can only shrink."""
    group = groups_on_axes(4, each=15, noise=0.15, seed=seed)[0][:15]
    mode = normalize(group.sum(0), dim=0)
    trail = MeanShift(concentration=9.0, steps=6).shift(group[None])
    nearness = [float((points @ mode).min()) for points in (group, *(step[0] for step in trail))]
    assert all(after > before - 1e-12 for before, after in pairwise(nearness))
    assert nearness[-1] > 1 - 1e-3


def test_points_of_one_direction_stay_where_they_are():
    points = sphere(1, 4).expand(9, 4)
    moved = MeanShift(steps=5).shift(points[None])[-1][0]
    torch.testing.assert_close(moved, points)


# --- settings ----------------------------------------------------------------------------------


def test_the_concentration_comes_from_the_margin_unless_given():
    assert float(MeanShift(margin=0.5).concentration) == pytest.approx(36.0)
    assert float(MeanShift(margin=0.7).concentration) == pytest.approx(100.0)
    assert float(MeanShift(concentration=6.0, margin=0.5).concentration) == pytest.approx(6.0)


def test_a_fixed_concentration_is_no_parameter_and_not_saved():
    shift = MeanShift()
    assert list(shift.parameters()) == []
    assert list(shift.state_dict()) == []


def test_a_learnable_concentration_is_saved_and_stays_positive():
    shift = MeanShift(concentration=6.0, learnable=True)
    assert list(shift.state_dict()) == ["log_concentration"]
    with torch.no_grad():
        shift.log_concentration.sub_(100)
    assert shift.concentration > 0


@pytest.mark.parametrize(
    "settings",
    [
        {"concentration": 0.0},
        {"concentration": -1.0},
        {"steps": -1},
        {"eta": 0.0},
        {"eta": 1.1},
        {"kernel_radius": 0.0},
        {"margin": 1.0},
    ],
)
def test_a_setting_out_of_range_is_refused_in_one_line(settings):
    with pytest.raises(CongealError, match="expected") as error:
        MeanShift(**settings)
    assert "\n" not in str(error.value)
