"""Flat-kernel mean shift against a loop that keeps all pixels, in float64."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from congeal.errors import CongealError
from congeal.grouping import FlatMeanShift
from congeal.grouping.groups import Grouping


def noise(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def slow_instances(points, bandwidth, threshold=None, weights=None):
    """``(N,)`` instances of ``(N, D)`` points, the first pixel left being taken each time."""
    weights = torch.ones(len(points), dtype=torch.float64) if weights is None else weights
    labels = torch.zeros(len(points), dtype=torch.int64)
    while (labels == 0).any():
        left = labels == 0
        seed = int(left.nonzero()[0])
        centre, before = points[seed], None
        while True:
            inside = left & ((points - centre).norm(dim=1) <= bandwidth)
            if before is not None and torch.equal(inside, before):
                break
            before = inside
            mass = weights[inside]
            centre = (mass[:, None] * points[inside]).sum(0) / mass.sum()
        members = left & ((points - centre).norm(dim=1) <= (threshold or bandwidth))
        if not members.any():
            members[seed] = True
        labels[members] = int(labels.max()) + 1
    return labels


def assert_same_parts(labels, expected):
    """Equal but for the numbers of the groups; 0 is no group."""
    assert torch.equal(labels > 0, expected > 0)
    inside = labels > 0
    pairs = set(zip(labels[inside].tolist(), expected[inside].tolist(), strict=True))
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


def drawn(sizes, dimensions=4, spread=0.1, apart=3.0, seed=0):
    """``(D, N)`` points about corners of a grid, shuffled, and the group of each."""
    labels = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    labels = labels[order]
    side = math.ceil(len(sizes) ** (1 / dimensions) - 1e-9)
    corner = torch.stack([labels // side**axis % side for axis in range(dimensions)])
    offset = (spread * noise(dimensions, len(labels), seed=seed)).clamp(-0.2, 0.2)
    return apart * corner + offset, labels + 1


# --- against the loop --------------------------------------------------------------------------


@given(st.integers(0, 2**31 - 1), st.integers(1, 4), st.sampled_from([0.2, 0.6, 1.5]))
@settings(deadline=None, max_examples=40)
def test_instances_of_any_cloud_are_those_of_the_loop(seed, dimensions, bandwidth):
    points = noise(60, dimensions, seed=seed)
    groups = FlatMeanShift(bandwidth, order="first").group(points.T)
    assert_same_parts(groups.labels, slow_instances(points, bandwidth))


@pytest.mark.parametrize("threshold", [0.1, 0.5, 1.2])
def test_the_threshold_says_what_belongs_to_a_centre(threshold):
    points = noise(80, 2)
    groups = FlatMeanShift(0.5, threshold, order="first").group(points.T)
    assert_same_parts(groups.labels, slow_instances(points, 0.5, threshold))


@pytest.mark.parametrize("far", [0.0, 1000.0])
def test_a_centre_that_travels_far_is_followed(far):
    """The density rises all along the line, so the shift goes many bandwidths."""
    points = far + 10 * torch.linspace(0, 1, 3000, dtype=torch.float64).sqrt()[:, None]
    groups = FlatMeanShift(0.5, order="first", steps=10_000).group(points.T)
    expected = slow_instances(points, 0.5)
    assert_same_parts(groups.labels, expected)
    assert abs(points[0] - points[expected == 1].mean()) > 3  # else nothing was tested


def test_weights_pull_the_means():
    points, weights = noise(60, 2), noise(60, seed=1).abs() + 0.01
    groups = FlatMeanShift(0.7, order="first").group(points.T, weights=weights)
    assert_same_parts(groups.labels, slow_instances(points, 0.7, weights=weights))
    for k, prototype in enumerate(groups.prototypes, 1):
        inside = groups.mask(k)
        mean = (weights[inside, None] * points[inside]).sum(0) / weights[inside].sum()
        torch.testing.assert_close(prototype, mean)


def test_the_mask_leaves_pixels_out():
    points, mask = noise(60, 2), torch.arange(60) % 3 > 0
    groups = FlatMeanShift(0.7, order="first").group(points.T, mask)
    assert not groups.labels[~mask].any()
    assert_same_parts(groups.labels[mask], slow_instances(points[mask], 0.7))


# --- orders ------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["largest", "first", "random"])
def test_separate_instances_are_found_in_any_order(order):
    embedding, labels = drawn([3000, 40, 1, 500, 7])
    groups = FlatMeanShift(0.5, order=order).group(embedding)
    assert_same_parts(groups.labels, labels)
    assert groups.areas.tolist() == [3000, 500, 40, 7, 1]


def test_the_largest_order_starts_where_most_others_are():
    """The first pixel lies between two clumps; taken first, it takes from the lighter one."""
    points = torch.tensor([0.45, *[0.0] * 3, *[0.9] * 9], dtype=torch.float64)[None]
    first, largest = (
        FlatMeanShift(0.5, order=order, threshold=0.5).group(points)
        for order in ("first", "largest")
    )
    assert len(first) <= 2
    assert largest.labels.tolist() == [1, 2, 2, 2] + [1] * 9


def test_a_seed_gives_the_same_random_order_every_time():
    points = noise(300, 2)
    first, again = (FlatMeanShift(0.5, order="random", seed=3).group(points.T) for _ in range(2))
    assert torch.equal(first.labels, again.labels)
    others = [FlatMeanShift(0.5, order="random", seed=s).group(points.T) for s in range(5)]
    assert any(not torch.equal(first.labels, other.labels) for other in others)


@pytest.mark.parametrize("order", ["largest", "first", "random"])
def test_a_thousand_instances_are_found(order):
    embedding, labels = drawn([4] * 1000, dimensions=3)
    groups = FlatMeanShift(0.5, order=order).group(embedding)
    assert len(groups) == 1000
    assert_same_parts(groups.labels, labels)


def test_the_search_ends_after_so_many_instances():
    embedding, _ = drawn([50, 40, 30, 20])
    groups = FlatMeanShift(0.5, max_instances=2).group(embedding)
    assert groups.areas.tolist() == [50, 40]


def test_small_instances_are_dropped():
    embedding, labels = drawn([50, 4, 5])
    groups = FlatMeanShift(0.5, min_area=5).group(embedding)
    assert groups.areas.tolist() == [50, 5]
    assert not groups.labels[labels == 2].any()


# --- classes -----------------------------------------------------------------------------------


def test_each_class_is_grouped_on_its_own():
    embedding, labels = drawn([30, 20])
    classes = torch.where(torch.arange(50) % 2 == 0, 7, 4)
    classes[:6] = 0
    classes[6:9] = -1
    groups = FlatMeanShift(0.5).group(embedding, classes=classes)
    expected = torch.where(classes > 0, labels * 10 + classes, 0)
    assert_same_parts(groups.labels, expected)
    assert len(groups) == 4
    for k, kind in enumerate(groups.classes.tolist(), 1):
        assert (classes[groups.mask(k)] == kind).all()


def test_no_class_gives_no_groups():
    groups = FlatMeanShift().group(noise(2, 9), classes=torch.zeros(9, dtype=torch.int64))
    assert len(groups) == 0
    assert groups.classes.shape == (0,)
    assert groups.classes.dtype == torch.int64


# --- properties --------------------------------------------------------------------------------


@given(st.integers(0, 2**31 - 1))
@settings(deadline=None, max_examples=20)
def test_turning_and_moving_the_embedding_space_changes_nothing(seed):
    points = noise(50, 3, seed=seed)
    rotation = torch.linalg.qr(noise(3, 3, seed=seed + 1)).Q
    for order in ("first", "largest"):
        shift = FlatMeanShift(0.8, order=order)
        moved = shift.group((points @ rotation + 5).T)
        assert torch.equal(moved.labels, shift.group(points.T).labels)


@given(st.integers(0, 2**31 - 1))
@settings(deadline=None, max_examples=20)
def test_the_order_of_the_pixels_of_separate_instances_does_not_matter(seed):
    embedding, _ = drawn([20, 5, 9])
    shuffle = torch.randperm(34, generator=torch.Generator().manual_seed(seed))
    groups = FlatMeanShift(0.5).group(embedding)
    assert torch.equal(
        FlatMeanShift(0.5).group(embedding[:, shuffle]).labels, groups.labels[shuffle]
    )


@pytest.mark.parametrize("size", [(24,), (4, 6), (2, 3, 4)])
def test_any_number_of_dimensions_is_taken(size):
    embedding, labels = drawn([10, 8, 6])
    groups = FlatMeanShift(0.5).group(embedding.reshape(-1, *size))
    assert_same_parts(groups.labels, labels.reshape(size))


def test_single_precision_far_from_the_origin_loses_no_pixel():
    embedding, labels = drawn([300, 200, 100])
    groups = FlatMeanShift(0.5).group((embedding + 500).float())
    assert_same_parts(groups.labels, labels)


# --- odd input ---------------------------------------------------------------------------------


def test_an_empty_mask_gives_no_groups():
    groups = FlatMeanShift().group(noise(2, 4, 4), torch.zeros(4, 4, dtype=torch.bool))
    assert len(groups) == 0
    assert groups.prototypes.shape == (0, 2)
    assert not groups.labels.any()


@pytest.mark.parametrize("order", ["largest", "first", "random"])
def test_one_pixel_is_one_instance(order):
    groups = FlatMeanShift(order=order).group(torch.tensor([[[3.0]], [[4.0]]]))
    assert groups.labels.tolist() == [[1]]
    assert groups.prototypes.tolist() == [[3.0, 4.0]]


def test_pixels_without_mass_are_instances_too():
    groups = FlatMeanShift(0.5).group(torch.tensor([[0.0, 0.1, 9.0]]), weights=torch.zeros(3))
    assert groups.labels.tolist() == [1, 1, 2]
    assert torch.isfinite(groups.prototypes).all()


def test_a_batch_gives_groups_for_each_image():
    embedding = noise(2, 2, 30)
    shift = FlatMeanShift(0.5)
    for one, groups in zip(embedding, shift(embedding), strict=True):
        assert torch.equal(groups.labels, shift.group(one).labels)


def test_it_is_a_grouping():
    assert isinstance(FlatMeanShift(), Grouping)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bandwidth": 0.0}, "expected bandwidth > 0, got 0.0"),
        ({"threshold": -1.0}, "expected threshold > 0, got -1.0"),
        ({"bandwidth": math.nan}, "expected bandwidth > 0, got nan"),
        ({"order": "larges"}, "unknown order 'larges'; did you mean 'largest'"),
        ({"max_instances": 0}, "expected steps and max_instances >= 1"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(CongealError, match=message):
        FlatMeanShift(**settings)


def test_what_is_no_embedding_is_refused_in_one_line():
    for arguments in (
        {"embedding": torch.tensor([[0.0, torch.nan]])},
        {"embedding": torch.ones(2, 3), "weights": torch.tensor([1.0, 1.0, -1.0])},
        {"embedding": torch.ones(2, 3), "classes": torch.ones(4, dtype=torch.int64)},
    ):
        with pytest.raises(CongealError, match="expected") as error:
            FlatMeanShift().group(**arguments)
        assert "\n" not in str(error.value)
