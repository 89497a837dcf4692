from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from congeal.grouping import absorb_small, components, connect, fill_holes, split_parts

shapes = hnp.array_shapes(min_dims=2, max_dims=2, max_side=8)
masks = shapes.flatmap(lambda shape: hnp.arrays(bool, shape))
label_maps = shapes.flatmap(
    lambda shape: hnp.arrays(np.int64, shape, elements=st.integers(0, 4), fill=st.nothing())
)
part_maps = label_maps.map(split_parts)
many = settings(deadline=None, max_examples=80)


def flood(mask, right, down):
    """Parts by walking from pixel to pixel, in scanning order."""
    labels, count = np.zeros(mask.shape, np.int64), 0
    for start in zip(*mask.nonzero(), strict=True):
        if labels[start]:
            continue
        count += 1
        stack = [start]
        while stack:
            y, x = stack.pop()
            if labels[y, x]:
                continue
            labels[y, x] = count
            for ny, nx, open_ in (
                (y, x + 1, x + 1 < mask.shape[1] and right[y, min(x, right.shape[1] - 1)]),
                (y, x - 1, x > 0 and right[y, x - 1]),
                (y + 1, x, y + 1 < mask.shape[0] and down[min(y, down.shape[0] - 1), x]),
                (y - 1, x, y > 0 and down[y - 1, x]),
            ):
                if open_ and mask[ny, nx]:
                    stack.append((ny, nx))
    return labels


def edges(mask, value=True):
    height, width = mask.shape
    return np.full((height - 1, width), value), np.full((height, width - 1), value)


# --- connect -----------------------------------------------------------------------------------


@given(masks)
@many
def test_with_all_edges_open_parts_are_those_of_scipy(mask):
    expected, count = ndimage.label(mask)
    labels = connect(mask, *edges(mask))
    assert labels.max() == count
    pairs = set(zip(labels.flat, expected.flat, strict=True))
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})
    assert ((labels > 0) == mask).all()


@given(masks)
@many
def test_with_no_edge_open_every_pixel_is_a_part(mask):
    assert connect(mask, *edges(mask, False)).max() == mask.sum()


@given(st.data())
@many
def test_parts_follow_the_open_edges_in_scanning_order(data):
    mask = data.draw(masks)
    down, right = (data.draw(hnp.arrays(bool, edge.shape)) for edge in edges(mask))
    np.testing.assert_array_equal(connect(mask, down, right), flood(mask, right, down))


def test_connecting_leaves_its_arguments_alone():
    mask = np.array([[True, False], [True, True]])
    down, right = edges(mask)
    connect(mask, down, right)
    assert mask.sum() == 3
    assert right.all()
    assert down.all()


# --- split_parts -------------------------------------------------------------------------------


@given(label_maps)
@many
def test_each_part_of_each_object_gets_a_label_of_its_own(labels):
    parts = split_parts(labels)
    expected = sum(ndimage.label(labels == label)[1] for label in np.unique(labels[labels > 0]))
    assert parts.max() == expected
    assert ((parts > 0) == (labels > 0)).all()
    for part in range(1, parts.max() + 1):
        assert len(np.unique(labels[parts == part])) == 1
        assert ndimage.label(parts == part)[1] == 1


@given(part_maps)
@many
def test_splitting_twice_changes_nothing_more(parts):
    np.testing.assert_array_equal(split_parts(parts), parts)


# --- absorb_small ------------------------------------------------------------------------------


@given(label_maps, st.integers(0, 12))
@many
def test_no_object_under_the_smallest_area_stays(labels, smallest):
    left = absorb_small(labels, smallest)
    area = np.bincount(left.ravel())[1:]
    assert ((area == 0) | (area >= smallest)).all()


@given(label_maps, st.integers(0, 12))
@many
def test_objects_large_enough_keep_their_label_and_their_pixels(labels, smallest):
    left = absorb_small(labels, smallest)
    large = np.isin(labels, np.flatnonzero(np.bincount(labels.ravel()) >= smallest)) & (labels > 0)
    np.testing.assert_array_equal(left[large], labels[large])
    assert set(np.unique(left)) <= {0, *np.unique(labels)}


@given(label_maps, st.integers(0, 12))
@many
def test_background_stays_background(labels, smallest):
    assert (absorb_small(labels, smallest)[labels == 0] == 0).all()


@given(part_maps, st.integers(0, 12))
@many
def test_pixels_are_dropped_only_where_all_that_touches_is_too_small(parts, smallest):
    """A clump of touching objects keeps its area whole or loses it whole."""
    left = absorb_small(parts, smallest)
    clumps, count = ndimage.label(parts > 0)
    for clump in range(1, count + 1):
        inside = clumps == clump
        assert (left[inside] > 0).all() == (inside.sum() >= smallest)
        assert (left[inside] > 0).any() == (inside.sum() >= smallest)


@given(part_maps, st.integers(0, 12))
@many
def test_what_grows_together_is_connected(parts, smallest):
    left = absorb_small(parts, smallest)
    for label in np.unique(left[left > 0]):
        assert ndimage.label(left == label)[1] == 1


@given(label_maps)
@many
def test_a_smallest_area_of_one_changes_nothing(labels):
    np.testing.assert_array_equal(absorb_small(labels, 1), labels)


