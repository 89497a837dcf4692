"""ADE20K for scene parsing: class ids as PNG, 0 for anything else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from congeal.data.ade20k import Ade20kDataset
from congeal.data.registry import dataset_splits, open_dataset

CLASSES = np.repeat([[0, 0, 5, 5, 150, 150, 1, 1]], 6, axis=0)


@pytest.fixture
def scenes(tmp_path: Path, photo, numbers) -> Path:
    for split, name in (("training", "ADE_train_00000001"), ("validation", "ADE_val_00000001")):
        photo(tmp_path / f"images/{split}/{name}.jpg")
        numbers(tmp_path / f"annotations/{split}/{name}.png", CLASSES)
    rows = ["Idx\tRatio\tTrain\tVal\tName", "1\t.1\t5\t6\twall", "2\t.1\t5\t6\tbuilding, edifice"]
    (tmp_path / "objectInfo150.txt").write_text("\n".join(rows))
    return tmp_path


def test_anything_else_is_void_and_classes_keep_their_numbers(scenes: Path) -> None:
    data = open_dataset(scenes, "val")
    assert type(data) is Ade20kDataset
    assert data[0].semantic[0].tolist() == [-1, -1, 5, 5, 150, 150, 1, 1]
    assert data[0].labels[0].tolist() == [-1, -1, 2, 2, 3, 3, 1, 1]
    assert data[0].classes.tolist() == [1, 5, 150]
    assert data.class_names == ("background", "wall", "building")
    assert dataset_splits(scenes) == ("train", "val")


def test_other_sets_call_the_splits_train_and_val(scenes: Path) -> None:
    for kind in ("images", "annotations"):
        (scenes / kind / "training").rename(scenes / kind / "train")
        (scenes / kind / "validation").rename(scenes / kind / "val")
    (scenes / "objectInfo150.txt").unlink()
    data = open_dataset(scenes, "train")
    assert data.names() == ["ADE_train_00000001"]
    assert data.class_names == ()
    (scenes / "classes.txt").write_text("wall\nfloor\n")
    assert open_dataset(scenes, "train").class_names == ("background", "wall", "floor")


def test_without_its_table_the_classes_are_numbered(scenes: Path) -> None:
    (scenes / "objectInfo150.txt").unlink()
    names = open_dataset(scenes, "train").class_names
    assert (len(names), names[0], names[150]) == (151, "background", "class 150")


def test_what_is_missing_or_broken_is_named(scenes: Path, numbers, refused, truncate) -> None:
    path = scenes / "annotations/validation/ADE_val_00000001.png"
    numbers(path, CLASSES[:4])
    assert f"but {path} is 4 x 8" in refused(lambda: Ade20kDataset(scenes, "val"))
    truncate(path)
    assert f"cannot read {path}" in refused(lambda: Ade20kDataset(scenes, "val"))
    path.unlink()
    assert f"labels of ADE_val_00000001 at {path}" in refused(lambda: Ade20kDataset(scenes, "val"))
