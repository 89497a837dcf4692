"""Classes of one's own images: from files to samples, and what is said of mistakes."""

from __future__ import annotations

import pickle
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import congeal
from congeal.data import Dataset, check_classes, open_dataset
from congeal.data.check import check_spec
from congeal.data.classes import count_classes, read_class_names, read_class_rows
from congeal.errors import CongealError
from congeal.segmentation import Segmentation

# A square (number 3) and a disc (number 7), with a gap in the numbers, and void.
LABELS = np.zeros((16, 16), np.uint8)
LABELS[2:7, 2:7], LABELS[9:14, 8:14] = 3, 7


def put(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array, np.uint8)).save(path)


def image(root: Path, name: str, where: str = "images") -> None:
    seed = sum(map(ord, name + str(where)))
    noise = np.random.default_rng(seed).integers(0, 255, (16, 16))
    put(root / where / f"{name}.png", noise)


def table(root: Path, text: str, names: str = "ab") -> Path:
    """Images with two objects each, and classes.csv."""
    for name in names:
        image(root, name)
        put(root / f"masks/{name}.png", LABELS)
    (root / "classes.csv").write_text("image,label,class\n" + text)
    return root


def maps(root: Path, semantic: np.ndarray, names: str, masks: bool = True) -> Path:
    """One image with a map of classes, and classes.txt."""
    image(root, "a")
    put(root / "semantic/a.png", semantic)
    if masks:
        put(root / "masks/a.png", LABELS)
    (root / "classes.txt").write_text(names)
    return root


def refusal(root: Path) -> str:
    with pytest.raises(CongealError) as caught:
        list(open_dataset(root))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_table_gives_every_object_its_class(tmp_path: Path) -> None:
    rows = "a,3,square\na.png,7,disc\nimages/b.png,7.0,square\n"
    data = open_dataset(table(tmp_path, rows))
    assert data.class_names == ("background", "disc", "square")
    first, second = data
    assert (first.classes.tolist(), second.classes.tolist()) == ([2, 1], [-1, 2])
    np.testing.assert_array_equal(first.labels, np.select([LABELS == 3, LABELS == 7], [1, 2]))
    np.testing.assert_array_equal(first.semantic, np.select([LABELS == 3, LABELS == 7], [2, 1]))
    np.testing.assert_array_equal(second.semantic, np.select([LABELS == 3, LABELS == 7], [-1, 2]))
    assert data.protocol == "coco"
    assert data.other_protocols == ("matching", "miou")
    assert pickle.loads(pickle.dumps(data))[0].classes.tolist() == [2, 1]


@pytest.mark.parametrize("mark", [";", "\t", ","])
def test_tables_of_other_programs_are_read(tmp_path: Path, mark: str) -> None:
    table(tmp_path, "", "a")
    lines = [["Class", "score", "Label", "IMAGE"], ["disc", "1", "3", "a"], ["", "", "", ""]]
    text = "\ufeff" + "\r\n".join(mark.join(line) for line in lines)
    (tmp_path / "classes.csv").write_text(text, encoding="utf-8")
    assert open_dataset(tmp_path)[0].classes.tolist() == [1, -1]


def test_binary_masks_go_by_the_names_of_their_files(tmp_path: Path) -> None:
    image(tmp_path, "a")
    put(tmp_path / "masks/a/empty.png", np.zeros((16, 16)))
    put(tmp_path / "masks/a/left.png", 255 * (LABELS == 3))
    put(tmp_path / "masks/a/right.png", 255 * (LABELS == 7))
    (tmp_path / "classes.csv").write_text("image,label,class\na,right,disc\na,left,square\n")
    sample = open_dataset(tmp_path)[0]
    assert sample.classes[sample.labels[3, 3] - 1] == 2
    assert sample.classes[sample.labels[10, 10] - 1] == 1