def join_one_by_one(labels, smallest):
    """The smallest object of all joins what it touches most, then all is looked at anew."""
    labels = labels.copy()
    while True:
        area = {int(label): int((labels == label).sum()) for label in np.unique(labels[labels > 0])}
        small = sorted((size, label) for label, size in area.items() if size < smallest)
        if not small:
            return labels
        one = small[0][1]
        touched = []
        padded = np.pad(labels, 1)
        for axis, step in ((0, 1), (0, -1), (1, 1), (1, -1)):
            beside = np.roll(padded, step, axis)[padded == one]
            touched += [int(label) for label in beside if label not in (0, one)]
        borders = {label: touched.count(label) for label in touched}
        best = max(borders.values(), default=0)
        labels[labels == one] = min((n for n in borders if borders[n] == best), default=0)


@given(label_maps | part_maps, st.integers(0, 12))
@many
def test_the_smallest_joins_first_and_then_all_is_looked_at_anew(labels, smallest):
    expected = join_one_by_one(labels, smallest)
    np.testing.assert_array_equal(absorb_small(labels, smallest), expected)


def test_thousands_of_fragments_beside_one_object_are_joined_in_one_go(monkeypatch):
    """An untrained network gives such maps; looking at the pixels for each took minutes."""
    labels = np.arange(2, 160 * 160 + 2).reshape(160, 160)
    labels[::3] = 1
    looks = []
    count = components._neighbours
    monkeypatch.setattr(components, "_neighbours", lambda *a: looks.append(1) or count(*a))
    assert (absorb_small(labels, 50) == 1).all()
    assert len(looks) == 1


def test_a_fragment_joins_the_neighbour_with_the_longest_border():
    labels = np.array([[1, 1, 1, 1, 1], [1, 3, 3, 3, 1], [2, 2, 2, 2, 2]])
    labels[1, [0, 4]] = 2
    left = absorb_small(labels, 4)
    assert (left[1] == 2).all()


def test_fragments_of_one_object_first_grow_together():
    """Two halves of a thin object stay an object; neither is eaten by the large one beside them."""
    labels = np.array([[2, 3], [2, 3], [1, 1], [1, 1], [1, 1]])
    left = absorb_small(labels, 4)
    assert left[0, 0] == left[0, 1] != 1


def test_a_small_object_by_itself_is_dropped():
    assert absorb_small(np.array([[1, 0, 2, 2, 2]]), 2).tolist() == [[0, 0, 2, 2, 2]]


def test_the_label_map_given_is_not_written_to():
    labels = np.array([[1, 2, 2]])
    absorb_small(labels, 2)
    assert labels.tolist() == [[1, 2, 2]]


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (1, 1)])
def test_maps_with_nothing_in_them_come_back_as_they_are(shape):
    nothing = np.zeros(shape, np.int64)
    for change in (lambda x: absorb_small(x, 5), fill_holes, split_parts):
        assert change(nothing).shape == shape


@given(label_maps, st.integers(0, 12))
@many
def test_objects_cut_by_the_edge_can_be_spared(labels, smallest):
    edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    cut = np.isin(labels, edge[edge > 0])
    left = absorb_small(labels, smallest, spare_edge=True)
    np.testing.assert_array_equal(left[cut], labels[cut])
    inner = np.setdiff1d(left, [0, *edge])
    assert all((left == label).sum() >= smallest for label in inner)


def test_sparing_the_edge_spares_nothing_else():
    labels = np.zeros((7, 7), np.int64)
    labels[0, 0], labels[2, 2], labels[4:6, 2:6] = 1, 2, 3
    left = absorb_small(labels, 4, spare_edge=True)
    assert np.unique(left).tolist() == [0, 1, 3]


# --- fill_holes --------------------------------------------------------------------------------


def ring(size):
    labels = np.zeros((size, size), np.int64)
    labels[[0, -1]] = labels[:, [0, -1]] = 1
    return labels


@given(label_maps)
@many
def test_filling_changes_background_only(labels):
    filled = fill_holes(labels)
    np.testing.assert_array_equal(filled[labels > 0], labels[labels > 0])


@given(label_maps)
@many
def test_a_pixel_is_filled_when_it_cannot_leave_the_object_around_it(labels):
    filled = fill_holes(labels)
    around = np.zeros(labels.shape, bool)
    for label in np.unique(labels[labels > 0]):
        hole = ndimage.binary_fill_holes(labels == label)
        around |= hole
        assert hole[filled == label].all()
    np.testing.assert_array_equal(filled > 0, around)


def test_background_that_two_objects_surround_together_stays():
    labels = ring(5)
    labels[:, 3:] *= 2
    np.testing.assert_array_equal(fill_holes(labels), labels)


def test_background_open_to_the_edge_of_the_image_stays():
    labels = ring(5)
    labels[0, 2] = 0
    np.testing.assert_array_equal(fill_holes(labels), labels)


def test_an_object_inside_a_ring_stays():
    labels = ring(5)
    labels[2, 2] = 2
    filled = fill_holes(labels)
    assert filled[2, 2] == 2
    assert filled[1, 1] == 1


@pytest.mark.parametrize(("outer", "inner"), [(1, 2), (2, 1)])
def test_a_hole_belongs_to_the_innermost_ring_around_it(outer, inner):
    labels = ring(7) * outer
    labels[2:5, 2:5] = ring(3) * inner
    filled = fill_holes(labels)
    assert filled[3, 3] == inner
    assert filled[1, 1] == outer


@given(label_maps)
@many
def test_filling_twice_changes_nothing_more(labels):
    filled = fill_holes(labels)
    np.testing.assert_array_equal(fill_holes(filled), filled)
