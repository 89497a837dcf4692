"""COCO documents against pycocotools."""

from __future__ import annotations

import contextlib
import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from congeal.segmentation import Crop, Segmentation, coco_document
from congeal.segmentation.coco import encode_crop


def load(path):
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(path))


@pytest.fixture
def crossing():
    """Three sticks that cross, one of them from edge to edge of the image."""
    masks = np.zeros((3, 20, 30), bool)
    masks[0, 8:11, :] = True
    masks[1, :, 12:15] = True
    masks[2, 5:7, 5:7] = True
    return Segmentation.from_masks(masks, [0.9, 0.4, 0.7], [1, 2, 1], ["rope", "rod"])


@settings(deadline=None, max_examples=150)
@given(
    mask=hnp.arrays(bool, st.tuples(st.integers(1, 6), st.integers(1, 6))),
    above=st.integers(0, 2),
    below=st.integers(0, 2),
    left=st.integers(0, 2),
    right=st.integers(0, 2),
)
def test_runs_of_a_crop_are_those_of_the_whole_mask(mask, above, below, left, right):
    whole = np.pad(mask, ((above, below), (left, right)))
    expected = coco_mask.encode(np.asfortranarray(whole.astype(np.uint8)))
    assert encode_crop(Crop(above, left, mask), whole.shape) == {
        "size": list(whole.shape),
        "counts": expected["counts"].decode(),
    }


def test_pycocotools_reads_the_file_and_gives_the_masks_back(crossing, tmp_path):
    coco = load(crossing.save_coco(tmp_path / "a.json", "a.png"))
    annotations = coco.loadAnns(coco.getAnnIds())
    assert [a["id"] for a in annotations] == [1, 2, 3]
    for annotation, mask in zip(annotations, crossing.masks, strict=True):
        assert np.array_equal(coco.annToMask(annotation), mask)
    assert coco.loadImgs(1) == [{"id": 1, "file_name": "a.png", "width": 30, "height": 20}]
    assert [c["name"] for c in coco.loadCats(coco.getCatIds())] == ["rope", "rod"]
    assert [a["category_id"] for a in annotations] == [1, 2, 1]
    assert [a["score"] for a in annotations] == pytest.approx([0.9, 0.4, 0.7])


def test_areas_boxes_and_overlap_agree_with_pycocotools(crossing):
    annotations = coco_document([("a.png", crossing)])["annotations"]
    codes = [a["segmentation"] for a in annotations]
    assert coco_mask.area(codes).tolist() == crossing.areas.tolist()
    assert [a["area"] for a in annotations] == crossing.areas.tolist()
    boxes = coco_mask.toBbox(codes)
    np.testing.assert_array_equal(boxes, [a["bbox"] for a in annotations])
    np.testing.assert_array_equal(boxes[:, :2], crossing.boxes[:, :2])
    np.testing.assert_array_equal(boxes[:, :2] + boxes[:, 2:], crossing.boxes[:, 2:])
    flat = crossing.masks.reshape(3, -1).astype(int)
    both = flat @ flat.T
    either = flat.sum(1)[:, None] + flat.sum(1)[None] - both
    np.testing.assert_allclose(coco_mask.iou(codes, codes, [0, 0, 0]), both / either)


def test_the_file_evaluates_against_itself_with_full_marks(crossing, tmp_path):
    truth = load(crossing.save_coco(tmp_path / "a.json"))
    with contextlib.redirect_stdout(io.StringIO()):
        found = truth.loadRes(coco_document([("image.png", crossing)])["annotations"])
        evaluation = COCOeval(truth, found, "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1.0)


def test_no_objects_make_a_valid_document(tmp_path):
    path = Segmentation.from_labels(np.zeros((4, 5), int)).save_coco(tmp_path / "a.json")
    assert load(path).getAnnIds() == []
    assert json.loads(path.read_text())["categories"][0]["name"] == "object"


def test_one_document_holds_several_images_with_ids_of_their_own(crossing):
    document = coco_document([("a.png", crossing), ("b.png", crossing)])
    assert [a["id"] for a in document["annotations"]] == [1, 2, 3, 4, 5, 6]
    assert [a["image_id"] for a in document["annotations"]] == [1, 1, 1, 2, 2, 2]
    assert [i["file_name"] for i in document["images"]] == ["a.png", "b.png"]


def test_one_pixel_objects_cover_an_image_of_one_pixel():
    annotation = coco_document([("a", Segmentation.from_labels(np.ones((1, 1), int)))])
    only = annotation["annotations"][0]
    assert coco_mask.decode(only["segmentation"]).tolist() == [[1]]