@pytest.mark.parametrize("pattern", ["{kind}/{split}", "{split}/{kind}"])
def test_classes_have_the_same_numbers_in_every_split(tmp_path: Path, pattern: str) -> None:
    for split in ("train", "valid"):
        image(tmp_path, "a", pattern.format(kind="images", split=split))
        put(tmp_path / pattern.format(kind="masks", split=split) / "a.png", LABELS)
    (tmp_path / "classes.csv").write_text(
        "image,label,class\ntrain/a,3,square\nvalid/a.png,3,disc\nvalid/a,7,square\n"
    )
    train, val = (open_dataset(tmp_path, split) for split in ("train", "val"))
    assert train.class_names == val.class_names == ("background", "disc", "square")
    assert train[0].classes.tolist() == [2, -1]
    assert val[0].classes.tolist() == [1, 2]
    (tmp_path / "classes.csv").write_text("image,label,class\na,3,square\n")
    assert "which matches 2 images" in refusal(tmp_path)


def test_a_table_may_lie_in_each_split(tmp_path: Path) -> None:
    for split, name in (("train", "square"), ("val", "disc")):
        image(tmp_path / split, "a")
        put(tmp_path / split / "masks/a.png", LABELS)
        (tmp_path / split / "classes.csv").write_text(f"image,label,class\na,3,{name}\n")
    assert open_dataset(tmp_path, "train")[0].classes.tolist() == [2, -1]
    assert open_dataset(tmp_path, "val")[0].classes.tolist() == [1, -1]


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ("a,3,disc\na,3,square\n", "expected one class for object 3 of a.png, row 3 of "),
        ("a,3,disc\nb,3,Disc \n", "'Disc' and 'disc'"),
        ("c,3,disc\n", "row 2 of .* names an image that does not exist: 'c', and so do all others"),
    ],
)
def test_mistakes_in_the_table_are_told(tmp_path: Path, rows: str, reason: str) -> None:
    table(tmp_path, rows)
    with pytest.raises(CongealError, match=reason):
        open_dataset(tmp_path)


def test_a_table_without_a_column_is_told(tmp_path: Path) -> None:
    table(tmp_path, "")
    (tmp_path / "classes.csv").write_text("file,label,class\n")
    assert "found no image in the header line ('file,label,class')" in refusal(tmp_path)


def test_the_order_of_classes_txt_holds_for_the_table(tmp_path: Path) -> None:
    table(tmp_path, "a,3,square\na,7,disc\n")
    (tmp_path / "classes.txt").write_text("square\ndisc\ntriangle\n")
    assert open_dataset(tmp_path)[0].classes.tolist() == [1, 2]
    (tmp_path / "classes.txt").write_text("square\ntriangle\n")
    assert "also has 'disc'" in refusal(tmp_path)


def test_names_alone_tell_no_class(tmp_path: Path) -> None:
    table(tmp_path, "").joinpath("classes.txt").write_text("square\n")
    data = open_dataset(tmp_path)
    assert (data.class_names, data[0].classes) == ((), None)
    (tmp_path / "classes.csv").unlink()
    assert open_dataset(tmp_path)[0].classes is None


def test_a_table_needs_masks(tmp_path: Path) -> None:
    maps(tmp_path, LABELS, "disc\n", masks=False)
    (tmp_path / "classes.csv").write_text("image,label,class\na,1,disc\n")
    assert "expected masks with the objects" in refusal(tmp_path)


def test_objects_have_the_class_of_most_of_their_pixels(tmp_path: Path) -> None:
    semantic = np.select([LABELS == 3, LABELS == 7], [2, 1])
    semantic[2:4, 2:7], semantic[0, 0] = 1, 255
    sample = open_dataset(maps(tmp_path, semantic, "disc\nsquare\n"))[0]
    assert sample.classes.tolist() == [2, 1]
    assert sample.semantic[0, 0] == -1
    np.testing.assert_array_equal(np.maximum(sample.semantic, 0)[1:], semantic[1:])


@pytest.mark.parametrize("first", ["", "background\n", "0: background\n1: "])
def test_maps_without_masks_are_data_for_classes_of_pixels(tmp_path: Path, first: str) -> None:
    semantic = np.select([LABELS == 3, LABELS == 7], [2, 1])
    data = open_dataset(maps(tmp_path, semantic, f"{first}disc\nsquare\n", masks=False))
    assert (data.protocol, data.has_background) == ("miou", True)
    assert data.class_names == ("background", "disc", "square")
    np.testing.assert_array_equal(data[0].semantic, semantic)
    assert data[0].classes.tolist() == [1, 2]


