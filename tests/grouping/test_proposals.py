"""Proposals: suppression against dense masks, scores against their definition."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize

from congeal.errors import CongealError
from congeal.grouping import FlatMeanShift, Proposals, mask_nms
from congeal.grouping.groups import Grouping, Groups, groups_from_labels


def noise(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


class Fixed:
    """A grouping that finds the same label map in every image."""

    def __init__(self, labels, scores=None, classes=None):
        self.labels = torch.as_tensor(labels)
        self.scores = scores
        self.classes = classes

    def group(self, embedding, mask=None, weights=None):
        labels = self.labels if mask is None else self.labels * mask
        found = groups_from_labels(labels, embedding)
        scores = found.scores if self.scores is None else torch.tensor(self.scores)
        classes = None if self.classes is None else torch.tensor(self.classes)
        return Groups(found.layers, found.prototypes, scores, classes)


def drawn_layers(layers, size, most, seed):
    """Random layers of at most so many groups each, numbered across all of them."""
    generator = torch.Generator().manual_seed(seed)
    drawn, total = [], 0
    for _ in range(layers):
        labels = torch.randint(0, most + 1, (size,), generator=generator)
        labels = torch.unique(torch.cat([torch.zeros(1).long(), labels]), return_inverse=True)[1][
            1:
        ]
        drawn.append(torch.where(labels > 0, labels + total, 0))
        total += int(labels.max())
    return torch.stack(drawn), total


def dense_masks(layers, count):
    return torch.stack([(layers == k).any(0) for k in range(1, count + 1)])


def dense_iou(layers, count):
    masks = dense_masks(layers, count).double()
    shared = masks @ masks.T
    area = masks.sum(1)
    return shared / (area[:, None] + area - shared)


def slow_nms(layers, scores, overlap):
    iou = dense_iou(layers, len(scores))
    kept = []
    for k in sorted(range(len(scores)), key=lambda k: (-float(scores[k]), k)):
        if all(iou[k, other] <= overlap for other in kept):
            kept.append(k)
    return [k + 1 for k in kept]


# --- suppression -------------------------------------------------------------------------------


@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 2**31 - 1), st.floats(0, 1))
@settings(deadline=None, max_examples=60)
def test_suppression_keeps_what_dense_masks_keep(layers, most, seed, overlap):
    drawn, count = drawn_layers(layers, 15, most, seed)
    if count == 0:
        return
    scores = (noise(count, seed=seed) * 2).round() / 2  # some are equal
    assert mask_nms(drawn, scores, overlap).tolist() == slow_nms(drawn, scores, overlap)


@given(st.integers(0, 2**31 - 1))
@settings(deadline=None, max_examples=20)
def test_the_order_of_the_pixels_does_not_matter_to_suppression(seed):
    drawn, count = drawn_layers(3, 40, 3, seed)
    scores = noise(count, seed=seed)
    shuffle = torch.randperm(40, generator=torch.Generator().manual_seed(seed))
    assert torch.equal(mask_nms(drawn, scores, 0.3), mask_nms(drawn[:, shuffle], scores, 0.3))


def test_what_a_dropped_group_overlaps_is_not_dropped_for_it():
    """1 drops 2, which alone overlaps 3."""
    layers = torch.tensor([[1, 1, 1, 1, 3, 3], [0, 2, 2, 2, 2, 2]])
    assert mask_nms(layers, torch.tensor([0.9, 0.8, 0.7]), 0.3).tolist() == [1, 3]


def test_suppression_of_nothing_keeps_nothing():
    assert mask_nms(torch.zeros(2, 3, 3).long(), torch.zeros(0), 0.5).tolist() == []


def test_a_thousand_groups_in_two_layers_are_halved():
    one = torch.arange(1, 1001).repeat_interleave(5)
    kept = mask_nms(torch.stack([one, one + 1000]), torch.linspace(1, 0, 2000), 0.5)
    assert kept.tolist() == list(range(1, 1001))


def test_scores_that_do_not_fit_are_refused():
    layers = torch.tensor([[1, 2]])
    with pytest.raises(CongealError, match="expected finite scores"):
        mask_nms(layers, torch.tensor([1.0, torch.nan]), 0.5)
    with pytest.raises(CongealError, match="expected 2 scores, got 1"):
        mask_nms(layers, torch.ones(1), 0.5)


# --- proposals ---------------------------------------------------------------------------------

COARSE = [[1, 1, 1, 1, 2, 2, 2, 0]]
FINE = [[1, 1, 3, 3, 2, 2, 2, 0]]


def test_duplicates_are_pooled_into_one():
    embedding = noise(3, 1, 8)
    groups = Proposals((Fixed(COARSE), Fixed(FINE))).group(embedding)
    masks = {tuple(groups.mask(k)[0].int().tolist()) for k in range(1, len(groups) + 1)}
    assert len(groups) == len(masks) == 4
    assert masks == {
        (1, 1, 1, 1, 0, 0, 0, 0),
        (1, 1, 0, 0, 0, 0, 0, 0),
        (0, 0, 1, 1, 0, 0, 0, 0),
        (0, 0, 0, 0, 1, 1, 1, 0),
    }
    assert len(Proposals((Fixed(COARSE), Fixed(FINE)), max_iou=1.0).group(embedding)) == 5


@given(st.integers(0, 2**31 - 1))
@settings(deadline=None, max_examples=20)
def test_the_score_is_compactness_times_stability(seed):
    size, maps = 30, [drawn_layers(1, 30, 3, seed + i)[0][0] for i in range(3)]
    embedding = normalize(noise(4, size, seed=seed), dim=0)
    given_scores = [noise(int(m.max()), seed=seed).abs().tolist() for m in maps]
    groupings = [Fixed(m, s) for m, s in zip(maps, given_scores, strict=True)]
    groups = Proposals(tuple(groupings), max_iou=1.0).group(embedding)
    found = [one.group(embedding) for one in groupings]
    expected = {}
    for number, one in enumerate(found):
        for k in range(1, len(one) + 1):
            mask = one.mask(k)
            compact = float((embedding[:, mask].T @ one.prototypes[k - 1]).mean())
            best = []
            for other in found[:number] + found[number + 1 :]:
                its_masks = [other.mask(j) for j in range(1, len(other) + 1)]
                iou = [int((mask & m).sum()) / int((mask | m).sum()) for m in its_masks]
                best.append(max(iou, default=0.0))
            score = float(one.scores[k - 1]) * compact * sum(best) / 2
            expected.setdefault(tuple(mask.tolist()), []).append(score)
    assert len(groups) == sum(map(len, expected.values()))
    for k in range(1, len(groups) + 1):
        scores = expected[tuple(groups.mask(k).tolist())]
        assert min(abs(float(groups.scores[k - 1]) - s) for s in scores) < 1e-9


def test_the_first_proposal_has_the_highest_score():
    embedding = noise(3, 20, 20)
    maps = [
        torch.randint(0, 5, (20, 20), generator=torch.Generator().manual_seed(s)) for s in (1, 2)
    ]
    groups = Proposals(tuple(map(Fixed, maps))).group(embedding)
    assert (groups.scores.diff() <= 0).all()
    assert sorted(groups.layers.unique().tolist()) == list(range(len(groups) + 1))
    for k, prototype in enumerate(groups.prototypes, 1):
        mean = normalize(embedding, dim=0)[:, groups.mask(k)].sum(1)
        torch.testing.assert_close(prototype, normalize(mean, dim=0))


def test_layers_without_a_survivor_are_left_out():
    groups = Proposals((Fixed(COARSE), Fixed(COARSE))).group(noise(3, 1, 8))
    assert groups.layers.shape == (1, 1, 8)
    assert len(groups) == 2


def test_a_single_grouping_is_ranked_by_compactness():
    embedding = torch.tensor([[1.0, 0, 0, 0, 0], [0, 1, 1, 1, 1], [0, 1, -0.5, 0, 0]])
    groups = Proposals((Fixed([1, 2, 2, 2, 2]),)).group(embedding)
    assert groups.labels.tolist() == [1, 2, 2, 2, 2]
    assert groups.scores[0] == 1
    assert groups.scores[1] < 1


def test_small_proposals_are_dropped():
    groups = Proposals((Fixed(COARSE), Fixed(FINE)), min_area=3).group(noise(3, 1, 8))
    assert sorted(groups.areas.tolist()) == [3, 4]


@pytest.mark.parametrize("size", [(9,), (3, 3), (1, 3, 3)])
def test_connected_parts_become_proposals_of_their_own(size):
    labels = torch.tensor([1, 0, 1, 2, 2, 0, 1, 0, 0]).reshape(size)
    embedding = noise(3, *size)
    whole = Proposals((Fixed(labels, scores=[0.5, 1.0], classes=[8, 9]),))
    assert len(whole.group(embedding)) == 2
    parts = Proposals(whole.groupings, split_components=True).group(embedding)
    assert sorted(parts.areas.tolist()) == [1, 1, 1, 2]
    for k in range(1, 5):
        its_label = int(labels[parts.mask(k)].unique())
        assert int(parts.classes[k - 1]) == 7 + its_label


def test_classes_stay_with_their_proposals():
    embedding = noise(3, 1, 8)
    coarse, fine = Fixed(COARSE, classes=[7, 8]), Fixed(FINE, classes=[8, 7, 7])
    groups = Proposals((coarse, fine)).group(embedding)
    for k, kind in enumerate(groups.classes.tolist(), 1):
        assert kind == (8 if bool(groups.mask(k)[0, 4]) else 7)
    assert Proposals((coarse, Fixed(FINE))).group(embedding).classes is None


def test_groupings_of_several_layers_may_be_pooled():
    inner = Proposals((Fixed(COARSE), Fixed(FINE)))
    embedding = noise(3, 1, 8)
    assert len(Proposals((inner, Fixed(FINE))).group(embedding)) == 4


def test_the_mask_and_the_weights_reach_the_groupings():
    embedding, mask = noise(3, 1, 8), torch.tensor([[True] * 4 + [False] * 4])
    groups = Proposals((Fixed(COARSE), Fixed(FINE))).group(embedding, mask)
    assert not groups.labels[~mask].any()
    weights = torch.tensor([[1.0] * 7 + [100.0]])
    flat = FlatMeanShift(50.0)
    assert len(Proposals((flat,)).group(embedding, weights=weights)) == len(flat.group(embedding))


@given(st.integers(0, 2**31 - 1))
@settings(deadline=None, max_examples=10)
def test_rotating_the_embedding_space_changes_nothing(seed):
    """Where scores are equal but for rounding, the order is not held to."""
    embedding = noise(3, 40, seed=seed)
    rotation = torch.linalg.qr(noise(3, 3, seed=seed + 1)).Q
    proposals = Proposals((FlatMeanShift(0.7), FlatMeanShift(1.5)))
    groups, turned = proposals.group(embedding), proposals.group(rotation @ embedding)
    torch.testing.assert_close(groups.scores, turned.scores)
    masks, others = (
        sorted(found.mask(k).tolist() for k in range(1, len(found) + 1))
        for found in (groups, turned)
    )
    assert masks == others


# --- with mean shift ---------------------------------------------------------------------------


def nested(seed=0):
    """Two opposite directions, each of two 45 degrees apart, and which of the four is where."""
    part = torch.arange(4).repeat_interleave(8).expand(16, 32)
    angle = torch.tensor([-22.5, 22.5, 157.5, 202.5])[part].deg2rad()
    angle = angle + 0.02 * noise(16, 32, seed=seed).float()
    return torch.stack([angle.cos(), angle.sin()]), part


def test_several_concentrations_find_wholes_and_parts():
    embedding, part = nested()
    groups = Proposals.from_concentrations((9.0, 400.0)).group(embedding)
    masks = [groups.mask(k) for k in range(1, len(groups) + 1)]
    expected = [part // 2 == half for half in (0, 1)] + [part == one for one in range(4)]
    assert len(masks) == 6
    for mask in expected:
        assert any(torch.equal(mask, found) for found in masks)


def test_the_margin_follows_the_concentration_unless_given():
    margins = [one.margin for one in Proposals.from_concentrations((4.0, 36.0)).groupings]
    assert margins == [0.0, 0.5]
    fixed = Proposals.from_concentrations((36.0, 400.0), margin=0.3).groupings
    assert [one.margin for one in fixed] == [0.3, 0.3]
    assert [round(float(one.concentration)) for one in fixed] == [36, 400]


# --- odd input ---------------------------------------------------------------------------------


def test_an_empty_mask_gives_no_proposals():
    flat = Proposals((FlatMeanShift(0.5), FlatMeanShift(1.0)), split_components=True)
    groups = flat.group(noise(3, 4, 5), torch.zeros(4, 5, dtype=torch.bool))
    assert len(groups) == 0
    assert groups.layers.shape == (1, 4, 5)
    assert groups.prototypes.shape == (0, 3)


def test_one_pixel_is_one_proposal():
    groups = Proposals((FlatMeanShift(0.5), FlatMeanShift(1.0))).group(torch.ones(3, 1, 1))
    assert groups.labels.tolist() == [[1]]
    assert groups.scores.tolist() == [pytest.approx(1.0)]


def test_it_gives_the_same_every_time():
    embedding = noise(3, 12, 12)
    proposals = Proposals((FlatMeanShift(0.7), FlatMeanShift(1.5)))
    first, second = proposals(torch.stack([embedding, embedding]))
    assert torch.equal(first.layers, second.layers)
    assert torch.equal(first.scores, second.scores)


def test_it_is_a_grouping():
    assert isinstance(Proposals((FlatMeanShift(),)), Grouping)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Proposals(()),
        lambda: Proposals((3,)),
        lambda: Proposals((FlatMeanShift(),), max_iou=1.5),
        lambda: Proposals.from_concentrations(()),
        lambda: Proposals.from_concentrations((0.0,)),
        lambda: Proposals.from_concentrations(margin=1.0),
    ],
)
def test_settings_out_of_range_are_refused(make):
    with pytest.raises(CongealError, match="expected"):
        make()


def test_what_is_no_embedding_is_refused_in_one_line():
    with pytest.raises(CongealError, match="expected a finite embedding") as error:
        Proposals((FlatMeanShift(),)).group(torch.full((2, 3), torch.nan))
    assert "\n" not in str(error.value)
