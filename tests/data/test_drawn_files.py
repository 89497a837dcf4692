"""Drawn images in the layouts of published datasets come back as they were drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from congeal.data.cityscapes import CityscapesDataset, cityscapes_ids
from congeal.data.cvppp import CvpppDataset
from congeal.data.drawn_files import write_cityscapes, write_cvppp
from congeal.data.registry import open_dataset
from congeal.data.scenes_streets import draw_street
from congeal.errors import CongealError

# Own car, parking and whatever else takes no part in Cityscapes' scores.
NOT_COUNTED = (1, 9)


def contents(folder: Path) -> dict[str, bytes]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_plants_are_read_as_cvppp(tmp_path: Path) -> None:
    home = write_cvppp(tmp_path, 3, size=(106, 100), objects=(5, 9))
    assert (home / "plant003_label.png").is_file()
    data = open_dataset(tmp_path)
    assert type(data) is CvpppDataset
    for sample in CvpppDataset(home):
        assert sample.image.shape == (106, 100, 3)
        assert 5 <= sample.labels.max() <= 9
        stored = np.array(Image.open(home / f"{sample.name}_label.png"))
        np.testing.assert_array_equal(sample.labels, stored)


def test_plants_have_the_size_of_a1_unless_told_otherwise(tmp_path: Path) -> None:
    sample = CvpppDataset(write_cvppp(tmp_path, 1))[0]
    assert sample.image.shape == (530, 500, 3)
    assert 5 <= sample.labels.max() <= 25


def test_streets_are_read_as_cityscapes(tmp_path: Path) -> None:
    write_cityscapes(tmp_path, 3, 2, size=(64, 128))
    data = open_dataset(tmp_path, "train")
    assert type(data) is CityscapesDataset
    assert [len(data), len(open_dataset(tmp_path, "val"))] == [3, 2]
    for sample in data:
        beside = tmp_path / "gtFine/train/aachen" / f"{sample.name}_gtFine_instanceIds.png"
        stored = np.array(Image.open(beside)).astype(np.int64)
        stored[np.isin(stored, NOT_COUNTED)] = 0
        assert sample.semantic is not None
        assert sample.classes is not None
        ids = cityscapes_ids(sample.labels, sample.semantic, sample.classes)
        np.testing.assert_array_equal(ids, stored)


def test_what_is_drawn_is_what_is_read(tmp_path: Path) -> None:
    import zlib

    write_cityscapes(tmp_path, 1, 1, size=(64, 128), objects=(5, 5), seed=3)
    rng = np.random.default_rng([3, zlib.crc32(b"val"), 0])
    rng.integers(5, 6)
    image, ids = draw_street(rng, (64, 128), 5)
    sample = CityscapesDataset(tmp_path, "val")[0]
    np.testing.assert_array_equal(sample.image, image)
    np.testing.assert_array_equal(sample.labels > 0, ids >= 24000)


def test_classes_stand_beside_the_instances(tmp_path: Path) -> None:
    write_cityscapes(tmp_path, 1, 1, size=(64, 128))
    for path in tmp_path.rglob("*_labelIds.png"):
        instances = np.array(Image.open(str(path).replace("label", "instance"))).astype(int)
        np.testing.assert_array_equal(
            np.array(Image.open(path)), np.where(instances >= 1000, instances // 1000, instances)
        )


def test_files_depend_on_the_seed_only(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_cityscapes(tmp_path / name, 1, 1, size=(32, 64), seed=seed)
        write_cvppp(tmp_path / name, 1, size=(64, 64), seed=seed)
    first, again, other = (contents(tmp_path / name) for name in "abc")
    assert first == again
    assert first.keys() == other.keys()
    assert all(first[name] != other[name] for name in first)


def test_counts_without_sense_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CongealError, match="got 0"):
        write_cvppp(tmp_path, 0)
    with pytest.raises(CongealError, match="got 0"):
        write_cityscapes(tmp_path, 1, 0)
