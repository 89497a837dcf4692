"""coco_mini with its classes, and with those joined."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from congeal.data import open_dataset
from congeal.errors import CongealError


def write(root: Path, categories: list[dict]) -> Path:
    """An image with three objects."""
    (root / "images").mkdir(exist_ok=True)
    Image.new("L", (6, 2)).save(root / "images/a.png")
    objects = [
        {
            "id": k,
            "image_id": 1,
            "category_id": category,
            "segmentation": [[x, 0, x + 2, 0, x + 2, 2, x, 2]],
        }
        for k, (category, x) in enumerate([(7, 0), (2, 2), (9, 4)])
    ]
    content = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "annotations": objects,
        "categories": categories,
    }
    for split in ("train", "val"):
        (root / f"instances_{split}.json").write_text(json.dumps(content))
    return root


def test_joined_classes_are_numbered_by_their_first_category(tmp_path: Path) -> None:
    above = {2: ("car", "vehicle"), 7: ("dog", "animal"), 9: ("bus", "vehicle")}
    rows = [{"id": k, "name": name, "supercategory": up} for k, (name, up) in above.items()]
    write(tmp_path, rows)
    data = open_dataset(f"coco_mini:super={tmp_path}", "val")
    assert (data.class_names, data.class_ids) == (("background", "vehicle", "animal"), ())
    assert data[0].classes.tolist() == [2, 1, 1]
    assert [mask.class_id for mask in data[0].masks] == [2, 1, 1]
    plain = open_dataset(f"coco_mini={tmp_path}", "val")
    assert plain.class_names == ("background", "car", "dog", "bus")
    assert plain[0].classes.tolist() == [2, 1, 3]


def test_a_category_without_one_above_is_told(tmp_path: Path) -> None:
    write(tmp_path, [{"id": k, "name": f"c{k}"} for k in (2, 7, 9)])
    with pytest.raises(CongealError, match="expected a supercategory for every category"):
        open_dataset(f"coco_mini:super={tmp_path}")


def test_the_pack_has_80_classes_or_12(pack) -> None:
    pack("coco_mini")
    plain, joined = (open_dataset(name, "val") for name in ("coco_mini", "coco_mini:super"))
    assert (len(plain.class_names), len(joined.class_names)) == (81, 13)
    assert joined.class_names[1:4] == ("person", "vehicle", "outdoor")
    assert plain.protocol == joined.protocol == "coco"
    table = (pack("coco_mini") / "classes.csv").read_text().splitlines()[2:]
    above = {row.split(",")[2]: row.split(",")[3] for row in table}
    for index in (0, 9):
        fine, coarse = plain[index], joined[index]
        expected = Counter(above[plain.class_names[k]] for k in fine.classes.tolist())
        assert Counter(joined.class_names[k] for k in coarse.classes.tolist()) == expected
        np.testing.assert_array_equal(fine.labels, coarse.labels)
        np.testing.assert_array_equal(fine.semantic > 0, coarse.semantic > 0)
