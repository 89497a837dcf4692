from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.segmentation import find_boundaries

from congeal.errors import CongealError
from congeal.labels import areas, boundaries, check_labels, contingency, relabel

shapes = hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=6)
label_maps = hnp.arrays(np.int64, shapes, elements=st.integers(-1, 5))
pairs_of_maps = shapes.flatmap(
    lambda shape: st.tuples(
        hnp.arrays(np.int64, shape, elements=st.integers(-1, 4)),
        hnp.arrays(np.int64, shape, elements=st.integers(0, 4)),
    )
)


def counted_slowly(true, pred):
    pixels = [(t, p) for t, p in zip(true.flat, pred.flat, strict=True) if t != -1]
    return {pair: pixels.count(pair) for pair in set(pixels)}


def as_dict(table):
    rows, cols = table.true_ids[table.rows], table.pred_ids[table.cols]
    return {(t, p): n for t, p, n in zip(rows, cols, table.counts, strict=True)}


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.int64, np.uint64, bool])
def test_any_integer_type_becomes_int64(dtype):
    checked = check_labels(np.array([[0, 1]], dtype=dtype))
    assert checked.dtype == np.int64
    assert checked.tolist() == [[0, 1]]


def test_int64_labels_are_not_copied():
    labels = np.zeros((3, 4), dtype=np.int64)
    assert check_labels(labels) is labels


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (np.zeros((2, 2)), "integer labels in masks/a.png, got float64"),
        (np.zeros((2, 2), complex), "complex128"),
        (np.array([["a"]]), "integer labels"),
        (np.array([[-2, 0]]), "at least -1 .void. in masks/a.png, got -2"),
        (np.array([2**63], dtype=np.uint64), "below 2"),
    ],
)
def test_what_is_no_label_map_is_refused_with_its_name(labels, told):
    with pytest.raises(CongealError, match=told) as caught:
        check_labels(labels, "masks/a.png")
    assert "\n" not in str(caught.value)


@given(label_maps)
def test_relabelled_maps_have_no_gaps_and_keep_order_background_and_void(labels):
    numbered = relabel(labels)
    objects = sorted(set(labels[labels > 0].tolist()))
    expected = {label: rank for rank, label in enumerate(objects, 1)} | {0: 0, -1: -1}
    assert numbered.shape == labels.shape
    assert numbered.ravel().tolist() == [expected[label] for label in labels.flat]


def test_labels_far_apart_are_renumbered_as_those_close_together():
    far = np.array([[0, 10**15, 7], [-1, 7, 10**15]])
    assert relabel(far).tolist() == [[0, 2, 1], [-1, 1, 2]]


def test_areas_leave_out_background_and_void():
    ids, counts = areas(np.array([[0, 9, 9], [-1, -1, 4]]))
    assert ids.tolist() == [4, 9]
    assert counts.tolist() == [1, 2]


def test_areas_of_nothing_are_empty():
    assert [part.tolist() for part in areas(np.zeros((0, 5), int))] == [[], []]


@given(hnp.arrays(np.int64, shapes.filter(lambda s: 0 not in s), elements=st.integers(0, 3)))
@pytest.mark.parametrize("mode", ["inner", "thick"])
def test_boundaries_agree_with_scikit_image_where_nothing_is_void(mode, labels):
    expected = find_boundaries(labels, connectivity=1, mode=mode, background=0)
    assert np.array_equal(boundaries(labels, mode), expected)


def test_an_edge_against_void_is_no_boundary():
    labels = np.array([[1, 1, -1, 2, 2, 3]])
    assert boundaries(labels, "thick").astype(int).tolist() == [[0, 0, 0, 0, 1, 1]]


def test_an_unknown_boundary_mode_suggests_the_nearest():
    with pytest.raises(CongealError, match="did you mean 'inner'"):
        boundaries(np.zeros((2, 2), int), "iner")


@given(pairs_of_maps)
def test_the_table_holds_every_pair_that_overlaps_outside_void(maps):
    true, pred = maps
    table = contingency(true, pred)
    assert as_dict(table) == counted_slowly(true, pred)
    assert (table.counts > 0).all()


@given(pairs_of_maps)
def test_areas_in_the_table_are_those_of_the_maps_outside_void(maps):
    true, pred = maps
    table = contingency(true, pred)
    known = true != -1
    assert [table.true_ids.tolist(), table.pred_ids.tolist()] == [
        np.unique(true[known]).tolist(),
        np.unique(pred[known]).tolist(),
    ]
    assert table.true_areas.tolist() == [(true[known] == t).sum() for t in table.true_ids]
    assert table.pred_areas.tolist() == [(pred[known] == p).sum() for p in table.pred_ids]
    assert np.array_equal(table.matrix().sum(axis=1), table.true_areas)


@given(pairs_of_maps)
def test_objects_drop_the_background_and_keep_whole_areas(maps):
    full, objects = contingency(*maps), contingency(*maps).objects()
    expected = {pair: n for pair, n in as_dict(full).items() if min(pair) > 0}
    assert as_dict(objects) == expected
    assert objects.true_areas.tolist() == full.true_areas[full.true_ids > 0].tolist()
    assert objects.pred_areas.tolist() == full.pred_areas[full.pred_ids > 0].tolist()


@settings(max_examples=30)
@given(pairs_of_maps, st.integers(1, 3))
def test_many_labels_are_counted_as_few_are(maps, step):
    true, pred = maps
    spread = np.where(true > 0, true * step * 10**9, true)
    assert contingency(spread, pred).counts.tolist() == contingency(true, pred).counts.tolist()


def test_more_pairs_than_pixels_are_counted_by_sorting():
    rng = np.random.default_rng(0)
    true, pred = rng.integers(0, 3000, (2, 60, 60))
    table = contingency(true, pred)
    assert len(table.true_ids) * len(table.pred_ids) > 65536 + 4 * true.size
    assert as_dict(table) == counted_slowly(true, pred)


def test_void_in_the_prediction_is_background():
    table = contingency(np.array([1, 1, 0]), np.array([-1, 2, -1]))
    assert as_dict(table) == {(1, 0): 1, (1, 2): 1, (0, 0): 1}


def test_sizes_that_differ_are_told():
    with pytest.raises(CongealError, match=r"of the same shape, got \(2, 3\) and \(3, 2\)"):
        contingency(np.zeros((2, 3), int), np.zeros((3, 2), int))
