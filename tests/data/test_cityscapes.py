"""Cityscapes: numbers of classes and instances, groups, void, polygons."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from congeal.data.cityscapes import CITYSCAPES_CLASSES, CityscapesDataset, cityscapes_ids
from congeal.data.registry import dataset_splits, open_dataset

CAR, PERSON, ROAD = (CITYSCAPES_CLASSES.index(name) for name in ("car", "person", "road"))
# Two cars, a person, a group of cars, a caravan, road, parking (does not count), out of region.
ROW = [26000, 26001, 24000, 26, 29000, 7, 9, 3]
IDS = np.tile(ROW, (6, 1))


@pytest.fixture
def streets(tmp_path: Path, photo, numbers) -> Path:
    for split, city in (("train", "aachen"), ("val", "lindau"), ("test", "berlin")):
        name = f"{city}_000000_000019"
        photo(tmp_path / f"leftImg8bit/{split}/{city}/{name}_leftImg8bit.png")
        numbers(tmp_path / f"gtFine/{split}/{city}/{name}_gtFine_instanceIds.png", IDS)
    return tmp_path


def truth(root: Path, kind: str = "instanceIds.png") -> Path:
    return root / f"gtFine/val/lindau/lindau_000000_000019_gtFine_{kind}"


def test_the_nineteen_classes_stand_in_the_official_order() -> None:
    assert len(CITYSCAPES_CLASSES) == len(CityscapesDataset.class_ids) == 20
    assert list(CityscapesDataset.class_ids[1:]) == sorted(CityscapesDataset.class_ids[1:])
    assert CityscapesDataset.class_ids[CAR] == 26


def test_objects_groups_and_void_are_told_apart(streets: Path) -> None:
    sample = CityscapesDataset(streets, "val")[0]
    assert sample.name == "lindau_000000_000019"
    assert sample.labels[0].tolist() == [2, 3, 1, -1, 4, 0, -1, -1]
    assert sample.semantic[0].tolist() == [CAR, CAR, PERSON, CAR, -1, ROAD, -1, -1]
    assert sample.classes.tolist() == [PERSON, CAR, CAR, -1]


def test_the_official_numbers_come_back(streets: Path) -> None:
    sample = CityscapesDataset(streets, "val")[0]
    ids = cityscapes_ids(sample.labels, sample.semantic, sample.classes)
    assert ids[0].tolist() == [26000, 26001, 24000, 26, 29000, 7, 0, 0]


def test_polygons_are_drawn_where_the_picture_is_missing(streets: Path) -> None:
    def box(label: str, left: int, right: int, **more: int) -> dict:
        corners = [[left, 0], [right, 0], [right, 5], [left, 5]]
        return {"label": label, "polygon": corners, **more}

    objects = [
        *(box("road", 0, 7), box("car", 0, 0), box("car", 1, 1), box("person", 2, 2)),
        *(box("cargroup", 3, 3), box("caravan", 4, 4), box("bus", 5, 5, deleted=1)),
        *(box("parking", 6, 6), box("out of roi", 7, 7), box("license plate", 0, 0)),
    ]
    drawn = CityscapesDataset(streets, "val")[0]
    truth(streets).unlink()
    content = {"imgHeight": 6, "imgWidth": 8, "objects": objects}
    truth(streets, "polygons.json").write_text(json.dumps(content))
    sample = CityscapesDataset(streets, "val")[0]
    np.testing.assert_array_equal(sample.labels, drawn.labels)
    np.testing.assert_array_equal(sample.semantic, drawn.semantic)
    np.testing.assert_array_equal(sample.classes, drawn.classes)


def test_the_folder_is_recognised_and_test_images_are_not_offered(streets: Path) -> None:
    data = open_dataset(streets)
    assert type(data) is CityscapesDataset
    assert len(data) == 2
    assert dataset_splits(streets) == ("train", "val")
    assert data.protocol == "cityscapes"


def test_what_is_missing_or_broken_is_named(streets: Path, numbers, refused, truncate) -> None:
    def message() -> str:
        return refused(lambda: CityscapesDataset(streets, "val"))

    path, polygons = truth(streets), truth(streets, "polygons.json")
    numbers(path, IDS[:4])
    assert f"but {path} is 4 x 8" in message()
    numbers(path, IDS + 20000)
    assert f"{path} has 46000" in message()
    numbers(path, IDS)
    truncate(path)
    assert f"cannot read {path}" in message()
    path.unlink()
    assert f"labels of lindau_000000_000019 at {path}, found none" in message()
    polygons.write_text('{"imgHeight": 6, "imgWidth"')
    assert f"{polygons} is damaged" in message()
    content = {"imgHeight": 6, "imgWidth": 8, "objects": [{"label": "cat", "polygon": []}]}
    polygons.write_text(json.dumps(content))
    assert f"in {polygons}, got 'cat'" in message()
