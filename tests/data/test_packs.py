"""The packs of real images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from congeal.data.packs import PackDataset, data_root, shuffle_labels, to_gray
from congeal.errors import CongealError


@pytest.mark.parametrize(
    ("name", "folder", "counts", "channels"),
    [
        ("nuclei:fluorescence", "nuclei", (384, 58), 1),
        ("nuclei:histology", "nuclei", (65, 13), 3),
        ("nuclei:brightfield", "nuclei", (11, 2), 1),
        ("nuclei", "nuclei", (460, 73), None),
        ("strokes", "strokes", (900, 150), 1),
        ("cables", "cables", (180, 30), 3),
        ("cables:gray", "cables", (180, 30), 1),
        ("cables:gray-3", "cables", (60, 10), 1),
    ],
)
def test_packs_hold_what_their_readme_says(pack, name, folder, counts, channels) -> None:
    root = pack(folder).parent
    train, val = (PackDataset(name, split, root) for split in ("train", "val"))
    assert (len(train), len(val)) == counts
    assert len(PackDataset(name, "all", root)) > sum(counts)
    sample = val[0]
    assert sample.labels.max() > 0
    assert sample.image.shape[:2] == sample.labels.shape
    assert channels in (None, sample.image.shape[2])


def test_splits_share_no_image(pack) -> None:
    root = pack("nuclei").parent
    names = [set(PackDataset("nuclei", s, root).names()) for s in ("train", "val", "test")]
    assert len(set.union(*names)) == sum(map(len, names))


def test_the_colour_of_a_rope_does_not_tell_its_number(pack) -> None:
    data = PackDataset("cables", "val", pack("cables").parent)
    firsts = []
    for sample in (s for s in data if s.labels.max() == 3):
        firsts.append(int(sample.image[sample.labels == 1].mean(0).argmax()))
        assert set(np.unique(sample.labels)) == {0, 1, 2, 3}
    assert len(set(firsts)) > 1


def test_the_kind_of_image_is_the_class_of_its_nuclei(pack) -> None:
    root = pack("nuclei").parent
    data = PackDataset("nuclei:modality", "val", root)
    assert data.class_names == ("background", "brightfield", "fluorescence", "histology")
    by_kind = {
        kind: set(PackDataset(f"nuclei:{kind}", "val", root).names())
        for kind in data.class_names[1:]
    }
    for name, sample in list(zip(data.names(), data, strict=True))[::9]:
        kinds = {data.class_names[number] for number in sample.classes.tolist()}
        assert [kind for kind in kinds if name not in by_kind[kind]] == []
        assert len(sample.classes) == sample.labels.max()
        np.testing.assert_array_equal(sample.semantic > 0, sample.labels > 0)


def test_a_missing_pack_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(CongealError, match=f"{tmp_path}/cables.*CONGEAL_DATA"):
        PackDataset("cables:gray", "train", tmp_path)


def test_the_environment_names_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONGEAL_DATA", str(tmp_path))
    assert data_root() == tmp_path
    monkeypatch.delenv("CONGEAL_DATA")
    assert data_root() == Path("../shared/data")


def test_unknown_packs_and_splits_suggest_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(CongealError, match="did you mean 'nuclei:histology'"):
        PackDataset("nuclei:histologie", "train", tmp_path)
    with pytest.raises(CongealError, match="did you mean 'train'"):
        PackDataset("nuclei", "training", tmp_path)


def test_gray_is_what_pillow_makes() -> None:
    image = np.random.default_rng(0).integers(0, 256, (9, 8, 3), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(image).convert("L")).astype(int)
    gray = to_gray(image)
    assert gray.dtype == np.uint8
    assert np.abs(gray[..., 0].astype(int) - expected).max() <= 1
    np.testing.assert_array_equal(to_gray(gray), gray)


def test_shuffling_keeps_the_objects_and_depends_on_the_name() -> None:
    labels = np.random.default_rng(0).integers(-1, 6, (20, 20))
    orders = set()
    for name in ("a", "b", "c", "d"):
        shuffled = shuffle_labels(labels, name)
        np.testing.assert_array_equal(shuffled, shuffle_labels(labels, name))
        np.testing.assert_array_equal(shuffled <= 0, labels <= 0)
        pairs = {(int(x), int(y)) for x, y in zip(labels.flat, shuffled.flat, strict=True)}
        assert len(pairs) == 7
        orders.add(tuple(sorted(pairs)))
    assert len(orders) > 1
