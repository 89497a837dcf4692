"""COCO files: polygons, run lengths, crowds, splits and mistakes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from congeal.data.coco import CocoDataset
from congeal.data.runs import is_empty_rle
from congeal.errors import CongealError

SIZE = (12, 16)
SQUARE = {"id": 1, "image_id": 1, "segmentation": [[2, 2, 10, 2, 10, 10, 2, 10]]}


def runs(mask: np.ndarray, compressed: bool) -> dict[str, Any]:
    rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    if compressed:
        return {"size": list(SIZE), "counts": rle["counts"].decode()}
    flat = mask.astype(int).ravel(order="F")
    ends = np.flatnonzero(np.diff(np.concatenate([[0], flat]))).tolist()
    return {"size": list(SIZE), "counts": np.diff([0, *ends, flat.size]).tolist()}


def write(root: Path, *annotations: Any, name: str = "annotations.json", **changes: Any) -> Path:
    (root / "images").mkdir(exist_ok=True)
    Image.new("RGB", SIZE[::-1]).save(root / "images/a.png")
    record = {"id": 1, "file_name": "a.png", "height": SIZE[0], "width": SIZE[1]}
    content = {"images": [record], "annotations": list(annotations), **changes}
    (root / name).write_text(json.dumps(content))
    return root


def message(path: Path, split: str = "all") -> str:
    with pytest.raises(CongealError) as caught:
        list(CocoDataset(path, split))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_polygons_become_objects(tmp_path: Path) -> None:
    sample = CocoDataset(write(tmp_path, SQUARE))[0]
    expected = np.zeros(SIZE, np.int64)
    expected[2:10, 2:10] = 1
    np.testing.assert_array_equal(sample.labels, expected)
    assert (sample.name, sample.image.shape) == ("a", (*SIZE, 3))


@pytest.mark.parametrize("compressed", [True, False])
def test_run_lengths_become_objects(tmp_path: Path, compressed: bool) -> None:
    mask = np.random.default_rng(0).random(SIZE) > 0.5
    annotation = {"image_id": 1, "segmentation": runs(mask, compressed)}
    np.testing.assert_array_equal(CocoDataset(write(tmp_path, annotation))[0].labels, mask)


def test_objects_keep_the_order_of_the_file_and_small_ones_lie_on_top(tmp_path: Path) -> None:
    small = {"image_id": 1, "segmentation": [[4, 4, 6, 4, 6, 6, 4, 6]]}
    labels = CocoDataset(write(tmp_path, small, SQUARE))[0].labels
    assert labels[5, 5] == 1
    assert labels[3, 3] == 2


def test_crowds_are_void_where_no_object_is(tmp_path: Path) -> None:
    crowd = {"image_id": 1, "iscrowd": 1, "segmentation": runs(np.ones(SIZE), True)}
    labels = CocoDataset(write(tmp_path, crowd, SQUARE))[0].labels
    assert labels[5, 5] == 1
    assert labels[0, 0] == -1
    assert set(np.unique(labels)) == {-1, 1}


def test_channels_of_the_images_may_be_chosen(tmp_path: Path) -> None:
    write(tmp_path, SQUARE)
    pixels = np.random.default_rng(0).integers(0, 256, (*SIZE, 4), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "images/a.png")
    sample = CocoDataset(tmp_path, channels=[3, 1])[0]
    np.testing.assert_array_equal(sample.image, pixels[..., [3, 1]])


def test_images_without_objects_are_all_background(tmp_path: Path) -> None:
    assert not CocoDataset(write(tmp_path))[0].labels.any()


def test_a_json_may_be_named_outright_and_images_lie_beside_it(tmp_path: Path) -> None:
    write(tmp_path, SQUARE)
    (tmp_path / "images/a.png").rename(tmp_path / "a.png")
    path = (tmp_path / "annotations.json").rename(tmp_path / "mine.json")
    assert CocoDataset(path)[0].labels.max() == 1


def test_the_layout_of_coco_itself_is_understood(tmp_path: Path) -> None:
    write(tmp_path, SQUARE)
    (tmp_path / "annotations").mkdir()
    (tmp_path / "images").rename(tmp_path / "val2017")
    path = tmp_path / "annotations/instances_val2017.json"
    (tmp_path / "annotations.json").rename(path)
    assert CocoDataset(path)[0].labels.max() == 1


def test_files_per_split_are_found(tmp_path: Path) -> None:
    write(tmp_path, SQUARE, name="annotations_train.json")
    write(tmp_path, name="annotations_test.json")
    assert CocoDataset(tmp_path, "train")[0].labels.max() == 1
    assert CocoDataset(tmp_path, "test")[0].labels.max() == 0
    assert len(CocoDataset(tmp_path)) == 2


def test_images_in_folders_keep_them_in_their_names(tmp_path: Path) -> None:
    write(tmp_path, images=[{"id": 1, "file_name": "x/a.png"}])
    (tmp_path / "images/x").mkdir()
    (tmp_path / "images/a.png").rename(tmp_path / "images/x/a.png")
    assert CocoDataset(tmp_path).names() == ["x__a"]


@pytest.mark.parametrize(
    "told",
    ["images\\a.png", "C:\\data\\images\\a.png", "/content/drive/a.png", "\\\\nas\\x\\a.png"],
)
def test_paths_of_windows_and_of_other_machines_are_found(tmp_path: Path, told: str) -> None:
    write(tmp_path, SQUARE, images=[{"id": 1, "file_name": told}])
    sample = CocoDataset(tmp_path)[0]
    assert sample.labels.max() == 1
    assert sample.name == ("images__a" if told.startswith("images") else "a")


def test_two_paths_of_another_machine_are_not_taken_for_one_image(tmp_path: Path) -> None:
    both = [{"id": i, "file_name": f"/content/{i}/a.png"} for i in (1, 2)]
    write(tmp_path, images=both)
    assert "'/content/1/a.png' and '/content/2/a.png'" in message(tmp_path)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-8"])
def test_byte_order_marks_are_read(tmp_path: Path, encoding: str) -> None:
    path = write(tmp_path, SQUARE) / "annotations.json"
    path.write_bytes(path.read_text().encode(encoding))
    assert CocoDataset(tmp_path)[0].labels.max() == 1


@pytest.mark.parametrize(
    ("told", "crowd"),
    [("0", False), ("1", True), ("false", False), (None, False), (1.0, True), (True, True)],
)
def test_crowds_are_told_in_several_ways(tmp_path: Path, told: object, crowd: bool) -> None:
    labels = CocoDataset(write(tmp_path, SQUARE | {"iscrowd": told}))[0].labels
    assert labels[5, 5] == (-1 if crowd else 1)


@pytest.mark.parametrize("told", ["maybe", 2, [], {"a": 1}])
def test_anything_else_as_a_crowd_is_refused(tmp_path: Path, told: object) -> None:
    text = message(write(tmp_path, SQUARE | {"iscrowd": told}))
    assert "expected 0 or 1 as iscrowd, annotation 1 of a.png" in text


@pytest.mark.parametrize("told", [None, 10**400, float("nan"), -4, "9", [3]])
def test_an_area_that_is_none_is_counted(tmp_path: Path, told: object) -> None:
    assert CocoDataset(write(tmp_path, SQUARE | {"area": told}))[0].masks[0].area == 64.0


@pytest.mark.parametrize(
    ("annotation", "empty"),
    [
        (SQUARE, False),
        (SQUARE | {"segmentation": []}, True),
        (SQUARE | {"segmentation": [[3, 3, 4, 4]]}, True),
        (SQUARE | {"segmentation": {"size": list(SIZE), "counts": [192]}}, True),
    ],
)
def test_objects_without_a_pixel_are_known(tmp_path: Path, annotation: Any, empty: bool) -> None:
    mask = CocoDataset(write(tmp_path, annotation))[0].masks[0]
    assert is_empty_rle(mask.rle) == empty


def test_what_is_quoted_of_a_file_is_short(tmp_path: Path) -> None:
    for change in (
        {"id": "x" * 5000, "segmentation": 3},
        {"segmentation": {"size": [1] * 5000}},
        {"segmentation": {"counts": [10**400]}},
        {"iscrowd": "y" * 5000},
        {"image_id": "z" * 5000},
    ):
        assert len(message(write(tmp_path, SQUARE | change))) < 500


@pytest.mark.parametrize(
    ("annotation", "reason"),
    [
        ({"id": 9, "image_id": 1}, "annotation 9 of a.png in .*annotations.json: it has no segm"),
        ({"id": 9, "image_id": 1, "segmentation": [[1, 2, 3, 4, 5]]}, "annotation 9 .* 5 numbers"),
        ({"id": 9, "image_id": 1, "segmentation": {"counts": [5]}}, "annotation 9 .* cover 5 pix"),
        ({"id": 9, "image_id": 7, "segmentation": []}, "in every annotation of .*, got 7"),
        ("nonsense", "in every annotation of .*, got None"),
    ],
)
def test_broken_annotations_are_named(tmp_path: Path, annotation: Any, reason: str) -> None:
    with pytest.raises(CongealError, match=reason):
        list(CocoDataset(write(tmp_path, annotation)))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"images": []}, "expected images in .*, found none"),
        ({"images": None}, "no list of images"),
        ({"annotations": {}}, "no list of annotations"),
        ({"images": [{"id": 1}]}, "id and file_name"),
        ({"images": [{"id": 1, "file_name": "b.png"}]}, "the image 'b.png'"),
        (
            {"images": [{"id": 1, "file_name": "a.png"}] * 2},
            "expected unique image ids, .* has 1 twice",
        ),
        (
            {"images": [{"id": 1, "file_name": "a.png", "height": 16, "width": 12}]},
            "a.png to be 16 x 12 .* got 12 x 16",
        ),
    ],
)
def test_broken_files_are_named(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    write(tmp_path, **changes)
    with pytest.raises(CongealError, match=reason):
        list(CocoDataset(tmp_path))


def test_missing_and_truncated_json_is_named(tmp_path: Path) -> None:
    assert "no such file" in message(tmp_path / "gone.json")
    assert "expected a COCO file" in message(tmp_path)
    write(tmp_path, SQUARE)
    path = tmp_path / "annotations.json"
    path.write_text(path.read_text()[:40])
    assert "annotations.json is damaged or not JSON" in message(tmp_path)


def test_a_real_file_gives_the_label_maps_that_were_made_from_it(pack) -> None:
    root = pack("coco_mini")
    data = CocoDataset(root, "val")
    for i in range(0, len(data), 10):
        sample = data[i]
        stored = np.asarray(Image.open(root / f"instances/val/{sample.name}.png")).astype(int)
        np.testing.assert_array_equal(sample.labels == -1, stored == 65535)
        np.testing.assert_array_equal(sample.labels > 0, (stored > 0) & (stored < 65535))
