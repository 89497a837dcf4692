from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score
from torch.nn.functional import normalize

from congeal.grouping import MeanShift, assign_to_modes, find_modes


def drawn_groups(sizes, dimensions=16, noise=0.03, seed=0):
    """Points around orthogonal directions, shuffled, with the group of each."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    labels = labels[torch.randperm(len(labels), generator=generator)]
    offset = noise * torch.randn(len(labels), dimensions, generator=generator)
    return normalize(torch.eye(dimensions)[labels] + offset, dim=1), labels


def at(*degrees):
    angle = torch.tensor(degrees, dtype=torch.float64).deg2rad()
    return torch.stack([angle.cos(), angle.sin()], 1)


# --- find --------------------------------------------------------------------------------------


def test_modes_are_found_heaviest_first():
    points, _ = drawn_groups([4, 30, 12])
    modes = find_modes(points, margin=0.5)
    assert modes.argmax(1).tolist() == [1, 2, 0]
    torch.testing.assert_close(modes.norm(dim=1), torch.ones(3))


def test_the_weight_of_the_points_decides_which_mode_is_heaviest():
    points, labels = drawn_groups([4, 30, 12])
    weights = torch.tensor([100.0, 1.0, 1.0])[labels]
    assert find_modes(points, margin=0.5, weights=weights)[0].argmax() == 0


def test_a_mode_is_the_weighted_mean_direction_of_the_points_at_it():
    points, weights = at(0, 5, 40), torch.tensor([3.0, 1.0, 1.0], dtype=torch.float64)
    (mode,) = find_modes(points, margin=0.5, weights=weights)
    expected = (3 * points[0] + points[1]) / (3 * points[0] + points[1]).norm()
    torch.testing.assert_close(mode, expected)


def test_what_settles_between_two_objects_does_not_merge_them():
    """Half way between two directions at 80 degrees it is within 60 of both, but lighter."""
    points = at(*[0] * 20, *[80] * 20, *[40] * 8)
    torch.testing.assert_close(find_modes(points, margin=0.5), at(0, 80))


@pytest.mark.parametrize("margin", [0.1, 0.5, 0.9])
def test_points_nearer_than_midway_between_margin_and_one_are_one_mode(margin):
    """A calibrated cosine of (1 + alpha) / 2 is a plain cosine of alpha."""
    limit = math.degrees(math.acos(2 * (1 + margin) / 2 - 1))
    assert len(find_modes(at(0, limit - 0.5), margin=margin)) == 1
    assert len(find_modes(at(0, limit + 0.5), margin=margin)) == 2


def test_modes_under_the_smallest_mass_are_left_out():
    points, _ = drawn_groups([4, 30, 12])
    counts = [len(find_modes(points, margin=0.5, min_mass=s)) for s in (4, 4.5, 12.5, 31)]
    assert counts == [3, 2, 1, 0]


def test_no_points_have_no_modes():
    assert find_modes(torch.zeros(0, 3), margin=0.5).shape == (0, 3)


@pytest.mark.parametrize("margin", [0.0, 0.5])
def test_zero_vectors_and_opposite_vectors_are_modes_that_end_the_search(margin):
    points = torch.tensor([[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [0.0, 0.0]])
    modes = find_modes(points, margin=margin)
    assert modes.isfinite().all()
    assert {(1.0, 0.0), (-1.0, 0.0)} <= {tuple(mode) for mode in modes.tolist()}


def test_points_that_are_not_numbers_end_the_search():
    assert len(find_modes(torch.full((3, 2), torch.nan), margin=0.5)) <= 3


def test_points_of_no_weight_end_the_search():
    assert find_modes(at(0, 90), margin=0.5, weights=torch.zeros(2).double()).isfinite().all()


# --- assign ------------------------------------------------------------------------------------


def test_each_point_goes_to_the_mode_at_the_smallest_angle():
    assert assign_to_modes(at(5, 44, 46, 100, 300), at(0, 90)).tolist() == [0, 0, 1, 1, 0]


@given(st.integers(1, 6), st.integers(1, 30), st.integers(0, 2**31 - 1))
@settings(deadline=None, max_examples=20)
def test_assignment_is_the_nearest_by_distance(count, points, seed):
    rng = np.random.default_rng(seed)
    x, modes = (
        normalize(torch.from_numpy(rng.normal(size=(n, 4))), dim=1) for n in (points, count)
    )
    expected = torch.cdist(x, modes).argmin(1)
    assert torch.equal(assign_to_modes(x, modes), expected)


@given(st.lists(st.integers(3, 20), min_size=1, max_size=12), st.integers(0, 2**31 - 1))
@settings(deadline=None, max_examples=20)
def test_drawn_groups_are_found_and_their_points_assigned(sizes, seed):
    points, labels = drawn_groups(sizes, seed=seed)
    modes = find_modes(MeanShift(margin=0.5, steps=30).shift(points[None])[-1][0], margin=0.5)
    assert len(modes) == len(sizes)
    assert torch.equal(modes.argmax(1)[assign_to_modes(points, modes)], labels)


def pick_one_by_one(points, mass, margin, smallest):
    """The definition written out: masses counted anew for each mode."""
    left, modes = list(range(len(points))), []
    cosine = (points @ points.T).fill_diagonal_(1.0)
    lean = [
        sum(mass[j] * cosine[i, j] for j in left if j == i or cosine[i, j] > margin) for i in left
    ]
    while left:
        around = {
            i: sum(mass[j] for j in left if j == i or cosine[i, j] > math.cos((1 - margin) / 3))
            for i in left
        }
        heaviest = max(left, key=lambda i: (around[i], lean[i]))
        gone = [j for j in left if j == heaviest or cosine[heaviest, j] > margin]
        if sum(mass[j] for j in gone) < smallest:
            break
        close = [
            j for j in gone if j == heaviest or cosine[heaviest, j] > math.cos((1 - margin) / 3)
        ]
        modes.append(normalize(sum(mass[j] * points[j] for j in close), dim=0))
        left = [j for j in left if j not in gone]
    return torch.stack(modes) if modes else points[:0]


@given(
    count=st.integers(1, 24),
    dimensions=st.sampled_from([2, 3, 8]),  # from crowded to mostly alone
    smallest=st.sampled_from([0.0, 3.0]),
    seed=st.integers(0, 999),
)
@settings(deadline=None)
def test_modes_are_picked_as_by_the_definition(count, dimensions, smallest, seed):
    generator = torch.Generator().manual_seed(seed)
    points = normalize(torch.randn(count, dimensions, generator=generator).double(), dim=1)
    points = torch.cat([points, normalize(points[::2] + 0.05, dim=1)])
    mass = torch.randint(1, 5, (len(points),), generator=generator).double()  # sums are exact
    found = find_modes(points, margin=0.5, weights=mass, min_mass=smallest)
    torch.testing.assert_close(found, pick_one_by_one(points, mass.tolist(), 0.5, smallest))


@given(count=st.integers(2, 24), seed=st.integers(0, 999))
@settings(deadline=None)
def test_the_order_of_points_does_not_matter_though_many_weigh_the_same(count, seed):
    generator = torch.Generator().manual_seed(seed)
    points = normalize(torch.randn(count, 3, generator=generator).double(), dim=1)
    points = torch.cat([points, normalize(points[::2] + 0.05, dim=1)])
    mass = torch.randint(1, 3, (len(points),), generator=generator).double()
    order = torch.randperm(len(points), generator=generator)
    found = assign_to_modes(points, find_modes(points, margin=0.5, weights=mass))
    modes = find_modes(points[order], margin=0.5, weights=mass[order])
    shuffled = assign_to_modes(points, modes)
    assert adjusted_rand_score(found, shuffled) == 1
