"""COCO files as Roboflow and CVAT lay them out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from congeal.data import open_dataset
from congeal.data.registry import dataset_splits
from congeal.errors import CongealError


def write(file: Path, images: Path, *names: str) -> None:
    """A COCO file with an object of class cell in each image."""
    images.mkdir(parents=True, exist_ok=True)
    file.parent.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.new("L", (6, 4)).save(images / f"{name}.png")
    square = [[1, 1, 3, 1, 3, 3, 1, 3]]
    content = {
        "images": [{"id": k, "file_name": f"{name}.png"} for k, name in enumerate(names)],
        "annotations": [
            {"id": k, "image_id": k, "category_id": 5, "segmentation": square}
            for k in range(len(names))
        ],
        "categories": [{"id": 5, "name": "cell"}],
    }
    file.write_text(json.dumps(content))


def test_roboflow_has_its_images_beside_the_file(tmp_path: Path) -> None:
    for split, names in (("train", "ab"), ("valid", "c"), ("test", "d")):
        write(tmp_path / split / "_annotations.coco.json", tmp_path / split, *names)
    assert open_dataset(tmp_path, "train").names() == ["a", "b"]
    val = open_dataset(tmp_path, "val")
    assert (val.names(), val.class_names) == (["c"], ("background", "cell"))
    assert val[0].classes.tolist() == [1]
    assert dataset_splits(tmp_path) == ("train", "val", "test")
    assert open_dataset(tmp_path / "valid").names() == ["c"]


def test_cvat_has_one_file_beside_the_images(tmp_path: Path) -> None:
    write(tmp_path / "annotations/instances_default.json", tmp_path / "images", *"abcdefgh")
    assert len(open_dataset(tmp_path)) == 8
    assert set(open_dataset(tmp_path, "val").names()) < set("abcdefgh")
    assert (open_dataset(tmp_path)[0].labels > 0).sum() == 4


def test_cvat_has_a_file_for_each_subset(tmp_path: Path) -> None:
    for subset, name in (("Train", "a"), ("Validation", "b")):
        write(tmp_path / f"annotations/instances_{subset}.json", tmp_path / "images" / subset, name)
    assert open_dataset(tmp_path, "train").names() == ["a"]
    assert open_dataset(tmp_path, "val").names() == ["b"]
    write(tmp_path / "annotations/instances_valid.json", tmp_path / "images", "c")
    with pytest.raises(CongealError, match="expected one file for the split val"):
        open_dataset(tmp_path)
