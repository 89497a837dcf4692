"""SBD: GTinst and GTcls in MATLAB files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from congeal.data.registry import open_dataset
from congeal.data.sbd import SbdDataset

OBJECTS = np.zeros((6, 8), np.uint8)
OBJECTS[1:4, 1:3], OBJECTS[1:4, 4:7] = 1, 2
CATEGORIES = np.array([[15], [9]], np.uint8)


def write(home: Path, name: str, objects=OBJECTS, categories=CATEGORIES) -> None:
    """As in the archive: structs with a cell of sparse boundaries beside the segmentation."""
    boundaries = np.empty((len(categories), 1), object)
    for k in range(len(categories)):
        boundaries[k, 0] = np.zeros(objects.shape, np.uint8)
    by_class = np.append(categories.ravel(), 0)[objects.astype(int) - 1].astype(np.uint8)
    inst = {"Segmentation": objects, "Boundaries": boundaries, "Categories": categories}
    cls = {"Segmentation": by_class, "Boundaries": boundaries, "CategoriesPresent": categories}
    for kind, variable, content in (("inst", "GTinst", inst), ("cls", "GTcls", cls)):
        (home / kind).mkdir(exist_ok=True)
        savemat(home / kind / f"{name}.mat", {variable: content}, do_compression=True)


@pytest.fixture
def sbd(tmp_path: Path, photo) -> Path:
    home = tmp_path / "benchmark_RELEASE/dataset"
    for split, name in (("train", "2008_000002"), ("val", "2008_000003")):
        photo(home / f"img/{name}.jpg")
        write(home, name)
        (home / f"{split}.txt").write_text(f"{name}\n")
    return home


def test_objects_and_classes_are_read(sbd: Path) -> None:
    data = open_dataset(sbd.parents[1], "val")
    assert type(data) is SbdDataset
    sample = data[0]
    np.testing.assert_array_equal(sample.labels, OBJECTS)
    np.testing.assert_array_equal(sample.semantic, np.array([0, 15, 9])[OBJECTS])
    assert sample.classes.tolist() == [15, 9]
    assert data.protocol == "apr"


def test_without_the_class_files_classes_follow_from_the_objects(sbd: Path) -> None:
    (sbd / "cls/2008_000003.mat").unlink()
    sample = SbdDataset(sbd, "val")[0]
    np.testing.assert_array_equal(sample.semantic, np.array([0, 15, 9])[OBJECTS])


def test_a_single_object_is_no_special_case(sbd: Path) -> None:
    write(sbd, "2008_000003", np.minimum(OBJECTS, 1), CATEGORIES[:1])
    assert SbdDataset(sbd, "val")[0].classes.tolist() == [15]


def test_an_object_without_pixels_is_left_out(sbd: Path) -> None:
    write(sbd, "2008_000003", np.where(OBJECTS == 1, 0, OBJECTS).astype(np.uint8))
    sample = SbdDataset(sbd, "val")[0]
    assert (sample.labels.max(), sample.classes.tolist()) == (1, [9])


def test_without_lists_every_file_is_taken(sbd: Path) -> None:
    for name in ("train.txt", "val.txt"):
        (sbd / name).unlink()
    assert SbdDataset(sbd).names() == ["2008_000002", "2008_000003"]


def test_what_is_missing_or_broken_is_named(sbd: Path, refused, truncate) -> None:
    path = sbd / "inst/2008_000003.mat"
    write(sbd, "2008_000003", OBJECTS, CATEGORIES[:1])
    assert f"each of 2 objects in Categories of {path}, got 1" in refused(lambda: SbdDataset(sbd))
    write(sbd, "2008_000003", OBJECTS[:4])
    assert f"{path} is 4 x 8" in refused(lambda: SbdDataset(sbd, "val"))
    savemat(path, {"other": 1})
    assert f"the variable GTinst in {path}" in refused(lambda: SbdDataset(sbd, "val"))
    savemat(path, {"GTinst": {"Boundaries": 1}})
    assert f"a field Segmentation in {path}" in refused(lambda: SbdDataset(sbd, "val"))
    write(sbd, "2008_000003")
    truncate(path)
    assert f"cannot read {path}: the file is truncated" in refused(lambda: SbdDataset(sbd, "val"))
    path.unlink()
    assert f"labels of 2008_000003 at {path}" in refused(lambda: SbdDataset(sbd, "val"))
