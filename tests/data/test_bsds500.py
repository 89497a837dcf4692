"""BSDS500: a MATLAB cell of annotators, each a struct with segments and boundaries."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from congeal.data.bsds500 import Bsds500Dataset
from congeal.data.registry import dataset_splits, held_out_split, open_dataset

FIRST = np.repeat([[1, 2]], 4, axis=1) * np.ones((6, 1), int)
SECOND = np.repeat([[1, 2, 3, 4]], 2, axis=1) * np.ones((6, 1), int)


def write(path: Path, *people: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cell = np.empty((1, len(people)), object)
    for k, segments in enumerate(people):
        edges = np.zeros(segments.shape, np.uint8)
        edges[:, 4] = 1
        cell[0, k] = {"Segmentation": segments.astype(np.uint16), "Boundaries": edges}
    savemat(path, {"groundTruth": cell}, do_compression=True)


@pytest.fixture
def bsds(tmp_path: Path, photo) -> Path:
    home = tmp_path / "BSR/BSDS500/data"
    for split, names in {"train": ["10", "9"], "val": ["3"], "test": ["4"]}.items():
        for name in names:
            photo(home / f"images/{split}/{name}.jpg")
            write(home / f"groundTruth/{split}/{name}.mat", FIRST, SECOND)
    return home


def test_every_annotator_is_read(bsds: Path) -> None:
    sample = Bsds500Dataset(bsds, "val")[0]
    np.testing.assert_array_equal(sample.annotations, [FIRST, SECOND])
    np.testing.assert_array_equal(sample.labels, FIRST)
    assert [edges.sum() for edges in sample.boundaries] == [6, 6]
    assert all(edges.dtype == bool for edges in sample.boundaries)
    assert sample.labels.dtype == np.int64


def test_a_single_annotator_is_no_special_case(bsds: Path) -> None:
    write(bsds / "groundTruth/val/3.mat", SECOND)
    assert len(Bsds500Dataset(bsds, "val")[0].annotations) == 1


def test_folders_are_the_splits_in_natural_order(bsds: Path) -> None:
    assert Bsds500Dataset(bsds, "train").names() == ["9", "10"]
    for path in (bsds, bsds.parent, bsds.parents[1], bsds.parents[2]):
        assert type(open_dataset(path)) is Bsds500Dataset
    assert dataset_splits(bsds) == ("train", "val", "test")
    assert held_out_split(bsds) == "test"


def test_what_is_missing_or_broken_is_named(bsds: Path, refused, truncate) -> None:
    path = bsds / "groundTruth/val/3.mat"
    write(path, FIRST, SECOND[:4])
    assert f"{path} is 4 x 8" in refused(lambda: Bsds500Dataset(bsds, "val"))
    write(path, FIRST - 1)
    assert f"numbered from 1 in {path}, got 0" in refused(lambda: Bsds500Dataset(bsds, "val"))
    write(path)
    assert f"annotations in {path}, found none" in refused(lambda: Bsds500Dataset(bsds, "val"))
    path.write_bytes(b"MATLAB 5.0 MAT-file" + bytes(200))
    assert str(path) in refused(lambda: Bsds500Dataset(bsds, "val"))
    write(path, FIRST)
    truncate(path)
    assert str(path) in refused(lambda: Bsds500Dataset(bsds, "val"))
    path.unlink()
    assert f"labels of 3 at {path}, found none" in refused(lambda: Bsds500Dataset(bsds, "val"))


def test_the_pack_holds_what_its_readme_says(pack) -> None:
    root = pack("bsds500").parent
    splits = {split: len(open_dataset("bsds500", split)) for split in ("train", "val", "test")}
    assert splits == {"train": 200, "val": 100, "test": 200}
    sample = Bsds500Dataset(root / "bsds500", "test")[7]
    assert sorted(sample.labels.shape) == [321, 481]
    assert 4 <= len(sample.annotations) == len(sample.boundaries) <= 9
    assert all(drawn.min() == 1 for drawn in sample.annotations)


def test_the_selftest_of_the_benchmark_opens_though_it_has_no_splits(pack) -> None:
    data = open_dataset(pack("bsds_bench") / "mini5")
    assert data.names() == ["2018", "3063", "5096", "6046", "8068"]
    assert len(data[0].annotations) >= 4
