"""CVPPP: leaves beside their plants, in four folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from congeal.data.cvppp import CvpppDataset
from congeal.data.registry import dataset_splits, open_dataset

LEAVES = np.repeat([[0, 0, 1, 1, 2, 2, 3, 0]], 6, axis=0)


@pytest.fixture
def plants(tmp_path: Path, photo, numbers) -> Path:
    for subset, count in (("A1", 3), ("A2", 1), ("A4", 2)):
        for i in range(1, count + 1):
            stem = tmp_path / subset / f"plant{i:03d}"
            photo(stem.with_name(f"{stem.name}_rgb.png"))
            numbers(stem.with_name(f"{stem.name}_label.png"), LEAVES, palette=True)
            numbers(stem.with_name(f"{stem.name}_fg.png"), LEAVES > 0)
    return tmp_path


def test_leaves_keep_their_numbers(plants: Path) -> None:
    sample = CvpppDataset(plants / "A1")[0]
    assert (sample.name, sample.image.shape) == ("plant001", (6, 8, 3))
    np.testing.assert_array_equal(sample.labels, LEAVES)


def test_several_folders_are_told_apart_by_name(plants: Path) -> None:
    data = open_dataset(plants)
    assert type(data) is CvpppDataset
    assert len(data) == 6
    assert data.names()[-2:] == ["A4__plant001", "A4__plant002"]


def test_one_of_them_has_a_name(plants: Path, monkeypatch, refused) -> None:
    assert len(open_dataset(f"cvppp:A4={plants}")) == 2
    assert len(open_dataset(f"cvppp:A4={plants / 'A4'}")) == 2
    assert "expected the folder A3" in refused(lambda: open_dataset(f"cvppp:A3={plants}"))
    monkeypatch.setenv("CONGEAL_DATA", str(plants))
    plants_folder = plants / "cvppp"
    plants_folder.mkdir()
    (plants / "A1").rename(plants_folder / "A1")
    assert len(open_dataset("cvppp:A1")) == 3
    assert len(open_dataset("cvppp")) == 3


def test_validation_images_are_chosen_by_hash(plants: Path) -> None:
    assert dataset_splits(plants / "A1") == ("train", "val")
    parts = [open_dataset(plants / "A1", split).names() for split in ("train", "val")]
    assert sorted(parts[0] + parts[1]) == ["plant001", "plant002", "plant003"]
    assert all(parts)


def test_what_is_missing_or_broken_is_named(plants: Path, numbers, refused, truncate) -> None:
    path = plants / "A1/plant002_label.png"
    numbers(path, LEAVES[:4])
    assert f"but {path} is 4 x 8" in refused(lambda: open_dataset(plants / "A1"))
    truncate(path)
    assert f"cannot read {path}" in refused(lambda: open_dataset(plants / "A1"))
    path.unlink()
    assert f"labels of plant002 at {path}" in refused(lambda: open_dataset(plants / "A1"))
