"""CamVid: SegNet's folders and those of the pack."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from congeal.data.camvid import CamVidDataset
from congeal.data.registry import dataset_splits, open_dataset

CLASSES = np.repeat([[0, 0, 1, 3, 8, 10, 11, 11]], 6, axis=0)


@pytest.fixture
def segnet(tmp_path: Path, photo, numbers) -> Path:
    for split, names in {"train": ["b", "a"], "val": ["c"], "test": ["d"]}.items():
        lines = []
        for name in names:
            photo(tmp_path / f"{split}/{name}.png")
            numbers(tmp_path / f"{split}annot/{name}.png", CLASSES)
            kinds = (split, f"{split}annot")
            lines.append(" ".join(f"/SegNet/CamVid/{kind}/{name}.png" for kind in kinds))
        (tmp_path / f"{split}.txt").write_text("\n".join(lines))
    return tmp_path


def test_classes_start_at_one_and_11_is_void(segnet: Path) -> None:
    data = open_dataset(segnet, "val")
    assert type(data) is CamVidDataset
    sample = data[0]
    assert sample.semantic[0].tolist() == [1, 1, 2, 4, 9, 11, -1, -1]
    assert [data.class_names[k] for k in (1, 4, 11)] == ["sky", "road", "bicyclist"]
    assert data.protocol == "miou"


def test_every_class_is_one_object(segnet: Path) -> None:
    sample = CamVidDataset(segnet, "val")[0]
    assert sample.labels[0].tolist() == [1, 1, 2, 3, 4, 5, -1, -1]
    assert sample.classes.tolist() == [1, 2, 4, 9, 11]


def test_lists_give_the_order_and_folders_do_without(segnet: Path) -> None:
    assert dataset_splits(segnet) == ("train", "val", "test")
    assert CamVidDataset(segnet, "train").names() == ["b", "a"]
    (segnet / "train.txt").unlink()
    assert CamVidDataset(segnet, "train").names() == ["a", "b"]


def test_what_is_missing_or_broken_is_named(segnet: Path, numbers, refused, truncate) -> None:
    path = segnet / "valannot/c.png"
    numbers(path, CLASSES + 1)
    assert f"{path} has 12" in refused(lambda: CamVidDataset(segnet, "val"))
    numbers(path, CLASSES[:4])
    assert f"but {path} is 4 x 8" in refused(lambda: CamVidDataset(segnet, "val"))
    truncate(path)
    assert f"cannot read {path}" in refused(lambda: CamVidDataset(segnet, "val"))
    path.unlink()
    assert f"labels of c at {path}" in refused(lambda: CamVidDataset(segnet, "val"))
    (segnet / "val.txt").write_bytes(b"\xff\xfe\x00")
    assert "val.txt is not text" in refused(lambda: CamVidDataset(segnet, "val"))


def test_the_pack_holds_what_its_readme_says(pack) -> None:
    root = pack("camvid")
    splits = {split: open_dataset("camvid", split) for split in ("train", "val", "test")}
    assert [len(data) for data in splits.values()] == [367, 101, 233]
    sample = splits["test"][5]
    assert sample.image.shape == (360, 480, 3)
    assert set(np.unique(sample.semantic)) <= {-1, *range(1, 12)}
    assert type(open_dataset(root, "val")) is CamVidDataset
