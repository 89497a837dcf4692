"""The stratified window against its definition point by point, and pairs drawn at random."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from congeal.errors import CongealError
from congeal.losses.window_pairs import random_pairs, window_offsets, window_pair_cost


def in_window(step, centre, dilation):
    """Whether a partner lies this far away, in either direction."""
    near = sum(abs(d) for d in step) < centre
    on_grid = all(d % dilation == 0 for d in step)
    on_axis = sum(d != 0 for d in step) == 1
    return any(step) and (near or on_grid or on_axis)


def naive_cost(values, labels, offsets, margin, theta, weight=1.0):
    """Mean over the pairs of one image ``(*S)`` by a loop over pixels, in float64."""
    costs = []
    for place in product(*map(range, values.shape)):
        for step in offsets:
            other = tuple(p + d for p, d in zip(place, step, strict=True))
            if any(not 0 <= o < side for o, side in zip(other, values.shape, strict=True)):
                continue
            one, two = int(labels[place]), int(labels[other])
            if one <= 0 or two <= 0:
                continue
            gap = abs(float(values[place]) - float(values[other]))
            v = gap if one == two else max(margin - gap, 0.0)
            loss = v * v / (2 * theta) if v < theta else v - theta / 2
            costs.append(loss if one == two else weight * loss)
    return sum(costs) / len(costs) if costs else 0.0


def drawn(seed=0, size=(6, 7), objects=3, batch=2):
    generator = torch.Generator().manual_seed(seed)
    values = 2 * torch.rand(batch, *size, generator=generator, dtype=torch.float64)
    return values, torch.randint(-1, objects + 1, (batch, *size), generator=generator)


# --- the window --------------------------------------------------------------------------------


def test_the_window_of_the_paper_has_298_offsets():
    assert len(window_offsets(2, window=129, centre=8, dilation=8)) == 298
    assert window_offsets() == window_offsets(2, window=129, centre=8, dilation=8)


def test_the_offsets_of_the_paper_are_56_near_144_on_the_grid_and_98_more_on_the_axes():
    offsets = window_offsets()
    near = {step for step in offsets if sum(map(abs, step)) < 8}
    grid = {step for step in offsets if all(d % 8 == 0 for d in step)}
    assert (len(near), len(grid), len(near & grid)) == (56, 144, 0)
    assert all(0 in step for step in set(offsets) - near - grid)


@pytest.mark.parametrize(
    ("dimensions", "window", "centre", "dilation"),
    [(1, 9, 3, 2), (2, 13, 3, 2), (2, 9, 0, 4), (2, 5, 9, 1), (2, 7, 2, 5), (3, 5, 2, 2)],
)
def test_every_partner_in_the_window_comes_exactly_once(dimensions, window, centre, dilation):
    settings = {"window": window, "centre": centre, "dilation": dilation}
    offsets = window_offsets(dimensions, **settings)
    both = [*offsets, *(tuple(-d for d in step) for step in offsets)]
    assert len(set(both)) == len(both)
    reach = range(-(window // 2), window // 2 + 1)
    steps = product(reach, repeat=dimensions)
    assert set(both) == {step for step in steps if in_window(step, centre, dilation)}


def test_a_dilation_of_one_takes_every_pixel_of_the_window():
    assert len(window_offsets(2, window=7, centre=1, dilation=1)) == (7 * 7 - 1) // 2


def test_a_window_of_one_pixel_has_no_pairs():
    assert window_offsets(2, window=1) == ()


@pytest.mark.parametrize(
    "wrong", [{"window": 8}, {"window": 0}, {"centre": -1}, {"dilation": 0}, {"dimensions": 0}]
)
def test_windows_that_cannot_be_are_refused_in_one_line(wrong):
    with pytest.raises(CongealError, match="an odd window") as error:
        window_offsets(**wrong)
    assert "\n" not in str(error.value)


# --- the cost of its pairs ---------------------------------------------------------------------


@pytest.mark.parametrize("size", [(11,), (6, 7), (3, 4, 3), (1, 5)])
@pytest.mark.parametrize("weight", [1.0, 3.0])
def test_the_cost_is_the_mean_over_the_pairs_one_by_one(size, weight):
    values, labels = drawn(size=size)
    window = {"window": 7, "centre": 2, "dilation": 2}
    offsets = window_offsets(len(size), **window)
    cost = window_pair_cost(values, labels, **window, different_weight=weight)
    expected = [
        naive_cost(*one, offsets, 1.0, 0.1, weight) for one in zip(values, labels, strict=True)
    ]
    torch.testing.assert_close(cost, torch.tensor(expected, dtype=torch.float64))


def test_offsets_longer_than_the_image_are_left_out():
    values, labels = drawn(size=(3, 4))
    near, far = (window_pair_cost(values, labels, window=w, dilation=1) for w in (7, 41))
    torch.testing.assert_close(near, far)


@pytest.mark.parametrize("size", [(5, 4), (2, 3, 3)])
def test_the_gradient_gathered_on_the_way_agrees_with_finite_differences(size):
    values, labels = drawn(seed=1, size=size)
    how = {"window": 5, "centre": 2, "dilation": 2, "margin": 0.7, "theta": 0.2}

    def cost(x):
        return window_pair_cost(x, labels, different_weight=2.0, **how)

    assert torch.autograd.gradcheck(cost, values.requires_grad_())


def test_the_operator_keeps_the_rules_of_operators():
    values, labels = drawn()
    torch.library.opcheck(
        torch.ops.congeal.window_pair_cost.default,
        (values.requires_grad_(), labels, 3, 2, 1, 1.0, 0.1, 1.0),
        test_utils=("test_schema", "test_autograd_registration", "test_faketensor"),
    )


def test_an_image_without_a_pair_costs_nothing():
    values, labels = drawn()
    labels = labels.clamp(max=0)
    labels[0, 2, 2] = 1
    values.requires_grad_()
    cost = window_pair_cost(values, labels, window=5)
    cost.sum().backward()
    assert cost.tolist() == [0.0, 0.0]
    assert values.grad.eq(0).all()


# --- random pairs ------------------------------------------------------------------------------


@given(st.integers(0, 2**31 - 1), st.integers(0, 40))
@settings(deadline=None, max_examples=25)
def test_random_pairs_join_two_foreground_pixels(seed, count):
    _, labels = drawn(seed=seed % 1000, size=(4, 4))
    first, second = random_pairs(labels[0], count, torch.Generator().manual_seed(seed))
    flat = labels[0].flatten()
    assert len(first) == len(second) == (count if (flat > 0).sum() > 1 else 0)
    assert (flat[first] > 0).all()
    assert (flat[second] > 0).all()
    assert (first != second).all()


def test_all_pairs_are_equally_likely():
    labels = torch.tensor([[1, 0, 2], [2, -1, 1]])
    first, second = random_pairs(labels, 60_000, torch.Generator().manual_seed(0))
    pairs, counts = torch.unique(first * 6 + second, return_counts=True)
    assert pairs.tolist() == sorted(6 * a + b for a, b in product((0, 2, 3, 5), repeat=2) if a != b)
    assert (counts - 5000).abs().max() < 5 * 5000**0.5


def test_the_same_generator_draws_the_same_pairs():
    _, labels = drawn()
    draws = [random_pairs(labels[0], 9, torch.Generator().manual_seed(3)) for _ in range(2)]
    assert torch.equal(draws[0][0], draws[1][0])
    assert torch.equal(draws[0][1], draws[1][1])


def test_a_negative_count_is_refused():
    with pytest.raises(CongealError, match="at least 0, got -1"):
        random_pairs(torch.ones(2, 2, dtype=torch.int64), -1)


# --- several numbers per pixel, and a repulsion radius --------------------------------------------


def naive_vector_cost(values, labels, offsets, radius):
    """As naive_cost, of ``(C, *S)`` values; far pairs of two objects are left out."""
    costs = []
    for place in product(*map(range, labels.shape)):
        for step in offsets:
            other = tuple(p + d for p, d in zip(place, step, strict=True))
            if any(not 0 <= o < side for o, side in zip(other, labels.shape, strict=True)):
                continue
            one, two = int(labels[place]), int(labels[other])
            far = sum(d * d for d in step) > radius**2
            if one <= 0 or two <= 0 or (one != two and far):
                continue
            gap = float((values[:, *place] - values[:, *other]).norm())
            v = gap if one == two else max(1 - gap, 0.0)
            costs.append(v * v / 0.2 if v < 0.1 else v - 0.05)
    return sum(costs) / len(costs) if costs else 0.0


@pytest.mark.parametrize("radius", [1.5, 3.0, 100.0])
def test_vectors_and_the_radius_follow_their_definition(radius):
    values, labels = drawn(batch=2)
    several = torch.stack([values, values.flip(2)], 1).requires_grad_()
    window = {"window": 7, "centre": 3, "dilation": 2}
    found = window_pair_cost(several, labels, **window, repulsion_radius=radius)
    for one, its_labels, its_cost in zip(several.detach(), labels, found.detach(), strict=True):
        expected = naive_vector_cost(one, its_labels, window_offsets(2, **window), radius)
        assert float(its_cost) == pytest.approx(expected)
    assert torch.autograd.gradcheck(
        lambda v: window_pair_cost(v, labels, **window, repulsion_radius=radius), several
    )


def test_one_channel_is_the_scalar_case():
    values, labels = drawn()
    one, several = window_pair_cost(values, labels), window_pair_cost(values[:, None], labels)
    assert torch.allclose(one, several)
