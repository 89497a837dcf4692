"""Stitching: objects of planes become objects of a volume by a rule that anyone can follow."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from cases.ellipsoids import ellipsoids
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tifffile import imread

from congeal import stitch_planes
from congeal.errors import CongealError
from congeal.labels import relabel
from congeal.metrics import matching
from congeal.segmentation import PlaneStitcher

VOLUMES = hnp.arrays(np.int64, (4, 3, 5), elements=st.integers(0, 3))
OVERLAPS = st.sampled_from([0.1, 0.25, 0.5, 0.9])


def row(*planes):
    """Planes of one row each; what they are stitched to, one row each."""
    return stitch_planes([[plane] for plane in planes])[:, 0].tolist()


def by_hand(planes, least):
    """The rule again, with sets: pairs of neighbouring planes, best first, each object once."""
    before, count, result = {}, 0, np.zeros(np.shape(planes), int)
    for z, plane in enumerate(planes):
        sets = {k: set(np.flatnonzero(plane == k)) for k in np.unique(plane) if k > 0}
        order = sorted(sets, key=lambda k: min(sets[k]))
        pairs = [
            (-len(sets[k] & old) / len(sets[k] | old), order.index(k), number)
            for k in order
            for number, old in before.items()
        ]
        named = {}
        for overlap, place, number in sorted(pairs):
            if -overlap >= least and order[place] not in named and number not in named.values():
                named[order[place]] = number
        for k in order:
            if k not in named:
                count += 1
                named[k] = count
        before = {named[k]: sets[k] for k in order}
        for number, pixels in before.items():
            result[z].ravel()[list(pixels)] = number
    return result


@settings(max_examples=60, deadline=None)
@given(VOLUMES, OVERLAPS)
def test_the_rule_is_the_one_written_down(planes, least):
    np.testing.assert_array_equal(stitch_planes(planes, min_iou=least), by_hand(planes, least))


@settings(max_examples=40, deadline=None)
@given(VOLUMES, st.randoms(use_true_random=False))
def test_the_numbers_of_objects_in_their_planes_do_not_matter(planes, random):
    renamed = []
    for plane in planes:
        numbers = random.sample(range(1, 90), 3)
        renamed.append(np.array([0, *numbers])[plane])
    np.testing.assert_array_equal(stitch_planes(planes), stitch_planes(renamed))


@settings(max_examples=40, deadline=None)
@given(VOLUMES, OVERLAPS)
def test_no_plane_is_changed_but_for_the_numbers(planes, least):
    found = stitch_planes(planes, min_iou=least)
    for before, after in zip(planes, found, strict=True):
        pairs = np.unique(np.stack([before.ravel(), after.ravel()]), axis=1)
        assert len(pairs.T) == len(np.unique(before)) == len(np.unique(after))
        assert ((before > 0) == (after > 0)).all()


@settings(max_examples=30, deadline=None)
@given(hnp.arrays(np.int64, (1, 4, 5), elements=st.integers(-1, 4)))
def test_a_volume_of_one_plane_is_the_plane(planes):
    found = stitch_planes(planes)
    assert found.max() == relabel(planes.clip(0)).max()
    pairs = np.unique(np.stack([planes.clip(0).ravel(), found.ravel()]), axis=1)
    assert len(pairs.T) == len(np.unique(planes.clip(0)))


def test_equal_planes_give_each_object_one_number():
    plane = np.array([[1, 1, 0, 2], [3, 0, 0, 2]])
    found = stitch_planes([plane] * 5)
    assert found.max() == 3
    assert (found == found[0]).all()


def test_a_split_object_continues_in_the_part_of_larger_iou():
    assert row([1, 1, 1, 1, 1], [4, 4, 4, 3, 3]) == [[1, 1, 1, 1, 1], [1, 1, 1, 2, 2]]


def test_of_two_merged_objects_the_one_of_larger_iou_continues():
    assert row([1, 1, 2, 2, 2], [5, 5, 5, 5, 5]) == [[1, 1, 2, 2, 2], [2, 2, 2, 2, 2]]


def test_equal_halves_go_on_in_the_first_of_them():
    assert row([7, 7, 7, 7], [5, 5, 2, 2]) == [[1, 1, 1, 1], [1, 1, 2, 2]]


def test_less_overlap_than_asked_begins_another_object():
    planes = [[[1, 1, 1, 0]], [[0, 0, 1, 1]]]  # one pixel of four
    assert stitch_planes(planes, min_iou=0.25).max() == 1
    assert stitch_planes(planes, min_iou=0.26).max() == 2


def test_an_object_may_be_missing_in_max_gap_planes():
    planes = [[[1, 1]], [[0, 0]], [[0, 0]], [[1, 1]]]
    counts = [int(stitch_planes(planes, max_gap=gap).max()) for gap in range(3)]
    assert counts == [2, 2, 1]
    assert not stitch_planes(planes, max_gap=2)[1:3].any()


def test_an_object_with_a_successor_in_the_next_plane_is_not_matched_over_a_gap():
    planes = [[[1, 1, 1]], [[1, 0, 0]], [[1, 2, 2]]]
    assert stitch_planes(planes, max_gap=1)[:, 0].tolist() == [[1, 1, 1], [1, 0, 0], [1, 2, 2]]


def test_objects_of_few_planes_are_left_out_and_the_others_numbered_anew():
    planes = [[[1, 0, 2]], [[0, 0, 2]]]
    assert stitch_planes(planes, min_planes=2)[:, 0].tolist() == [[0, 0, 1], [0, 0, 1]]


def test_objects_of_different_classes_are_not_joined():
    planes, classes = [[[1, 1]], [[1, 1]], [[1, 1]]], [[1], [2], [2]]
    assert stitch_planes(planes, classes=classes)[:, 0, 0].tolist() == [1, 2, 2]


def test_planes_come_one_by_one_where_there_are_too_many_for_the_memory():
    planes = np.random.default_rng(0).integers(0, 4, (5, 6, 7))
    stitcher = PlaneStitcher(0.25)
    found = [stitcher.add(plane) for plane in planes]
    np.testing.assert_array_equal(found, stitch_planes(planes))
    assert len(stitcher.classes) == np.max(found)


def test_lines_and_volumes_are_planes_too():
    assert stitch_planes([[1, 1, 0], [1, 1, 0]]).tolist() == [[1, 1, 0], [1, 1, 0]]
    assert stitch_planes(np.ones((2, 3, 4, 5), int)).max() == 1


def test_ellipsoids_cut_into_planes_come_together_again():
    truth = ellipsoids()
    rng = np.random.default_rng(1)
    planes = [np.concatenate([[0], rng.permutation(30) + 1])[plane] for plane in truth]
    # The last plane of one may be so small a cap that it does not overlap enough.
    found = matching(prediction=stitch_planes(planes, min_planes=2), truth=truth, threshold=0.9)
    assert (found.tp, found.fp, found.fn) == (9, 0, 0)


@pytest.mark.parametrize(
    ("planes", "how", "told"),
    [
        ([], {}, "at least one plane, got none"),
        ([[[1]], [[1, 0]]], {}, r"planes of shape \(1, 1\), got \(1, 2\)"),
        ([[[0.5]]], {}, "plane"),
        ([[[1]]], {"min_iou": 0.0}, "IoU above 0 and up to 1, got 0.0"),
        ([[[1]]], {"max_gap": -1}, "at least 0 planes, got -1"),
        ([[[1]]], {"min_planes": 0}, "at least 1 plane for an object, got 0"),
        ([[[1]]], {"classes": []}, "classes for 1 planes, got 0"),
        ([[[2]]], {"classes": [[1]]}, r"classes of 2 objects, got shape \(1,\)"),
    ],
)
def test_what_does_not_fit_is_told(planes, how, told):
    with pytest.raises(CongealError, match=told):
        stitch_planes(planes, **how)


def labelled_stack():
    """The labelled stack of nuclei that comes with StarDist, read without importing it."""
    spec = find_spec("stardist")
    if spec is None or spec.origin is None:
        pytest.skip("stardist is not installed")
    return imread(Path(spec.origin).parent / "data" / "images" / "mask3d.tif")


def test_planes_of_real_nuclei_come_together_again():
    truth = labelled_stack().astype(np.int64)
    planes = [relabel(plane) for plane in truth]
    found = matching(prediction=stitch_planes(planes, min_planes=2), truth=truth, threshold=0.5)
    assert found.recall > 0.75  # the others lie on top of each other and become one
    assert found.precision > 0.95
