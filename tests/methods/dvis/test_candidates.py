import numpy as np
import pytest
import torch

from congeal.methods.dvis.candidates import find_candidates, mask_iou, suppress


def naive_iou(one, other):
    return (one & other).sum() / max((one | other).sum(), 1)


def masks_of(*rows):
    return torch.tensor(rows).bool()[:, None]


def as_sets(candidates):
    return {frozenset(np.flatnonzero(mask)) for mask in candidates.masks.numpy()}


def test_mask_iou_is_that_of_sets_of_pixels():
    drawn = torch.rand(5, 6, 7, generator=torch.Generator().manual_seed(0)) < 0.4
    found = mask_iou(drawn, drawn[:3])
    for i, one in enumerate(drawn.numpy()):
        for j, other in enumerate(drawn[:3].numpy()):
            assert float(found[i, j]) == pytest.approx(naive_iou(one, other))


def test_both_bandwidths_give_candidates_and_equal_ones_come_once():
    values = torch.tensor([[[0.0, 2.0, 2.0, 2.6, 2.6, 5.0, 5.0, 5.0]]])
    found = as_sets(find_candidates(values, bandwidths=(0.9, 0.4)))
    assert found == {frozenset(s) for s in [{1, 2, 3, 4}, {1, 2}, {3, 4}, {5, 6, 7}]}


def test_a_cloud_in_several_channels_is_grouped_as_the_same_cloud_in_one():
    values = torch.tensor([[[0.0, 2.0, 2.0, 2.6, 2.6, 5.0, 5.0, 5.0]]])
    several = torch.cat([values, torch.zeros_like(values)])
    assert as_sets(find_candidates(several)) == as_sets(find_candidates(values))


def test_objects_that_differ_in_the_second_channel_only_are_apart():
    first = torch.tensor([[2.0, 2.0, 2.0, 2.0, 0.0]])
    second = torch.tensor([[0.0, 0.0, 2.0, 2.0, 0.0]])
    assert as_sets(find_candidates(torch.stack([first, second]))) == {
        frozenset({0, 1}),
        frozenset({2, 3}),
    }


@pytest.mark.parametrize("channels", [1, 2])
def test_far_apart_objects_of_one_value_are_told_apart_by_connectedness(channels):
    values = torch.tensor([[[2.0, 2.0, 0.0, 2.0]]]).repeat(channels, 1, 1)
    assert len(find_candidates(values)) == 1
    assert as_sets(find_candidates(values, split_components=True)) == {
        frozenset({0, 1}),
        frozenset({3}),
    }


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("value", [0.0, 2.0])
def test_a_flat_map_gives_nothing_or_one_candidate(channels, value):
    found = find_candidates(torch.full((channels, 3, 4), value))
    assert len(found) == (value > 0)
    assert found.masks.shape[1:] == (3, 4)
    assert found.cohesion.tolist() == [1.0] * len(found)


@pytest.mark.parametrize("channels", [1, 2])
def test_small_candidates_go_and_the_largest_stay(channels):
    values = torch.tensor([[[2.0, 0.0, 4.0, 4.0, 0.0, 6.0, 6.0, 6.0]]]).repeat(channels, 1, 1)
    assert len(find_candidates(values, min_area=2)) == 2
    assert as_sets(find_candidates(values, max_candidates=1)) == {frozenset({5, 6, 7})}


def test_holes_are_filled():
    values = 3 * torch.ones(1, 3, 3)
    values[0, 1, 1] = 0
    assert find_candidates(values).masks.sum() == 8
    assert find_candidates(values, holes=True).masks.sum() == 9


def test_suppression_keeps_the_best_of_each_overlap():
    masks = masks_of([1, 1, 0, 0], [1, 1, 1, 1], [0, 0, 1, 1])
    assert suppress(masks, torch.tensor([0.6, 0.9, 0.7]), 0.3).tolist() == [1]
    assert suppress(masks, torch.tensor([0.9, 0.6, 0.7]), 0.3).tolist() == [0, 2]
    assert suppress(masks, torch.tensor([0.6, 0.9, 0.7]), 0.5).tolist() == [1, 2, 0]
    assert suppress(masks[:0], torch.zeros(0), 0.3).tolist() == []
