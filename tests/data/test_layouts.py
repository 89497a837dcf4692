"""Names, folders and readers of the published datasets agree with each other."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from congeal.data.catalogue import DATASETS
from congeal.data.drawn import KINDS
from congeal.data.layouts import NAMED, find_layout, find_named
from congeal.data.packs import PACKS
from congeal.data.registry import is_available, open_dataset
from congeal.errors import CongealError

PAGE = Path(__file__).resolve().parents[2] / "docs/data.md"


def test_every_name_can_be_opened_and_every_reader_has_a_name() -> None:
    assert set(DATASETS) == {*KINDS, *PACKS, *NAMED}


@pytest.mark.parametrize("name", [name for name in NAMED if name != "coco_mini"])
def test_the_catalogue_tells_the_protocol_of_the_reader(name: str) -> None:
    reader = NAMED[name].open
    reader = reader.func if isinstance(reader, partial) else reader
    assert DATASETS[name].protocol == reader.protocol
    assert reader.protocol not in reader.other_protocols


@pytest.mark.parametrize("name", [*NAMED, *PACKS])
def test_the_page_lists_it(name: str) -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert f"`{name}`" in text or (name.startswith("cvppp:") and "`cvppp:A1` to `A4`" in text)


@pytest.mark.parametrize("name", NAMED)
def test_what_is_not_here_says_where_to_get_it(name: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("CONGEAL_DATA", str(tmp_path))
    assert not is_available(name)
    with pytest.raises(CongealError) as caught:
        open_dataset(name)
    for part in (DATASETS[name].source, str(tmp_path), f"{name}=FOLDER"):
        assert part in str(caught.value)
    with pytest.raises(CongealError, match="no such folder"):
        open_dataset(f"{name}={tmp_path / 'gone'}")
    with pytest.raises(CongealError, match=str(tmp_path)):
        find_named(name, tmp_path)


def test_only_published_datasets_lie_elsewhere(tmp_path: Path) -> None:
    with pytest.raises(CongealError, match="sticks needs none"):
        open_dataset(f"sticks={tmp_path}")
    with pytest.raises(CongealError, match="did you mean 'voc2012'"):
        open_dataset(f"voc2021={tmp_path}")
    with pytest.raises(CongealError, match="needs none"):
        open_dataset(tmp_path, root=tmp_path)


def test_a_pack_may_lie_anywhere(pack) -> None:
    folder = pack("nuclei")
    assert len(open_dataset(f"nuclei:histology={folder}", "val")) == 13
    assert len(open_dataset("nuclei", "val", root=folder.parent)) == 73


def test_a_users_folder_is_none_of_them(tmp_path: Path, photo, numbers) -> None:
    for split in ("train", "val"):
        photo(tmp_path / f"images/{split}/a.png")
        numbers(tmp_path / f"labels/{split}/a.png", np.eye(6, 8))
    assert find_layout(tmp_path) is None
    assert type(open_dataset(tmp_path, "val")).__name__ == "FolderDataset"


def test_classes_survive_a_subset(pack) -> None:
    pack("camvid")
    data = open_dataset("camvid", "val", count=2)
    assert (data.class_names[9], data.class_ids[9], data.protocol) == ("car", 8, "miou")


@pytest.mark.parametrize("name", ["coco_mini", "coco_mini:super", "camvid", "nuclei:modality"])
def test_classes_follow_one_convention(pack, name: str) -> None:
    pack(name.partition(":")[0])
    data = open_dataset(name, "val", count=3)
    assert data.class_names[0] == "background"
    for sample in data:
        numbers = np.unique(sample.labels[sample.labels > 0])
        assert len(sample.classes) >= numbers[-1]
        assert set(sample.classes.tolist()) <= set(range(1, len(data.class_names)))
        assert sample.semantic.shape == sample.labels.shape
        for number in numbers[:9]:
            of_object = sample.semantic[sample.labels == number]
            assert set(of_object.tolist()) == {sample.classes[number - 1]}
