"""Opening datasets by name and by path."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import congeal.data
from congeal.data.registry import DATASETS, held_out_split, open_dataset
from congeal.errors import CongealError


def folder(root: Path, names: str = "abcdef", split: str = "") -> Path:
    for kind in ("images", "masks"):
        (root / kind / split).mkdir(parents=True, exist_ok=True)
        for name in names:
            Image.new("L", (8, 8)).save(root / kind / split / f"{name}.png")
    return root


@pytest.mark.parametrize("name", ["sticks", "discs", "digits"])
def test_drawn_sets_need_no_file(name: str) -> None:
    data = open_dataset(name, "val", count=2, size=64)
    assert len(data) == 2
    assert data[1].image.shape[:2] == (64, 64)
    assert data.protocol == "matching"


def test_every_name_says_what_it_is_and_whose() -> None:
    for name, info in DATASETS.items():
        assert name == info.name
        assert all((info.what, info.licence, info.source))


def test_packs_open_by_name(pack) -> None:
    pack("nuclei")
    data = open_dataset("nuclei:histology", "val", count=3)
    assert len(data) == 3
    assert data[0].image.shape[2] == 3
    assert repr(data) == "<nuclei:histology (val): 3 images>"


def test_folders_open_by_path(tmp_path: Path) -> None:
    data = open_dataset(folder(tmp_path))
    assert data.names() == list("abcdef")
    assert open_dataset(str(tmp_path), count=2).names() == ["a", "b"]
    assert open_dataset(tmp_path, count=99).names() == list("abcdef")


def test_coco_opens_by_folder_and_by_file(tmp_path: Path) -> None:
    folder(tmp_path, "a")
    content = {"images": [{"id": 1, "file_name": "a.png"}], "annotations": []}
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    for spec in (tmp_path, tmp_path / "annotations.json"):
        assert type(open_dataset(spec)).__name__ == "CocoDataset"


def test_a_name_wins_over_a_folder_unless_written_as_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder(tmp_path / "discs")
    monkeypatch.chdir(tmp_path)
    assert len(open_dataset("discs", "val")) == 32
    assert len(open_dataset("./discs")) == 6
    assert len(open_dataset(Path("discs").resolve())) == 6


def test_the_seed_divides_a_folder(tmp_path: Path) -> None:
    folder(tmp_path, "abcdefghijklmnopqrst")
    divisions = {tuple(open_dataset(tmp_path, "val", seed=s).names()) for s in range(4)}
    assert len(divisions) > 1


def test_the_part_to_test_on_is_test_or_else_validation(tmp_path: Path) -> None:
    assert held_out_split("sticks") == "test"
    assert held_out_split(folder(tmp_path / "plain")) == "val"
    folder(tmp_path / "cut", "ab", "train")
    assert held_out_split(folder(tmp_path / "cut", "c", "test")) == "test"


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("stick", "unknown dataset or folder 'stick'; did you mean 'sticks'"),
        ("nuclei:flourescence", "did you mean 'nuclei:fluorescence'"),
        ("no/such/folder", "no such folder: no/such/folder"),
        ("gone.json", "no such file: gone.json"),
    ],
)
def test_what_is_not_there_is_told(spec: str, reason: str) -> None:
    for call in (open_dataset, held_out_split):
        with pytest.raises(CongealError, match=reason):
            call(spec)


def test_counts_and_sizes_without_sense_are_refused(tmp_path: Path) -> None:
    folder(tmp_path)
    with pytest.raises(CongealError, match="got 0"):
        open_dataset(tmp_path, count=0)
    with pytest.raises(CongealError, match="drawn images only"):
        open_dataset(tmp_path, size=64)


def test_the_package_offers_its_names_lazily() -> None:
    for name in congeal.data.__all__:
        assert getattr(congeal.data, name) is not None
    assert dir(congeal.data) == sorted(congeal.data.__all__)
    with pytest.raises(AttributeError, match="nonsense"):
        congeal.data.nonsense  # noqa: B018


def test_samples_of_a_subset_are_those_of_its_source() -> None:
    source = open_dataset("discs", "val")
    some = congeal.data.Subset(source, [4, 2])
    assert some.names() == ["val-00004", "val-00002"]
    np.testing.assert_array_equal(some[1].image, source[2].image)
    with pytest.raises(IndexError):
        some[2]


@pytest.mark.parametrize("name", ["sticks", "digits", "strokes", "cables:gray"])
def test_datasets_travel_to_worker_processes(pack, name: str) -> None:
    if name in ("strokes", "cables:gray"):
        pack(name.split(":")[0])
    data = open_dataset(name, "val")
    again = pickle.loads(pickle.dumps(data))
    np.testing.assert_array_equal(again[1].labels, data[1].labels)


def test_folders_travel_to_worker_processes(tmp_path: Path) -> None:
    data = open_dataset(folder(tmp_path))
    assert pickle.loads(pickle.dumps(data)).names() == data.names()
