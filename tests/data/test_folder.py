"""A user's folder: the layouts that work and the mistakes that are named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from congeal.data.folder import FolderDataset, folder_parts
from congeal.errors import CongealError

LABELS = np.kron(np.array([[0, 1], [2, 0]], np.uint8), np.ones((5, 5), np.uint8))


def put(path: Path, array: np.ndarray = LABELS) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".tif":
        tifffile.imwrite(path, array)
    else:
        Image.fromarray(array).save(path)


def message(root: Path, split: str = "all") -> str:
    with pytest.raises(CongealError) as caught:
        list(FolderDataset(root, split))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("masks", ["masks", "labels"])
def test_images_and_masks_are_matched_by_stem(tmp_path: Path, masks: str) -> None:
    put(tmp_path / "images/b10.png")
    put(tmp_path / "images/b9.jpg")
    put(tmp_path / masks / "b9.tif")
    put(tmp_path / masks / "b10.png")
    data = FolderDataset(tmp_path)
    assert data.names() == ["b9", "b10"]
    for sample in data:
        assert sample.image.shape == (10, 10, 1)
        np.testing.assert_array_equal(sample.labels, LABELS)
        assert sample.path is not None


@pytest.mark.parametrize("mask", ["a_labels.png", "a_masks.tif", "a_mask.png", "a.png"])
def test_masks_may_carry_the_endings_that_programs_give_them(tmp_path: Path, mask: str) -> None:
    put(tmp_path / "images/a.png")
    put(tmp_path / "masks" / mask)
    assert FolderDataset(tmp_path).names() == ["a"]


def test_microscope_endings_are_matched(tmp_path: Path) -> None:
    put(tmp_path / "images/a.ome.tif")
    put(tmp_path / "masks/a.png")
    put(tmp_path / "images/b.ome.tif")
    put(tmp_path / "masks/b.ome.tif")
    assert FolderDataset(tmp_path).names() == ["a", "b"]


def test_a_folder_of_binary_masks_makes_a_label_map(tmp_path: Path) -> None:
    put(tmp_path / "images/a.png")
    put(tmp_path / "masks/a/1.png", (LABELS == 1).astype(np.uint8) * 255)
    put(tmp_path / "masks/a/2.tif", LABELS == 2)
    put(tmp_path / "masks/a/10.png", np.zeros_like(LABELS))
    np.testing.assert_array_equal(FolderDataset(tmp_path)[0].labels, LABELS)


def test_where_binary_masks_overlap_the_smaller_is_on_top(tmp_path: Path) -> None:
    put(tmp_path / "images/a.png")
    put(tmp_path / "masks/a/1.png", (LABELS == 1).astype(np.uint8))
    put(tmp_path / "masks/a/2.png", np.ones_like(LABELS))
    labels = FolderDataset(tmp_path)[0].labels
    np.testing.assert_array_equal(labels, np.where(LABELS == 1, 1, 2))


@pytest.mark.parametrize("pattern", ["{kind}/{split}/{name}", "{split}/{kind}/{name}"])
def test_split_folders_are_understood(tmp_path: Path, pattern: str) -> None:
    for split, names in {"train": "ab", "val": "c", "test": "d"}.items():
        for name in names:
            for kind in ("images", "masks"):
                put(tmp_path / pattern.format(kind=kind, split=split, name=f"{name}.png"))
    assert FolderDataset(tmp_path, "train").names() == ["a", "b"]
    assert FolderDataset(tmp_path, "test").names() == ["d"]
    assert FolderDataset(tmp_path).names() == ["a", "b", "c", "d"]


@pytest.mark.parametrize("pattern", ["{kind}/{split}/{name}", "{split}/{kind}/{name}"])
@pytest.mark.parametrize("names", ["training validation testing", "Train valid TEST"])
def test_split_folders_have_their_common_names(tmp_path: Path, pattern: str, names: str) -> None:
    for split, name in zip(names.split(), "abc", strict=True):
        for kind in ("images", "masks"):
            put(tmp_path / pattern.format(kind=kind, split=split, name=f"{name}.png"))
    for split, name in (("train", "a"), ("val", "b"), ("test", "c")):
        assert FolderDataset(tmp_path, split).names() == [name]


def test_masks_may_call_the_splits_otherwise(tmp_path: Path) -> None:
    put(tmp_path / "images/validation/a.png")
    put(tmp_path / "masks/val/a.png")
    assert FolderDataset(tmp_path, "val").names() == ["a"]


def test_two_folders_for_one_split_are_refused(tmp_path: Path) -> None:
    for split in ("val", "valid"):
        put(tmp_path / f"images/{split}/a.png")
        put(tmp_path / f"masks/{split}/a.png")
    assert "for the split val in" in message(tmp_path)


def test_folders_that_are_no_split_are_told(tmp_path: Path) -> None:
    put(tmp_path / "images/first/a.png")
    put(tmp_path / "masks/first/a.png")
    assert "it has the folders first (names of split folders: train, training" in message(tmp_path)


def test_a_split_without_images_is_told(tmp_path: Path) -> None:
    put(tmp_path / "train/images/a.png")
    put(tmp_path / "train/masks/a.png")
    put(tmp_path / "valid/a.png")
    assert f"expected a folder images in {tmp_path}/valid" in message(tmp_path)


def many(root: Path, count: int) -> Path:
    for i in range(count):
        put(root / f"images/{i}.png")
        put(root / f"masks/{i}.png")
    return root


def test_without_splits_a_stable_hash_divides(tmp_path: Path) -> None:
    many(tmp_path, 20)
    train, val = FolderDataset(tmp_path, "train"), FolderDataset(tmp_path, "val")
    assert sorted(train.names() + val.names()) == sorted(FolderDataset(tmp_path).names())
    assert 1 <= len(val) <= 8
    assert FolderDataset(tmp_path, "val", seed=1).names() != val.names()


def test_one_image_is_all_training(tmp_path: Path) -> None:
    many(tmp_path, 1)
    assert len(FolderDataset(tmp_path, "train")) == 1
    assert len(FolderDataset(tmp_path, "val")) == 0


def test_a_folder_without_test_split_says_so(tmp_path: Path) -> None:
    assert "'test'" in message(many(tmp_path, 2), "test")


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    assert "no such folder" in message(tmp_path / "gone")
    put(tmp_path / "file.png")
    assert "file.png is a file" in message(tmp_path / "file.png")


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    assert "found no images (it has nothing)" in message(tmp_path)
    (tmp_path / "images").mkdir()
    assert "found no masks (it has images)" in message(tmp_path)
    (tmp_path / "masks").mkdir()
    assert "it is empty" in message(tmp_path)


def test_files_of_other_kinds_are_told(tmp_path: Path) -> None:
    put(tmp_path / "masks/a.png")
    (tmp_path / "images").mkdir()
    (tmp_path / "images/a.czi").write_bytes(b"1")
    assert "found only other files (1 .czi)" in message(tmp_path)


def test_an_image_without_mask_is_named_in_the_error(tmp_path: Path) -> None:
    many(tmp_path, 2)
    put(tmp_path / "images/lonely.jpg")
    text = message(tmp_path)
    assert "none for lonely.jpg" in text
    assert "lonely.png" in text


def test_masks_of_other_kinds_are_told(tmp_path: Path) -> None:
    put(tmp_path / "images/a.png")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/a.txt").write_text("0 .5 .5 .1 .1")
    assert message(tmp_path).endswith("labels has none: found only other files (1 .txt)")


def test_masks_may_be_gif(tmp_path: Path) -> None:
    put(tmp_path / "images/a.png")
    put(tmp_path / "masks/a_mask.gif")
    assert set(np.unique(FolderDataset(tmp_path)[0].labels)) == {0, 1, 2}


def test_a_mask_without_image_is_named_in_the_error(tmp_path: Path) -> None:
    many(tmp_path, 2)
    for name in "pqrst":
        put(tmp_path / f"masks/{name}.png")
    assert "has p.png, q.png, r.png and 2 more without" in message(tmp_path)


def test_two_files_for_one_name_are_refused(tmp_path: Path) -> None:
    many(tmp_path, 1)
    put(tmp_path / "masks/0.tif")
    assert "0.png and 0.tif" in message(tmp_path)


def test_sizes_that_differ_name_both_files(tmp_path: Path) -> None:
    put(tmp_path / "images/a.png", np.zeros((4, 5), np.uint8))
    put(tmp_path / "masks/a.png")
    text = message(tmp_path)
    assert "images/a.png is 4 x 5" in text
    assert "masks/a.png is 10 x 10" in text


def test_a_photograph_as_mask_is_refused(tmp_path: Path) -> None:
    photograph = np.random.default_rng(0).integers(0, 256, (10, 10, 3), dtype=np.uint8)
    put(tmp_path / "images/a.png", photograph)
    put(tmp_path / "masks/a.png", photograph)
    assert "masks/a.png is a colour image" in message(tmp_path)


def test_binary_masks_that_are_not_binary_or_not_equal_in_size_are_refused(tmp_path: Path) -> None:
    put(tmp_path / "images/a.png")
    put(tmp_path / "masks/a/1.png")
    assert "1.png has 3 values" in message(tmp_path)
    put(tmp_path / "masks/a/1.png", (LABELS == 1).astype(np.uint8))
    put(tmp_path / "masks/a/2.png", np.ones((3, 3), np.uint8))
    assert "2.png is 3 x 3, 1.png is 10 x 10" in message(tmp_path)


def test_a_folder_of_no_binary_masks_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "images/a.png")
    (tmp_path / "masks/a").mkdir(parents=True)
    assert "masks/a, found none" in message(tmp_path)


def test_images_both_loose_and_in_splits_are_refused(tmp_path: Path) -> None:
    put(tmp_path / "images/train/a.png")
    put(tmp_path / "masks/train/a.png")
    put(tmp_path / "images/b.png")
    assert "both (b.png)" in message(tmp_path)


def test_hidden_files_do_not_count(tmp_path: Path) -> None:
    many(tmp_path, 2)
    put(tmp_path / "images/._0.png")
    put(tmp_path / "masks/.DS_Store.png")
    assert folder_parts(tmp_path)["all"][0].name == "0"


def test_a_truncated_image_is_named_when_it_is_read(tmp_path: Path) -> None:
    many(tmp_path, 2)
    path = tmp_path / "images/1.png"
    path.write_bytes(path.read_bytes()[:50])
    assert FolderDataset(tmp_path)[0].name == "0"
    assert "images/1.png: the file is truncated" in message(tmp_path)


def test_the_packs_are_folders_too(pack) -> None:
    data = FolderDataset(pack("strokes"), "val")
    assert len(data) == 150
    assert data[0].labels.max() >= 2
