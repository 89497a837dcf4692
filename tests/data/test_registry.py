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
        assert all((info.description, info.licence, info.source))


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


@pytest.fixture
def spelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A folder, and the ways to name it."""
    home = tmp_path / "data"
    home.mkdir()
    (tmp_path / "link").symlink_to(home)
    monkeypatch.chdir(tmp_path)
    return home, ("data", "./data", "data/", "data/../data", home, "link", tmp_path / "link")


def spread(root: Path, count: int = 24) -> None:
    names = [f"cell{number}" for number in range(count)]
    for kind in ("images", "masks"):
        (root / kind).mkdir()
        for name in names:
            Image.new("L", (8, 8)).save(root / kind / f"{name}.png")


@pytest.mark.parametrize("kind", ["folder", "coco", "export", "arrays", "cvppp", "dsb2018"])
def test_the_split_does_not_depend_on_how_the_data_is_named(spelled, kind: str) -> None:
    home, spellings = spelled
    if kind in ("folder", "coco", "export"):
        spread(home)
    listed = [{"id": k, "file_name": f"cell{k}.png"} for k in range(24)]
    content = json.dumps({"images": listed, "annotations": []})
    if kind == "coco":
        (home / "annotations.json").write_text(content)
    if kind == "export":
        (home / "annotations").mkdir()
        (home / "annotations/instances_default.json").write_text(content)
    if kind == "arrays":
        np.save(home / "images.npy", np.zeros((24, 8, 8), np.uint8))
        np.save(home / "labels.npy", np.zeros((24, 8, 8), np.uint8))
    for number in range(24):
        if kind == "cvppp":
            for ending in ("rgb", "label"):
                (home / "A1").mkdir(exist_ok=True)
                Image.new("L", (8, 8)).save(home / f"A1/plant{number:03}_{ending}.png")
        if kind == "dsb2018":
            for part, name in (("images", f"n{number}"), ("masks", "0")):
                (home / f"n{number}" / part).mkdir(parents=True)
                Image.new("L", (8, 8)).save(home / f"n{number}/{part}/{name}.png")
    held = [tuple(open_dataset(spelling, "val").names()) for spelling in spellings]
    assert len(set(held)) == 1
    assert 1 <= len(held[0]) < 12
    if kind == "cvppp":  # one folder of it, or that folder as part of the whole
        alone = open_dataset(home / "A1", "val").names()
        assert [f"A1__{name}" for name in alone] == list(held[0])


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
    with pytest.raises(CongealError, match="synthetic images only"):
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
