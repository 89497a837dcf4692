"""DSB 2018: a folder per image, a binary mask per nucleus."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from congeal.data.dsb2018 import Dsb2018Dataset
from congeal.data.registry import dataset_splits, open_dataset

NUCLEI = np.repeat([[0, 0, 1, 1, 2, 2, 3, 0]], 6, axis=0)


@pytest.fixture
def stage(tmp_path: Path, photo, numbers) -> Path:
    for name in ("00ae65", "0a7d30", "ff1234"):
        photo(tmp_path / f"stage1_train/{name}/images/{name}.png")
        for number in (1, 2, 3):
            numbers(tmp_path / f"stage1_train/{name}/masks/{number}.png", 255 * (number == NUCLEI))
    return tmp_path


@pytest.mark.parametrize("inside", ["", "stage1_train"])
def test_masks_are_joined(stage: Path, inside: str) -> None:
    data = open_dataset(stage / inside)
    assert type(data) is Dsb2018Dataset
    assert data.names() == ["00ae65", "0a7d30", "ff1234"]
    np.testing.assert_array_equal(data[1].labels, NUCLEI)


def test_validation_images_are_chosen_by_hash(stage: Path) -> None:
    assert dataset_splits(stage) == ("train", "val")
    assert len(open_dataset(f"dsb2018={stage}", "val")) == 1


def test_splits_of_a_users_folder_are_not_taken_for_it(tmp_path: Path, photo, numbers) -> None:
    photo(tmp_path / "train/images/train.png")
    numbers(tmp_path / "train/masks/train.png", NUCLEI)
    assert type(open_dataset(tmp_path)).__name__ == "FolderDataset"


def test_what_is_missing_or_broken_is_named(stage: Path, numbers, refused, truncate) -> None:
    home = stage / "stage1_train/0a7d30"
    numbers(home / "masks/2.png", 255 * (NUCLEI == 2)[:4])
    assert "masks of the same size" in refused(lambda: open_dataset(stage))
    numbers(home / "masks/2.png", NUCLEI)
    assert f"{home / 'masks/2.png'} has 4 values" in refused(lambda: open_dataset(stage))
    truncate(home / "masks/2.png")
    assert f"cannot read {home / 'masks/2.png'}" in refused(lambda: open_dataset(stage))
    for path in (home / "masks").iterdir():
        path.unlink()
    assert f"binary masks (PNG or TIFF) in {home / 'masks'}" in refused(lambda: open_dataset(stage))
    (home / "masks").rmdir()
    assert f"labels of 0a7d30 at {home / 'masks'}" in refused(lambda: open_dataset(stage))
    (home / "images/0a7d30.png").unlink()
    assert "image of 0a7d30" in refused(lambda: open_dataset(stage))
