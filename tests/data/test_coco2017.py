"""COCO in its own folders: categories, crowds and overlaps kept for the protocol."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from congeal.data.coco import CocoDataset
from congeal.data.coco2017 import Coco2017Dataset
from congeal.data.registry import dataset_splits, held_out_split, open_dataset

CATEGORIES = [{"id": 18, "name": "dog"}, {"id": 1, "name": "person"}, {"id": 44, "name": "bottle"}]
BIG = {"id": 7, "category_id": 18, "area": 19.5, "segmentation": [[0, 0, 6, 0, 6, 4, 0, 4]]}
SMALL = {"id": 8, "category_id": 1, "segmentation": [[1, 1, 3, 1, 3, 3, 1, 3]]}


def crowd() -> dict[str, Any]:
    mask = np.zeros((6, 8), np.uint8, order="F")
    mask[3:, :] = 1
    counts = coco_mask.encode(mask)["counts"].decode()
    return {
        **{"id": 9, "category_id": 1, "iscrowd": 1},
        "segmentation": {"size": [6, 8], "counts": counts},
    }


def write(root: Path, split: str, photo, *annotations: dict[str, Any]) -> Path:
    name = f"{split}_1.jpg"
    photo(root / f"{split}2017/{name}")
    content = {
        "images": [{"id": 5, "file_name": name, "height": 6, "width": 8}],
        "annotations": [{"image_id": 5, **annotation} for annotation in annotations],
        "categories": CATEGORIES,
    }
    (root / "annotations").mkdir(exist_ok=True)
    path = root / f"annotations/instances_{split}2017.json"
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def coco(tmp_path: Path, photo) -> Path:
    write(tmp_path, "train", photo, BIG)
    write(tmp_path, "val", photo, crowd(), BIG, SMALL)
    return tmp_path


def test_labels_show_what_is_seen_and_masks_hold_it_whole(coco: Path) -> None:
    sample = Coco2017Dataset(coco, "val")[0]
    expected = np.zeros((6, 8), int)
    expected[3:] = -1
    expected[:4, :6], expected[1:3, 1:3] = 1, 2
    np.testing.assert_array_equal(sample.labels, expected)
    np.testing.assert_array_equal(
        sample.semantic, np.select([expected > 1, expected < 0], [1, -1], 2 * expected)
    )
    assert sample.classes.tolist() == [2, 1]
    whole = [coco_mask.decode(mask.rle) for mask in sample.masks]
    assert [int(mask.sum()) for mask in whole] == [24, 4, 24]
    assert [mask.crowd for mask in sample.masks] == [False, False, True]
    assert [mask.class_id for mask in sample.masks] == [2, 1, 1]
    assert [mask.key for mask in sample.masks] == [7, 8, 9]


def test_the_area_is_that_of_the_file_or_else_counted(coco: Path) -> None:
    assert [mask.area for mask in Coco2017Dataset(coco, "val")[0].masks] == [19.5, 4, 24]


def test_classes_are_numbered_by_category_and_keep_their_own_numbers(coco: Path) -> None:
    data = Coco2017Dataset(coco, "val")
    assert data.class_names == ("background", "person", "dog", "bottle")
    assert data.class_ids == (0, 1, 18, 44)


def test_the_official_tool_reads_the_masks_as_the_file_has_them(coco: Path) -> None:
    from pycocotools.coco import COCO

    official = COCO(str(coco / "annotations/instances_val2017.json"))
    for mask in Coco2017Dataset(coco, "val")[0].masks:
        np.testing.assert_array_equal(
            coco_mask.decode(mask.rle), official.annToMask(official.anns[mask.key])
        )


def test_the_folders_are_recognised(coco: Path) -> None:
    data = open_dataset(coco, "val")
    assert type(data) is Coco2017Dataset
    assert dataset_splits(coco) == ("train", "val")
    assert held_out_split(coco) == "val"
    assert len(open_dataset(coco)) == 2
    assert (data.protocol, open_dataset(f"coco2017={coco}").name) == ("coco", "coco2017")


def test_only_the_file_asked_for_is_read(coco: Path) -> None:
    (coco / "annotations/instances_train2017.json").write_text("broken")
    assert Coco2017Dataset(coco, "val").names() == ["val_1"]


def test_without_a_validation_file_the_training_images_are_divided(coco: Path) -> None:
    (coco / "annotations/instances_val2017.json").unlink()
    assert len(Coco2017Dataset(coco, "train")) == 1
    assert len(Coco2017Dataset(coco, "val")) == 0


def test_a_category_that_is_not_listed_is_named(coco: Path, photo, refused) -> None:
    path = write(coco, "val", photo, {**BIG, "category_id": 3})
    message = refused(lambda: Coco2017Dataset(coco, "val"))
    assert f"a category listed in {path}, annotation 7 of val_1.jpg has 3" in message


def test_broken_files_are_named(coco: Path, refused, truncate) -> None:
    path = coco / "annotations/instances_val2017.json"
    (coco / "val2017/val_1.jpg").unlink()
    assert f"the image 'val_1.jpg' of {path}" in refused(lambda: Coco2017Dataset(coco, "val"))
    truncate(path)
    assert f"{path} is damaged" in refused(lambda: Coco2017Dataset(coco, "val"))
    assert "instances_train2017.json" in refused(lambda: Coco2017Dataset(coco / "val2017"))
    assert "did you mean 'train'" in refused(lambda: Coco2017Dataset(coco, "trian"))


def test_files_of_a_user_must_agree_on_their_categories(tmp_path: Path, photo, refused) -> None:
    for split, name in (("train", "cell"), ("val", "worm")):
        photo(tmp_path / f"images/{split}.png")
        content = {
            "images": [{"id": 1, "file_name": f"{split}.png"}],
            "annotations": [],
            "categories": [{"id": 1, "name": name}],
        }
        (tmp_path / f"instances_{split}.json").write_text(json.dumps(content))
    assert "has 'cell' and 'worm'" in refused(lambda: CocoDataset(tmp_path, "val"))


def test_the_pack_gives_the_class_maps_that_were_made_from_it(pack) -> None:
    from PIL import Image

    root = pack("coco_mini")
    data = open_dataset("coco_mini", "val")
    assert (data.protocol, len(data.class_names), data.class_ids[80]) == ("coco", 81, 90)
    for i in range(0, len(data), 10):
        sample = data[i]
        stored = np.asarray(Image.open(root / f"semantic/val/{sample.name}.png")).astype(int)
        np.testing.assert_array_equal(sample.semantic, np.where(stored == 255, -1, stored))
        assert len(sample.classes) == sum(not mask.crowd for mask in sample.masks)
