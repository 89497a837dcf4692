"""PASCAL VOC: palette PNG, 255 as void, lists of names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from congeal.data.registry import dataset_splits, held_out_split, open_dataset
from congeal.data.voc import VocDataset

OBJECTS = np.zeros((6, 8), int)
OBJECTS[1:4, 1:3], OBJECTS[1:4, 4:7] = 1, 2
OBJECTS[0, :7] = OBJECTS[4, :7] = OBJECTS[0:5, 3] = 255
CLASSES = np.select([OBJECTS == 1, OBJECTS == 2, OBJECTS == 255], [15, 9, 255])


@pytest.fixture
def voc(tmp_path: Path, photo, numbers) -> Path:
    home = tmp_path / "VOCdevkit/VOC2012"
    lists = home / "ImageSets/Segmentation"
    lists.mkdir(parents=True)
    for split, names in {"train": ["2007_1", "2007_2"], "val": ["2008_3"], "test": ["9"]}.items():
        (lists / f"{split}.txt").write_text("\n".join(names) + "\n")
        for name in names:
            photo(home / f"JPEGImages/{name}.jpg")
            if split != "test":
                numbers(home / f"SegmentationObject/{name}.png", OBJECTS, palette=True)
                numbers(home / f"SegmentationClass/{name}.png", CLASSES, palette=True)
    return home


def test_objects_have_classes_and_void_where_255_was(voc: Path) -> None:
    sample = VocDataset(voc, "val")[0]
    assert (sample.name, sample.image.shape) == ("2008_3", (6, 8, 3))
    np.testing.assert_array_equal(sample.labels, np.where(OBJECTS == 255, -1, OBJECTS))
    np.testing.assert_array_equal(sample.semantic, np.where(CLASSES == 255, -1, CLASSES))
    assert [VocDataset.class_names[k] for k in sample.classes] == ["person", "chair"]


def test_lists_are_the_splits_and_test_images_without_labels_are_none(voc: Path) -> None:
    assert VocDataset(voc, "train").names() == ["2007_1", "2007_2"]
    assert len(VocDataset(voc)) == 3
    assert dataset_splits(voc) == ("train", "val")


@pytest.mark.parametrize("above", [0, 1, 2])
def test_the_folder_or_those_above_it_may_be_named(voc: Path, above: int) -> None:
    path = [voc, *voc.parents][above]
    data = open_dataset(path, "val")
    assert type(data) is VocDataset
    assert held_out_split(path) == "val"
    assert (data.protocol, data.other_protocols) == ("apr", ("miou",))
    assert data.name == str(path)


def test_a_name_finds_it_below_the_folder_of_the_data(voc: Path, monkeypatch) -> None:
    assert len(open_dataset(f"voc2012={voc}", "val")) == 1
    assert len(open_dataset("voc2012", "val", root=voc)) == 1
    monkeypatch.setenv("CONGEAL_DATA", str(voc.parents[1]))
    data = open_dataset("voc2012", "train", count=1)
    assert repr(data) == "<voc2012 (train): 1 images>"
    assert data.class_names[-1] == "tvmonitor"


def test_numbers_with_gaps_are_closed(voc: Path, numbers) -> None:
    numbers(voc / "SegmentationObject/2008_3.png", np.where(OBJECTS == 1, 7, OBJECTS), True)
    sample = VocDataset(voc, "val")[0]
    assert sample.labels.max() == 2
    assert sample.classes.tolist() == [9, 15]


def test_what_is_missing_or_broken_is_named(voc: Path, numbers, refused, truncate) -> None:
    path = voc / "SegmentationClass/2008_3.png"
    truncate(path)
    assert f"{path}: the file is truncated" in refused(lambda: VocDataset(voc, "val"))
    numbers(path, CLASSES[:4])
    assert f"but {path} is 4 x 8" in refused(lambda: VocDataset(voc, "val"))
    path = voc / "SegmentationObject/2007_2.png"
    path.unlink()
    assert f"labels of 2007_2 at {path}" in refused(lambda: VocDataset(voc, "train"))
    (voc / "JPEGImages/2007_1.jpg").unlink()
    assert "image of 2007_1 at" in refused(lambda: VocDataset(voc, "train"))


def test_another_folder_says_what_was_expected(tmp_path: Path, refused) -> None:
    (tmp_path / "other").mkdir()
    message = refused(lambda: VocDataset(tmp_path))
    assert "SegmentationObject" in message
    assert "it has other" in message
    assert "no such folder" in refused(lambda: VocDataset(tmp_path / "gone"))
