"""The look-over before training."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from congeal.data.check import check_dataset, check_spec, check_splits, quick_problems
from congeal.data.drawn import DrawnDataset
from congeal.data.folder import FolderDataset
from congeal.data.sample import Dataset, Sample

RNG = np.random.default_rng(0)
LABELS = np.kron(np.array([[0, 1], [2, 0]]), np.ones((10, 10), int))


class Given(Dataset):
    """Samples handed over."""

    def __init__(self, *pairs: tuple[np.ndarray, np.ndarray]) -> None:
        self.name, self.split = "given", "all"
        self.samples = [Sample(f"s{i}", image, labels) for i, (image, labels) in enumerate(pairs)]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample:
        return self.samples[index]

    def names(self) -> list[str]:
        return [sample.name for sample in self.samples]


def noise(shape: tuple[int, ...] = (20, 20)) -> np.ndarray:
    return RNG.integers(0, 256, (*shape, 1), dtype=np.uint8)


@pytest.mark.parametrize("kind", ["sticks", "discs", "digits"])
def test_drawn_sets_have_no_problems(kind: str) -> None:
    assert check_dataset(DrawnDataset(kind, "val", count=5)) == []


def test_files_that_cannot_be_used_are_listed_and_the_rest_is_read(tmp_path: Path) -> None:
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
        for name in "abc":
            picture = noise()[..., 0] if kind == "images" else LABELS.astype(np.uint8)
            Image.fromarray(picture).save(tmp_path / kind / f"{name}.png")
    (tmp_path / "images/a.png").write_bytes(b"broken")
    Image.new("L", (3, 3)).save(tmp_path / "masks/c.png")
    problems = check_dataset(FolderDataset(tmp_path))
    assert len(problems) == 2
    assert problems[0].startswith("a: expected an image")
    assert "3 x 3" in problems[1]


def test_constant_images_are_reported() -> None:
    problems = check_dataset(Given((np.full((20, 20, 1), 7, np.uint8), LABELS)))
    assert problems == ["s0: the image is constant (every value is 7); export it again"]


def test_tiny_images_are_reported() -> None:
    problems = check_dataset(Given((noise((1, 1)), np.ones((1, 1), int)), (noise(), LABELS)))
    assert "s0: the image is only 1 x 1 pixels; cut larger ones" in problems


def test_the_same_picture_twice_is_reported() -> None:
    image = noise()
    assert check_dataset(Given((image, LABELS), (noise(), LABELS), (image.copy(), LABELS))) == [
        "s2: the image is the same as s0; keep one of them"
    ]


def test_tiny_objects_are_reported_with_their_numbers() -> None:
    labels = LABELS.copy()
    labels[15, 15], labels[0, 0:3] = 7, 9
    assert check_dataset(Given((noise(), labels))) == [
        "s0: objects under 4 pixels: 2 (label 7, 9); remove them or make them void"
    ]


def test_no_objects_anywhere_is_a_problem_but_in_one_image_it_is_not() -> None:
    empty = np.zeros((20, 20), int)
    assert check_dataset(Given((noise(), empty))) == [
        "no mask has any object; check that masks are not all 0"
    ]
    assert check_dataset(Given((noise(), empty), (noise(), LABELS))) == []


def test_stray_pieces_are_reported_unless_something_may_hide_the_rest() -> None:
    labels = LABELS.copy()
    labels[15, 15] = labels[15, 17] = 2  # in the open
    labels[10, 8:10], labels[9, 9] = 1, 1
    assert check_dataset(Given((noise(), labels))) == [
        "s0: objects with separate pieces under 4 pixels: 1 (label 2); remove these pieces"
    ]
    labels = LABELS.copy()
    labels[19, 19] = labels[5, 15] = 2  # at the border, and within another object
    labels[14:16, 13:16], labels[14, 14] = -1, 2
    assert check_dataset(Given((noise(), labels))) == []


def test_objects_in_pieces_are_a_note() -> None:
    labels = LABELS.copy()
    labels[14:17, 14:17] = 1
    found = check_splits({"all": Given((noise(), labels))})
    assert found.problems == []
    assert found.notes[0].startswith("1 of 2 objects are in several pieces: normal where")


def test_the_end_of_8_bits_is_a_problem() -> None:
    many = np.kron(np.arange(256).reshape(16, 16), np.ones((3, 3), int))
    problems = check_dataset(Given((noise(many.shape), many)))
    assert len(problems) == 1
    assert "255 objects numbered up to 255" in problems[0]
    assert "16 bits" in problems[0]
    assert check_dataset(Given((noise(many.shape), many + 1))) == []


def test_255_beside_small_numbers_looks_like_void() -> None:
    labels = LABELS.copy()
    labels[9:11] = 255
    problems = check_dataset(Given((noise(), labels), (noise(), LABELS)))
    assert len(problems) == 1
    assert problems[0].startswith("label 255 is far above the others in 1 image (such as")


@pytest.mark.parametrize("top", [32767, 65535, 2**31 - 1, 2**32 - 1])
def test_the_top_of_wider_types_looks_like_void_too(top: int) -> None:
    labels = LABELS.copy()
    labels[9:11] = top
    problems = check_dataset(Given((noise(), labels), (noise(), LABELS)))
    assert [problem.split(":")[0] for problem in problems] == [
        f"label {top} is far above the others in 1 image (such as s0)"
    ]
    labels[9:11] = top - 1
    assert check_dataset(Given((noise(), labels), (noise(), LABELS))) == []


def test_masks_without_background_are_reported() -> None:
    problems = check_dataset(Given((noise(), LABELS + 1), (noise(), LABELS + 1)))
    assert problems == [
        "no mask has background (0), and the lowest label covers 50% of it: if it is the "
        "background, store it as 0"
    ]
    tiles = np.kron(np.arange(1, 5).reshape(2, 2), np.ones((10, 10), int))
    assert check_dataset(Given((noise(), tiles), (noise(), tiles))) == []


def spots() -> np.ndarray:
    """Nine patches, each with its number."""
    labels = np.zeros((40, 40), int)
    for k in range(9):
        row, column = 13 * (k // 3), 13 * (k % 3)
        labels[row + 2 : row + 10, column + 2 : column + 10] = k + 1
    return labels


def test_maps_of_classes_given_as_masks_are_reported() -> None:
    classes = np.where(spots() > 5, 2, spots() > 0)
    found = check_splits({"all": Given(*[(noise((40, 40)), classes) for _ in range(3)])})
    assert found.problems == [
        "all masks have the same 2 labels, each with 4.5 pieces on average: if these are semantic "
        "maps, label their connected components, or move them to semantic/ with a classes.txt"
    ]
    assert found.notes == []


def test_objects_that_cross_each_other_are_no_classes() -> None:
    crossing = np.zeros((40, 40), int)
    crossing[:, 18:22] = 1
    crossing[4:8], crossing[30:34] = 2, 3
    crossing[4:8, 10:14], crossing[30:34, 28:32] = 1, 1
    assert check_dataset(Given(*[(noise((40, 40)), crossing) for _ in range(3)])) == []


def test_a_few_masks_tell_what_all_tell() -> None:
    binary = Given(*[(noise((40, 40)), 255 * (spots() > 0)) for _ in range(9)])
    assert quick_problems(binary, limit=3) == check_dataset(binary)
    assert "with 9.0 pieces on average" in quick_problems(binary)[0]
    read: list[int] = []

    class Counting(Given):
        def __getitem__(self, index: int) -> Sample:
            read.append(index)
            return super().__getitem__(index)

    good = Counting(*[(noise((40, 40)), spots()) for _ in range(9)])
    assert quick_problems(good, limit=3) == []
    assert read == [0, 3, 6]
    assert quick_problems(Given()) == []


def save(root: Path, name: str, labels: np.ndarray = LABELS) -> None:
    for kind, pixels in (("images", noise()[..., 0]), ("masks", labels)):
        (root / kind).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(root / kind / f"{name}.png")


def test_images_set_aside_for_validation_are_looked_over_too(tmp_path: Path) -> None:
    for k in range(8):
        save(tmp_path / "train", str(k))
    aside = FolderDataset(tmp_path, "val").names()[0]
    (tmp_path / f"train/images/{aside}.png").write_bytes(b"")
    found = check_spec(tmp_path)
    assert found.images == 8
    assert [problem.split(": ")[0] for problem in found.problems] == [f"val/{aside}"]


def test_ignored_files_are_counted(tmp_path: Path) -> None:
    save(tmp_path, "a")
    for name in ("b.czi", "c.czi", "notes.txt", ".hidden.lif"):
        (tmp_path / "images" / name).write_bytes(b"1")
    found = check_spec(tmp_path)
    assert (found.images, found.problems) == (1, [])
    assert found.notes == [
        f"2 files ignored in {tmp_path}/images (2 .czi): save them as PNG or TIFF to use them"
    ]


def test_folders_that_are_no_split_are_named(tmp_path: Path) -> None:
    for split in ("train", "holdout"):
        for kind in ("images", "masks"):
            (tmp_path / kind / split).mkdir(parents=True)
            pixels = noise()[..., 0] if kind == "images" else LABELS.astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / kind / split / "a.png")
    assert check_spec(tmp_path).problems == [
        f"{tmp_path}/images/holdout: the folder is ignored, expected the name of a split (train or "
        "val or test)"
    ]


def test_gaps_in_the_numbers_are_a_note() -> None:
    found = check_splits({"all": Given((noise(), LABELS * 3), (noise(), LABELS))})
    assert found.problems == []
    assert found.notes == ["labels have gaps in 1 image (such as s0), which is allowed"]


def test_the_same_picture_in_two_splits_is_worse() -> None:
    image = noise()
    parts = {"train": Given((image, LABELS)), "test": Given((noise(), LABELS), (image, LABELS))}
    assert check_splits(parts).problems == [
        "test/s1: the image is the same as train/s0, so scores on test would be too good; "
        "keep it in one split only"
    ]


def test_regions_of_classes_are_not_judged_as_objects() -> None:
    labels = LABELS.copy()
    labels[15, 15], labels[0, 0:3] = 7, 9
    data = Given((noise(), labels))
    data.protocol = "miou"
    assert check_dataset(data) == []


def test_a_dataset_is_looked_over_by_name_or_path(tmp_path: Path, photo, numbers) -> None:
    assert check_spec("discs", "val").problems == []
    for split in ("train", "val"):
        photo(tmp_path / f"leftImg8bit/{split}/ulm/{split}_leftImg8bit.png", (20, 20))
        path = tmp_path / f"gtFine/{split}/ulm/{split}_gtFine_instanceIds.png"
        numbers(path, np.where(LABELS > 0, 26000 + LABELS, 7))
    path.unlink()
    found = check_spec(tmp_path)
    assert found.images == 2
    assert found.problems == [f"val/val: expected the labels of val at {path}, found none"]


def test_masks_that_look_binary_are_reported() -> None:
    scattered = np.zeros((20, 20), int)
    scattered[1:18:6, 1:18:6] = 1
    scattered = np.kron(scattered, np.ones((2, 2), int))
    problems = check_dataset(Given(*[(noise((40, 40)), scattered * 255) for _ in range(3)]))
    assert len(problems) == 1
    assert "9.0 pieces on average" in problems[0]


def test_one_whole_object_per_image_is_fine() -> None:
    assert check_dataset(Given(*[(noise(), LABELS // 2) for _ in range(3)])) == []


def test_an_empty_dataset_is_a_problem() -> None:
    assert check_dataset(Given()) == ["the dataset has no images"]


def test_progress_is_told() -> None:
    steps: list[tuple[int, int]] = []
    check_dataset(DrawnDataset("discs", "val", count=3), lambda *step: steps.append(step))
    assert steps == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nuclei", "strokes", "cables"])
def test_the_packs_have_no_problems(pack, name: str) -> None:
    from congeal.data.packs import PackDataset

    assert check_dataset(PackDataset(name, "val", pack(name).parent)) == []


def test_annotations_without_a_pixel_are_told(tmp_path):
    Image.fromarray(np.arange(600, dtype=np.uint8).reshape(20, 30)).save(tmp_path / "a.png")
    square = [[2, 2, 12, 2, 12, 12, 2, 12]]
    marks = [
        {"id": key, "image_id": 1, "category_id": 1, "iscrowd": 0, "segmentation": part}
        for key, part in ((1, square), (7, []))
    ]
    document = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "annotations": marks,
        "categories": [{"id": 1, "name": "x"}],
    }
    (tmp_path / "annotations.json").write_text(json.dumps(document))
    problems = check_spec(tmp_path).problems
    assert any("annotations without a pixel: 1 (id 7)" in line for line in problems)
