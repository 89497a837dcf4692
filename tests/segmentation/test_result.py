"""What a result holds, and how it is made."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from congeal.errors import CongealError
from congeal.segmentation import Segmentation

LABEL_MAPS = hnp.arrays(np.int64, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements={
    "min_value": -1, "max_value": 6,
})  # fmt: skip
MASKS = hnp.arrays(bool, st.tuples(st.integers(0, 5), st.integers(1, 7), st.integers(1, 7)))


def test_ids_with_gaps_are_renumbered_in_rising_order():
    result = Segmentation.from_labels(np.array([[90, 0, 7], [7, -1, 300]]), scores=[0.7, 0.9, 0.3])
    assert result.labels.tolist() == [[2, 0, 1], [1, 0, 3]]
    assert result.scores.tolist() == pytest.approx([0.7, 0.9, 0.3])


def test_ids_far_apart_cost_no_more_than_near_ones():
    result = Segmentation.from_labels(np.array([[2**40, 1], [0, 2**62]]))
    assert result.labels.tolist() == [[2, 1], [0, 3]]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.uint64, bool])
def test_any_integer_type_is_a_label_map(dtype):
    assert len(Segmentation.from_labels(np.eye(3).astype(dtype))) == 1


@settings(deadline=None, max_examples=60)
@given(labels=LABEL_MAPS, seed=st.integers(0, 999))
def test_another_numbering_gives_the_same_objects(labels, seed):
    values = np.unique(labels[labels > 0])
    renamed = np.random.default_rng(seed).choice(5000, len(values), replace=False) + 1
    other = labels.copy()
    for old, new in zip(values, renamed, strict=True):
        other[labels == old] = new
    one, two = Segmentation.from_labels(labels), Segmentation.from_labels(other)
    assert {mask.tobytes() for mask in one.masks} == {mask.tobytes() for mask in two.masks}
    assert sorted(one.areas) == sorted(two.areas)
    assert np.array_equal(one.labels > 0, labels > 0)


@settings(deadline=None, max_examples=60)
@given(labels=LABEL_MAPS)
def test_masks_and_label_map_say_the_same(labels):
    result = Segmentation.from_labels(labels)
    again = Segmentation.from_masks(result.masks)
    assert again.disjoint
    assert np.array_equal(again.labels, result.labels)
    assert np.array_equal(again.boxes, result.boxes)


@settings(deadline=None, max_examples=80)
@given(masks=MASKS, seed=st.integers(0, 99))
def test_masks_come_back_as_they_were_given(masks, seed):
    scores = np.random.default_rng(seed).random(len(masks)).astype(np.float32)
    filled = masks.any((1, 2))
    result = Segmentation.from_masks(masks, scores=scores)
    assert np.array_equal(result.masks, masks[filled])
    assert np.array_equal(result.scores, scores[filled])
    assert result.disjoint == bool((masks.sum(0) <= 1).all())
    assert result.areas.tolist() == masks[filled].sum((1, 2)).tolist()


@settings(deadline=None, max_examples=80)
@given(masks=MASKS, seed=st.integers(0, 99))
def test_where_objects_overlap_the_higher_score_shows_and_the_earlier_of_equals(masks, seed):
    masks = masks[masks.any((1, 2))]
    scores = np.random.default_rng(seed).integers(0, 3, len(masks)) / 2
    labels = Segmentation.from_masks(masks, scores=scores).labels
    for y, x in np.ndindex(*masks.shape[1:]):
        there = np.flatnonzero(masks[:, y, x])
        best = max(there, key=lambda i: (scores[i], -i)) + 1 if len(there) else 0
        assert labels[y, x] == best


def test_a_mask_without_pixels_is_left_out_with_its_score_and_class():
    masks = np.zeros((3, 2, 2), bool)
    masks[0, 0, 0] = masks[2, 1, 1] = True
    result = Segmentation.from_masks(masks, scores=[0.1, 0.2, 0.3], classes=[1, 2, 3])
    assert result.scores.tolist() == pytest.approx([0.1, 0.3])
    assert result.classes.tolist() == [1, 3]


@pytest.mark.parametrize(
    "empty",
    [
        Segmentation.from_labels(np.zeros((4, 5), int)),
        Segmentation.from_masks(np.zeros((0, 4, 5), bool)),
        Segmentation.from_masks(np.zeros((2, 4, 5), bool)),
    ],
)
def test_no_objects_is_a_result_like_any_other(empty):
    assert len(empty) == 0
    assert empty.shape == (4, 5)
    assert empty.labels.shape == (4, 5)
    assert empty.masks.shape == (0, 4, 5)
    assert empty.boxes.shape == (0, 4)
    assert empty.areas.shape == (0,)
    assert empty.measurements() == []


def test_one_pixel_is_an_object():
    labels = np.zeros((3, 4), int)
    labels[1, 2] = 1
    result = Segmentation.from_labels(labels)
    assert result.boxes.tolist() == [[2, 1, 3, 2]]
    assert result.areas.tolist() == [1]


@pytest.mark.parametrize("keep", [[True, False, True], [0, 2]])
@pytest.mark.parametrize("overlapping", [False, True])
def test_selected_objects_keep_what_belongs_to_them(keep, overlapping):
    masks = np.eye(3, dtype=bool)[:, None]
    masks[0, 0, 1] |= overlapping
    result = Segmentation.from_masks(masks, scores=[0.1, 0.2, 0.3], classes=[1, 2, 1])
    assert result.disjoint is not overlapping
    some = result.select(keep)
    assert np.array_equal(some.masks, masks[[0, 2]])
    assert some.scores.tolist() == pytest.approx([0.1, 0.3])
    assert some.classes.tolist() == [1, 1]


def test_the_order_of_a_selection_is_the_order_asked_for():
    result = Segmentation.from_labels(np.array([[1, 2, 3]])).select([2, 0])
    assert result.labels.tolist() == [[2, 0, 1]]


def test_what_is_left_of_overlapping_objects_may_be_disjoint():
    masks = np.array([[[1, 1, 0]], [[0, 1, 1]], [[0, 0, 1]]], bool)
    result = Segmentation.from_masks(masks)
    assert result.select([0, 2]).disjoint
    assert not result.select([0, 1]).disjoint


def test_an_object_named_twice_in_a_selection_is_refused():
    with pytest.raises(CongealError, match="once"):
        Segmentation.from_labels(np.array([[1, 2]])).select([0, 0])


def test_nothing_selected_is_an_empty_result():
    assert len(Segmentation.from_labels(np.array([[1, 2]])).select([])) == 0


def test_changing_what_was_given_or_got_does_not_change_the_result():
    labels, masks = np.array([[1, 2]]), np.ones((2, 1, 2), bool)
    one, two = Segmentation.from_labels(labels), Segmentation.from_masks(masks)
    labels[:], masks[:] = 0, False
    one.labels[:] = 9
    assert one.labels.tolist() == [[1, 2]]
    assert two.areas.tolist() == [2, 2]


def test_the_embedding_is_kept_only_when_given():
    field = np.zeros((4, 2, 2))
    assert Segmentation.from_labels(np.ones((4, 4), int)).embedding is None
    kept = Segmentation.from_labels(np.ones((4, 4), int), embedding=field).embedding
    assert kept is not None
    assert kept.dtype == np.float32


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Segmentation.from_labels(np.zeros((2, 2))), "integer"),
        (lambda: Segmentation.from_labels(np.zeros((2, 2, 2), int)), r"\(H, W\)"),
        (lambda: Segmentation.from_masks(np.zeros((2, 2), bool)), r"\(N, H, W\)"),
        (lambda: Segmentation.from_labels(np.eye(2, dtype=int), scores=[1, 2]), "scores for 1"),
        (lambda: Segmentation.from_labels(np.eye(2, dtype=int), scores=[np.nan]), "finite"),
        (lambda: Segmentation.from_labels(np.eye(2, dtype=int), classes=[0]), "class ids from 1"),
        (
            lambda: Segmentation.from_labels(np.eye(2, dtype=int), [1], [2], ["cell"]),
            "2 class names",
        ),
        (
            lambda: Segmentation.from_labels(np.eye(2, dtype=int), embedding=np.zeros(3)),
            "embedding",
        ),
    ],
)
def test_what_does_not_fit_is_told_in_one_line(make, told):
    with pytest.raises(CongealError, match=told) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_the_text_form_names_size_and_count():
    assert repr(Segmentation.from_labels(np.eye(3, dtype=int))) == "Segmentation(3 x 3, 1 object)"
    assert "overlapping" in repr(Segmentation.from_masks(np.ones((2, 3, 3), bool)))
