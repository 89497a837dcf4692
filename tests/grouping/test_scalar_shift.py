"""One-dimensional mean shift against the shift of every point on its own, in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from cases.scalar_cases import mixture
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import MeanShift as ReferenceMeanShift
from sklearn.metrics import adjusted_rand_score

from congeal.errors import CongealError
from congeal.grouping import ScalarMeanShift, scalar_mean_shift

few = settings(deadline=None, max_examples=25)


def naive_shift(values, bandwidth, weights=None):
    """Follow each point to rest through the distances to all others: O(N^2) per step."""
    points = np.asarray(values, np.float64)
    mass = np.ones_like(points) if weights is None else np.asarray(weights, np.float64)
    rest = []
    for place in points:
        while True:
            near = (points >= place - bandwidth) & (points <= place + bandwidth)
            if mass[near].sum() == 0:
                break
            mean = (mass[near] * points[near]).sum() / mass[near].sum()
            if mean == place:
                break
            place = mean
        rest.append(place)
    return np.array(rest)


def naive_labels(values, bandwidth):
    """Resting places to modes, the one with the most points around it first; -> 0..K-1."""
    values = np.asarray(values, np.float64)
    rest = naive_shift(values, bandwidth)
    left = sorted(set(rest), key=lambda r: (-(np.abs(values - r) <= bandwidth).sum(), r))
    modes = []
    while left:
        modes.append(left[0])
        left = [r for r in left if not abs(r - modes[-1]) <= bandwidth]
    modes = np.array(sorted(modes))
    return np.abs(rest[:, None] - modes).argmin(1), modes


def same_partition(one, other):
    pairs = set(zip(np.ravel(one).tolist(), np.ravel(other).tolist(), strict=True))
    return len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


# --- the shift ---------------------------------------------------------------------------------


@pytest.mark.parametrize("bandwidth", [0.05, 0.4, 0.9, 5.0])
@pytest.mark.parametrize("spread", [0.05, 0.3, 1.0])
def test_every_value_rests_where_the_naive_shift_takes_it(bandwidth, spread):
    """float32 values add up without rounding in float64, so that even the last bit agrees."""
    values, _ = mixture(spread=spread)
    ours = scalar_mean_shift(values, bandwidth).numpy()
    assert np.array_equal(ours, naive_shift(values, bandwidth))


@given(
    st.lists(st.integers(-64, 64), min_size=1, max_size=60),
    st.sampled_from([0.01, 0.125, 0.5, 1.0, 3.0]),
)
@few
def test_ties_at_the_edge_of_the_window_are_inside(numbers, bandwidth):
    values = torch.tensor(numbers, dtype=torch.float64) / 8
    assert np.array_equal(scalar_mean_shift(values, bandwidth), naive_shift(values, bandwidth))


@given(st.integers(0, 2**31 - 1), st.integers(1, 80), st.floats(0.01, 3))
@few
def test_values_of_any_density_rest_where_the_naive_shift_takes_them(seed, count, bandwidth):
    values = 5 * torch.rand(count, generator=torch.Generator().manual_seed(seed))
    assert np.array_equal(scalar_mean_shift(values, bandwidth), naive_shift(values, bandwidth))


def test_more_values_than_the_coarsest_stride_rest_where_each_would_alone():
    """All values are followed one by one here, so nothing rests on what lies between."""
    generator = torch.Generator().manual_seed(0)
    values = 6 * torch.rand(9000, generator=generator)
    ours = scalar_mean_shift(values, 0.4).numpy()
    chosen = torch.randperm(9000, generator=generator)[:150].numpy()
    everything = values.double().numpy()
    for i in chosen:
        place, last = everything[i], None
        while place != last:
            last, place = place, everything[np.abs(everything - place) <= 0.4].mean()
        assert ours[i] == pytest.approx(place, abs=1e-12)


def test_the_order_of_the_values_is_kept():
    values, _ = mixture(spread=0.6, count=3000)
    rest = scalar_mean_shift(values, 0.3)[values.argsort()]
    assert (rest.diff() >= 0).all()


def test_every_resting_place_is_the_mean_of_its_window():
    values, _ = mixture(spread=0.6, count=3000)
    for place in scalar_mean_shift(values, 0.3).unique():
        near = (values.double() - place).abs() <= 0.3
        assert float(values.double()[near].mean()) == pytest.approx(float(place), abs=1e-12)


@given(st.integers(0, 10**6), st.floats(0.05, 2))
@few
def test_weights_count_like_repeated_values(seed, bandwidth):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randint(0, 40, (30,), generator=generator) / 8
    weights = torch.randint(0, 4, (30,), generator=generator)
    heavy = scalar_mean_shift(values, bandwidth, weights.float())
    assert np.array_equal(heavy, naive_shift(values, bandwidth, weights))
    repeated = scalar_mean_shift(values.repeat_interleave(weights), bandwidth)
    assert torch.equal(heavy[weights > 0].repeat_interleave(weights[weights > 0]), repeated)


def test_no_values_stay_no_values():
    assert scalar_mean_shift(torch.zeros(0), 1.0).tolist() == []


@pytest.mark.parametrize("bandwidth", [0.0, -1.0, float("nan")])
def test_a_bandwidth_that_is_not_positive_is_refused(bandwidth):
    with pytest.raises(CongealError, match="above 0"):
        scalar_mean_shift(torch.ones(2), bandwidth)


# --- groups ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("spread", [0.1, 0.5])
@pytest.mark.parametrize("bandwidth", [0.4, 0.9])
def test_groups_are_the_basins_of_the_merged_modes(seed, spread, bandwidth):
    values, _ = mixture(seed, spread=spread)
    values = values.clamp_min(0.5)
    groups = ScalarMeanShift((bandwidth,)).group(values.reshape(1, 10, 20))
    labels, modes = naive_labels(values, bandwidth)
    assert same_partition(groups.labels, labels)
    assert sorted(groups.prototypes[:, 0].tolist()) == pytest.approx(modes.tolist(), abs=1e-6)


@pytest.mark.parametrize("bandwidth", [0.4, 0.9])
def test_modes_and_labels_are_those_of_scikit_learn_where_groups_are_apart(bandwidth):
    values, truth = mixture(1, count=200, centres=(2.0, 4.0, 6.1, 8.3), spread=0.12)
    reference = ReferenceMeanShift(bandwidth=bandwidth, bin_seeding=False)
    reference.fit(values.double().numpy()[:, None])
    groups = ScalarMeanShift((bandwidth,)).group(values[None])
    ours = np.sort(groups.prototypes[:, 0].numpy())
    assert np.allclose(ours, np.sort(reference.cluster_centers_[:, 0]), atol=1e-3 * bandwidth)
    assert same_partition(groups.labels, reference.labels_)
    assert same_partition(groups.labels, truth)


def test_labels_agree_with_scikit_learn_on_all_but_the_edges_where_groups_meet():
    values, _ = mixture(2, count=250, spread=0.2)
    reference = ReferenceMeanShift(bandwidth=0.5).fit(values.double().numpy()[:, None])
    groups = ScalarMeanShift((0.5,), foreground_threshold=-9).group(values[None])
    assert len(groups) == len(reference.cluster_centers_)
    assert adjusted_rand_score(reference.labels_, groups.labels) > 0.9


def test_a_piecewise_constant_map_comes_back_with_full_score():
    truth = torch.tensor([[0, 1, 1, 2], [0, 3, 3, 3], [0, 0, 2, 2]])
    groups = ScalarMeanShift().group(torch.tensor([0.0, 2.0, 3.0, 5.0])[truth][None])
    assert same_partition(groups.layers[0], truth)
    assert groups.scores.tolist() == [1, 1, 1]
    assert sorted(groups.prototypes[:, 0].tolist()) == [2, 3, 5]
    assert groups.areas.tolist() == [3, 3, 2]


def test_background_lies_below_its_threshold():
    values = torch.tensor([[[-1.0, 0.0, 0.49, 0.5, 0.51]]])
    assert ScalarMeanShift().group(values).layers[0].tolist() == [[0, 0, 0, 1, 1]]
    assert (
        ScalarMeanShift(foreground_threshold=-9, bandwidths=(9,)).group(values).labels == 1
    ).all()


def test_masked_pixels_take_no_part():
    values, _ = mixture(3)
    mask = torch.arange(200) < 120
    ours = ScalarMeanShift().group(values[None], mask)
    alone = ScalarMeanShift().group(values[None, :120])
    assert torch.equal(ours.layers[:, :120], alone.layers)
    assert (ours.layers[:, 120:] == 0).all()
    assert torch.equal(ours.prototypes, alone.prototypes)


@pytest.mark.parametrize("bins", [None, 50])
@pytest.mark.parametrize("connected", [False, True])
@pytest.mark.parametrize("size", [(4, 5), (2, 3, 4), (7,)])
def test_without_pixels_there_are_no_groups(size, connected, bins):
    grouping = ScalarMeanShift(split_components=connected, bins=bins)
    for groups in (
        grouping.group(torch.zeros(1, *size)),
        grouping.group(torch.ones(1, *size), torch.zeros(size, dtype=torch.bool)),
        grouping.group(torch.ones(1, *size), weights=torch.zeros(size)),
    ):
        assert len(groups) == 0
        assert groups.prototypes.shape == (0, 1)
        assert groups.layers.shape == (2, *size)
        assert not groups.labels.any()


@pytest.mark.parametrize("connected", [False, True])
@pytest.mark.parametrize("bins", [None, 64])
def test_volumes_are_grouped_like_images(connected, bins):
    truth = torch.zeros(4, 5, 6, dtype=torch.int64)
    truth[0:2, :3], truth[3, 2:], truth[1:3, 4] = 1, 2, 3
    values = torch.tensor([0.0, 2.0, 3.0, 4.0])[truth]
    groups = ScalarMeanShift(split_components=connected, bins=bins).group(values[None])
    assert same_partition(groups.labels, truth)


def test_weights_decide_where_the_mode_lies():
    values = torch.tensor([[[2.0, 2.3]]])
    groups = ScalarMeanShift((0.9,)).group(values, weights=torch.tensor([[3.0, 1.0]]))
    assert float(groups.prototypes) == pytest.approx(2.075)


def test_pixels_without_mass_join_the_nearest_mode_and_make_none():
    values = torch.tensor([[[2.0, 2.0, 4.0]]])
    groups = ScalarMeanShift((0.4,)).group(values, weights=torch.tensor([[1.0, 1.0, 0.0]]))
    assert groups.labels.tolist() == [[1, 1, 1]]
    assert groups.prototypes.tolist() == [[2.0]]


# --- several bandwidths ------------------------------------------------------------------------


def test_each_bandwidth_gives_a_layer_and_groups_are_numbered_over_all():
    values = torch.tensor([[[2.0] * 3 + [2.8] * 2 + [6.0]]])
    groups = ScalarMeanShift((0.9, 0.4)).group(values)
    assert groups.layers.tolist() == [[[1, 1, 1, 1, 1, 4]], [[2, 2, 2, 3, 3, 0]]]
    assert groups.areas.tolist() == [5, 3, 2, 1]
    assert groups.prototypes[:, 0].tolist() == pytest.approx([2.32, 2.0, 2.8, 6.0])
    assert groups.labels.tolist() == [[2, 2, 2, 3, 3, 4]]


def test_the_score_is_one_less_the_mean_deviation_in_bandwidths():
    values = torch.tensor([[[2.0, 2.0, 2.6]]])
    groups = ScalarMeanShift((0.8,)).group(values)
    assert float(groups.scores) == pytest.approx(1 - (0.2 + 0.2 + 0.4) / 3 / 0.8)


@pytest.mark.parametrize(("overlap", "count"), [(0.9, 2), (1.0, 3), (0.95, 3)])
def test_groups_that_another_layer_nearly_holds_are_left_out(overlap, count):
    """Of 20 pixels around 2, the narrow kernel loses two: their overlap is .9."""
    values = torch.tensor([2.0] * 18 + [2.6] * 2)[None]
    groups = ScalarMeanShift((0.9, 0.4), duplicate_iou=overlap).group(values)
    assert len(groups) == count


def test_the_same_bandwidth_twice_gives_nothing_new():
    values, _ = mixture(4, spread=0.4)
    one, two = (ScalarMeanShift(h).group(values[None]) for h in ((0.4,), (0.4, 0.4)))
    assert torch.equal(two.layers[0], one.layers[0])
    assert not two.layers[1].any()
    assert torch.equal(two.scores, one.scores)


@given(st.integers(0, 10**6), st.booleans(), st.sampled_from([1, 3]))
@few
def test_pooled_groups_are_numbered_without_gaps_from_the_largest(seed, connected, smallest):
    values = 4 * torch.rand(1, 6, 7, generator=torch.Generator().manual_seed(seed))
    grouping = ScalarMeanShift((0.9, 0.4, 0.1), split_components=connected, min_area=smallest)
    groups = grouping.group(values)
    numbers = groups.layers[groups.layers > 0].unique()  # there need be no pixel without a group
    assert numbers.tolist() == list(range(1, len(groups) + 1))
    assert (groups.areas.diff() <= 0).all()
    assert groups.areas.min() >= smallest
    assert ((groups.scores >= 0) & (groups.scores <= 1)).all()
    masks = [groups.mask(k) for k in range(1, len(groups) + 1)]
    for i, one in enumerate(masks):
        for other in masks[:i]:
            assert (one & other).sum() < 0.9 * (one | other).sum()
    assert not groups.layers[:, values[0] < 0.5].any()


@given(st.integers(0, 10**6))
@few
def test_shuffling_and_padding_the_pixels_does_not_matter(seed):
    generator = torch.Generator().manual_seed(seed)
    values = 4 * torch.rand(1, 30, generator=generator)
    order = torch.randperm(30, generator=generator)
    groups = ScalarMeanShift().group(values)
    shuffled = ScalarMeanShift().group(torch.nn.functional.pad(values[:, order], (2, 3), value=-1))
    for ours, theirs in zip(groups.layers, shuffled.layers, strict=True):
        assert same_partition(ours[order], theirs[2:-3])
    assert torch.equal(groups.prototypes.sort(0).values, shuffled.prototypes.sort(0).values)


# --- options -----------------------------------------------------------------------------------


def test_a_group_may_lie_in_several_places_unless_parts_are_asked_for():
    values = torch.tensor([[[2.0, 0.0, 2.0, 2.0], [0.0, 2.0, 0.0, 3.0]]])
    assert ScalarMeanShift((0.4,)).group(values).labels.tolist() == [[1, 0, 1, 1], [0, 1, 0, 2]]
    parts = ScalarMeanShift((0.4,), split_components=True).group(values)
    assert len(parts) == 4
    assert parts.areas.tolist() == [2, 1, 1, 1]
    assert parts.labels[0].tolist()[2:] == [1, 1]
    assert sorted(parts.prototypes[:, 0].tolist()) == [2, 2, 2, 3]


def test_small_groups_are_left_out():
    values = torch.tensor([[[2.0, 2.0, 2.0, 4.0, 6.0, 6.0]]])
    groups = ScalarMeanShift((0.4,), min_area=2).group(values)
    assert groups.labels.tolist() == [[1, 1, 1, 0, 2, 2]]
    assert groups.prototypes.tolist() == [[2], [6]]


@pytest.mark.parametrize("bins", [64, 1000])
def test_bins_move_a_mode_by_less_than_one_of_them(bins):
    values, truth = mixture(5, count=3000, centres=(2.0, 4.0, 6.0), spread=0.15)
    exact, binned = (ScalarMeanShift(bins=b).group(values[None]) for b in (None, bins))
    width = float(values.max() - values.min()) / bins
    gap = exact.prototypes.sort(0).values - binned.prototypes.sort(0).values
    assert gap.abs().max() <= width
    assert same_partition(binned.labels, truth)


def test_as_many_bins_as_distinct_values_are_exact():
    values = torch.randint(4, 40, (1, 500), generator=torch.Generator().manual_seed(0)) / 8
    exact, binned = (ScalarMeanShift(bins=b).group(values) for b in (None, 100_000))
    assert torch.equal(exact.layers, binned.layers)


def test_one_value_everywhere_is_one_group_with_and_without_bins():
    for bins in (None, 10):
        groups = ScalarMeanShift(bins=bins).group(torch.full((1, 3, 3), 2.0))
        assert groups.labels.eq(1).all()
        assert groups.scores.tolist() == [1]
