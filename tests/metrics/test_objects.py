from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco_mask

from congeal.errors import CongealError
from congeal.metrics import Objects
from congeal.metrics.objects import check_classes, intersections, mask_iou, void_pixels

GOLDEN = Path(__file__).parent / "golden" / "coco"
RLE = np.load(GOLDEN / "rle.npz")
CODES = json.loads((GOLDEN / "rle.json").read_text())
SIZE = tuple(int(n) for n in RLE["shape"][1:])
MASKS = np.unpackbits(RLE["masks"], axis=1)[:, : SIZE[0] * SIZE[1]].reshape(-1, *SIZE) > 0

shapes = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=7)
maps = hnp.arrays(np.int64, shapes, elements=st.integers(-1, 5))
stacks = shapes.flatmap(
    lambda shape: st.tuples(
        hnp.arrays(np.bool_, (3, *shape)),
        hnp.arrays(np.bool_, (4, *shape)),
        hnp.arrays(np.bool_, shape),
    )
)


def decoded(objects):
    return [coco_mask.decode(code) > 0 for code in objects.rle()]


def test_masks_are_encoded_as_the_official_tool_does():
    found = Objects.from_masks(MASKS)
    assert [code.decode() for code in found.masks] == CODES
    assert found.pixels().tolist() == RLE["area"].tolist()
    assert found.areas.tolist() == RLE["area"].tolist()
    np.testing.assert_array_equal(decoded(found), MASKS)


def test_iou_is_that_of_the_official_tool():
    found = Objects.from_masks(MASKS)
    iou = mask_iou(found.take(range(10, 20)), found.take(range(10)))
    assert np.abs(iou.T - RLE["iou"]).max() < 1e-15


@given(maps)
def test_a_label_map_gives_one_mask_for_each_label(labels):
    found = Objects.from_labels(labels)
    ids = np.unique(labels[labels > 0])
    assert len(found) == len(ids)
    for mask, code, label in zip(decoded(found), found.masks, ids, strict=True):
        np.testing.assert_array_equal(mask, labels == label)
        assert code == coco_mask.encode(np.asfortranarray(labels == label, np.uint8))["counts"]
    assert (found.void is None) == bool((labels != -1).all())


@given(stacks)
def test_overlaps_are_those_of_the_pixels(masks):
    a, b, hidden = masks
    true, pred = Objects.from_masks(a, void=hidden), Objects.from_masks(b)
    shared = np.array([[(x & y).sum() for y in b] for x in a])
    union = np.array([[(x | y).sum() for y in b] for x in a])
    np.testing.assert_array_equal(intersections(true, pred), shared)
    np.testing.assert_array_equal(mask_iou(true, pred), shared / np.maximum(union, 1))
    np.testing.assert_array_equal(void_pixels(true, pred), (b & hidden).sum((1, 2)))
    np.testing.assert_array_equal(decoded(pred.without(true.void)), b & ~hidden)


def test_more_than_255_objects_are_counted():
    found = Objects.from_labels(np.arange(1, 601).reshape(20, 30))
    assert found.pixels().tolist() == [1] * 600
    assert mask_iou(found, found).trace() == 600


def test_classes_and_scores_go_by_label_or_by_rank():
    labels = [[9, 0, 4]]
    by_label = Objects.from_labels(labels, {4: 1, 9: 2}, {4: 0.25, 9: 0.75})
    by_rank = Objects.from_labels(labels, [1, 2], [0.25, 0.75])
    for found in (by_label, by_rank):
        assert found.classes.tolist() == [1, 2]
        assert found.scores.tolist() == [0.25, 0.75]


def test_coco_annotations_keep_the_area_they_state_and_results_do_not():
    polygon = [[0, 0, 2, 0, 2, 2, 0, 2]]
    one = {"category_id": 1, "segmentation": polygon, "area": 3.5, "iscrowd": 1}
    text = {"size": [4, 4], "counts": Objects.from_labels(np.eye(4, dtype=int)).masks[0].decode()}
    two = {"category_id": 2, "segmentation": text, "area": 9, "score": 0.5}
    empty = {"category_id": 2, "segmentation": []}
    found = Objects.from_coco([one, two, empty], (4, 4))
    assert found.areas.tolist() == [3.5, 4, 0]
    assert found.pixels().tolist() == [4, 4, 0]
    assert found.crowd.tolist() == [True, False, False]
    assert found.scores.tolist() == [1, 0.5, 1]


@pytest.mark.parametrize(
    "made", [Objects.from_labels([[0, 0]]), Objects.from_masks(np.zeros((0, 1, 2)))]
)
def test_an_image_without_objects_is_fine(made):
    other = Objects.from_labels([[1, 2]])
    assert len(made) == 0
    assert made.size == (1, 2)
    assert mask_iou(made, other).shape == (0, 2)
    assert intersections(other, made).shape == (2, 0)
    assert len(made.take([])) == len(made.without(b"2")) == 0


def test_objects_travel_between_processes():
    found = Objects.from_labels([[1, 2, -1]], [5, 6], [0.5, 0.25])
    there = pickle.loads(pickle.dumps(found))
    assert there.masks == found.masks
    assert there.void == found.void


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Objects.from_labels(np.zeros((2, 2, 2), int)), r"\(H, W\), got shape"),
        (lambda: Objects.from_labels([[1.0]]), "integer labels"),
        (lambda: Objects.from_labels([[1, 2]], {1: 3}), "a class for every label, got none for 2"),
        (lambda: Objects.from_labels([[1, 2]], [3]), "one class for each of 2 objects"),
        (
            lambda: Objects.from_labels([[1]], scores=[np.nan]),
            "finite scores, got nan for object 0",
        ),
        (lambda: Objects.from_labels([[1]], scores=[np.inf]), "finite scores, got inf"),
        (lambda: Objects.from_labels([[1]], [1.5]), "classes to be integers from 0, got float64"),
        (lambda: Objects.from_labels([[1]], [-2]), r"classes to be integers from 0, got \[-2\]"),
        (lambda: Objects.from_masks(np.zeros((2, 2))), r"masks \(K, H, W\)"),
        (
            lambda: Objects.from_masks(np.zeros((1, 2, 2)), void=np.zeros((2, 3))),
            "void of the size",
        ),
        (lambda: Objects.from_rle([{"size": [2, 3], "counts": [6]}], (3, 2)), "masks of size"),
        (
            lambda: mask_iou(Objects.from_labels([[1]]), Objects.from_labels([[1, 1]])),
            r"same size, got \(1, 1\) and \(1, 2\)",
        ),
        (lambda: check_classes(Objects.from_labels([[1]], [4]), (1, 2)), "unknown class '4'"),
    ],
)
def test_bad_input_is_told_in_one_line(make, told):
    with pytest.raises(CongealError, match=told) as caught:
        make()
    assert "\n" not in str(caught.value)