def test_zero_may_be_void(tmp_path: Path) -> None:
    data = open_dataset(maps(tmp_path, LABELS // 3, "void\ndisc\nsquare\n", masks=False))
    assert not data.has_background
    assert set(np.unique(data[0].semantic)) == {-1, 1, 2}


def test_maps_need_names_for_their_numbers(tmp_path: Path) -> None:
    maps(tmp_path, LABELS, "disc\n")
    assert "semantic/a.png has 7" in refusal(tmp_path)
    (tmp_path / "classes.txt").unlink()
    assert "with the class names of the maps in semantic" in refusal(tmp_path)


def test_every_image_needs_its_map(tmp_path: Path) -> None:
    maps(tmp_path, LABELS // 7, "disc\n")
    image(tmp_path, "b")
    put(tmp_path / "masks/b.png", LABELS)
    assert "expected a semantic map for every image" in refusal(tmp_path)
    assert check_spec(tmp_path).problems[0].startswith(f"{tmp_path}/images/b.png: no semantic map")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("cell\nnucleus\nCell \n", "expected every class once, .* has 'cell' and 'Cell'"),
        ("cell\n1: nucleus\n", "expected class id 2, got '1: nucleus'"),
        ("0: cell\n", "expected class id 1, got"),
        ("\n \n", "got an empty file"),
        ("cell\nbackground\n", "in the first line"),
    ],
)
def test_mistakes_in_classes_txt_are_told(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "classes.txt"
    path.write_text(text)
    with pytest.raises(CongealError, match=reason):
        read_class_names(path)


def by_folder(root: Path) -> Path:
    image(root, "a")
    image(root, "b")
    put(root / "masks/type 2/a.png", 255 * (LABELS == 3))
    put(root / "masks/type 10/a/1.png", 255 * (LABELS == 7))
    put(root / "masks/type 10/a/2.png", 255 * (np.arange(256).reshape(16, 16) < 16))
    put(root / "masks/type 10/b_mask.png", np.full((16, 16), 9))
    return root


def test_a_folder_of_masks_is_a_class(tmp_path: Path) -> None:
    data = open_dataset(by_folder(tmp_path))
    assert data.class_names == ("background", "type 2", "type 10")
    first, second = data
    assert sorted(first.classes.tolist()) == [1, 2, 2]
    assert first.classes[first.labels[3, 3] - 1] == 1
    assert (first.semantic[10, 10], first.semantic[0, 5], first.semantic[5, 12]) == (2, 2, 0)
    assert (second.classes.tolist(), second.labels.min()) == ([2], 1)


def test_of_masks_of_two_classes_the_smaller_object_is_on_top(tmp_path: Path) -> None:
    image(tmp_path, "a")
    put(tmp_path / "masks/whole/a.png", np.ones((16, 16)))
    put(tmp_path / "masks/part/a.png", LABELS)
    put(tmp_path / "masks/zhidden/a.png", LABELS)
    sample = open_dataset(tmp_path)[0]
    assert sample.classes.tolist() == [1, 1, 2]  # what is hidden whole is no object
    np.testing.assert_array_equal(sample.semantic, np.where(LABELS > 0, 1, 2))


def test_folders_of_images_are_no_classes(tmp_path: Path) -> None:
    image(tmp_path, "a")
    put(tmp_path / "masks/a/1.png", LABELS == 3)
    assert open_dataset(tmp_path).class_names == ()


def test_classes_from_two_places_are_refused(tmp_path: Path) -> None:
    (by_folder(tmp_path) / "classes.csv").write_text("image,label,class\na,1,disc\n")
    assert "or from class folders, found both" in refusal(tmp_path)


def test_objects_of_classes_are_counted(tmp_path: Path) -> None:
    data = open_dataset(table(tmp_path, "a,3,square\na,7,disc\nb,7,square\n"))
    assert count_classes(data) == {"disc": 1, "square": 2}
    assert count_classes(data, limit=1) == {"disc": 1, "square": 1}


class Renamed(Dataset):
    """Samples of another dataset under other names of classes."""

    def __init__(self, dataset: Dataset, *names: str) -> None:
        self.dataset, self.name, self.split = dataset, "other", "val"
        self.class_names = ("background", *names) if names else ()

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int):
        return self.dataset[index]

    def names(self) -> list[str]:
        return self.dataset.names()


def test_classes_of_training_and_validation_are_compared(tmp_path: Path) -> None:
    data = open_dataset(table(tmp_path, "a,3,square\na,7,disc\n"))
    assert check_classes(data, data) == []
    with pytest.raises(CongealError, match="unknown class 'sqare'; did you mean 'square'"):
        check_classes(data, Renamed(data, "disc", "sqare"))
    more = Renamed(data, "disc", "square", "triangle")
    assert check_classes(more, data) == ["no object of class triangle in other: not learnt"]
    assert check_classes(data, Renamed(data)) == ["other has no classes: they are not validated"]
    assert "not learnt" in check_classes(Renamed(data), data)[0]


def test_a_class_seen_in_validation_only_is_noted(tmp_path: Path) -> None:
    for split in ("train", "val"):
        image(tmp_path / split, "a")
        put(tmp_path / split / "masks/a.png", LABELS)
    rows = "image,label,class\ntrain/a,3,square\nval/a,3,square\nval/a,7,disc\n"
    (tmp_path / "classes.csv").write_text(rows)
    train, val = (open_dataset(tmp_path, split) for split in ("train", "val"))
    assert check_classes(train, val) == [
        f"no object of class disc in {tmp_path}: not learnt",
        f"{tmp_path} has objects of class disc",
    ]
    assert check_spec(tmp_path).notes[-1] == (
        "classes in val without any object in train: disc; they cannot be learnt"
    )


def test_the_check_counts_classes_and_names_rows_without_object(tmp_path: Path) -> None:
    found = check_spec(table(tmp_path, "a,3,square\na,7,\nb,9,disc\nz,1,disc\n"))
    assert (found.classes, found.without_class) == ({"disc": 0, "square": 1}, 3)
    assert found.problems == [
        f"row 5 of {tmp_path / 'classes.csv'} names an image that does not exist: 'z'",
        "b: labels in classes.csv that do not occur in the mask: 9",
    ]
    assert "classes without any object: disc" in found.notes


def test_the_check_says_when_nothing_is_background(tmp_path: Path) -> None:
    maps(tmp_path, np.maximum(LABELS // 3, 1), "disc\nsquare\n", masks=False)
    assert "write void into the first line of classes.txt" in check_spec(tmp_path).notes[-1]
    (tmp_path / "classes.txt").write_text("void\ndisc\nsquare\n")
    assert check_spec(tmp_path).notes == []


@pytest.mark.parametrize(("protocol", "number"), [("coco", "ap"), ("miou", "miou")])
def test_classes_of_a_table_are_judged(tmp_path: Path, protocol: str, number: str) -> None:
    data = open_dataset(table(tmp_path, "a,3,square\na,7,disc\nb,3,disc\nb,7,square\n"))

    class Knowing:
        """Finds every object, with the class of the table or always the same."""

        def __init__(self, right: bool) -> None:
            self.right = right

        def segment(self, image: np.ndarray) -> Segmentation:
            sample = next(one for one in data if np.array_equal(one.image, image))
            classes = sample.classes if self.right else [1, 1]
            names = data.class_names[1:]
            return Segmentation.from_labels(sample.labels, classes=classes, class_names=names)

    right, wrong = (
        congeal.evaluate(Knowing(right), data, protocol=protocol, report=False).metrics[number]
        for right in (True, False)
    )
    assert right == 1
    assert wrong < 0.8


@pytest.mark.parametrize("reader", [read_class_names, read_class_rows])
@given(content=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
@settings(max_examples=150, deadline=None)
def test_any_bytes_give_classes_or_one_line(reader, content: bytes) -> None:
    told = []
    with tempfile.TemporaryDirectory() as folder:
        for head in (b"", b"image,label,class\n"):
            path = Path(folder) / "classes"
            path.write_bytes(head + content)
            try:
                reader(path)
            except CongealError as error:
                told.append(str(error))
    assert all(len(line.splitlines()) == 1 for line in told)
