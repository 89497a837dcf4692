"""NumPy and Zarr arrays."""

from __future__ import annotations

import json
import pickle
import re
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from congeal.data.arrays import ArrayDataset, open_arrays
from congeal.data.registry import dataset_splits, open_dataset

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (5, 6, 8, 3), dtype=np.uint8)
LABELS = RNG.integers(-1, 4, (5, 6, 8)).astype(np.int32)


def as_folder(root: Path, **arrays: np.ndarray) -> Path:
    for name, array in arrays.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(root / f"{name}.npy", array)
    return root


def as_npz(root: Path, **arrays: np.ndarray) -> Path:
    np.savez(root / "cells.npz", **arrays)
    return root / "cells.npz"


def as_small_npz(root: Path, **arrays: np.ndarray) -> Path:
    np.savez_compressed(root / "cells.npz", **arrays)
    return root / "cells.npz"


def as_zarr(root: Path, **arrays: np.ndarray) -> Path:
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(str(root / "cells.zarr"), mode="w")
    for name, array in arrays.items():
        group.create_array(name, data=array, chunks=(1, *array.shape[1:]))
    return root / "cells.zarr"


WAYS = [as_folder, as_npz, as_small_npz, as_zarr]


@pytest.mark.parametrize("way", WAYS)
def test_images_and_labels_come_one_by_one(tmp_path: Path, way) -> None:
    data = open_dataset(way(tmp_path, images=IMAGES, labels=LABELS))
    assert type(data) is ArrayDataset
    assert data.names() == [f"00000{i}" for i in range(5)]
    for i, sample in enumerate(data):
        np.testing.assert_array_equal(sample.image, IMAGES[i])
        np.testing.assert_array_equal(sample.labels, LABELS[i])
        assert (sample.labels.dtype, sample.name) == (np.int64, f"00000{i}")


@pytest.mark.parametrize("way", WAYS)
def test_splits_may_be_named(tmp_path: Path, way) -> None:
    mark = "_" if way in (as_npz, as_small_npz) else "/"
    arrays = {f"train{mark}images": IMAGES[:3, ..., 0], f"train{mark}masks": LABELS[:3]}
    arrays |= {f"test{mark}images": IMAGES[3:, ..., 0], f"test{mark}masks": LABELS[3:]}
    path = way(tmp_path, **arrays)
    assert dataset_splits(path) == ("train", "val", "test")
    assert open_dataset(path, "test").names() == ["test-000000", "test-000001"]
    assert len(open_dataset(path, "train")) + len(open_dataset(path, "val")) == 3
    np.testing.assert_array_equal(open_dataset(path, "test")[1].image[..., 0], IMAGES[4, ..., 0])


@pytest.mark.parametrize("way", WAYS)
def test_they_travel_to_worker_processes(tmp_path: Path, way) -> None:
    data = open_dataset(way(tmp_path, images=IMAGES, labels=LABELS))
    assert data[0].labels.shape == (6, 8)
    again = pickle.loads(pickle.dumps(data))
    np.testing.assert_array_equal(again[4].labels, LABELS[4])
    assert len(pickle.dumps(data)) < 2000


def test_files_are_mapped_not_loaded(tmp_path: Path) -> None:
    for path in (as_folder(tmp_path, images=IMAGES), as_npz(tmp_path, images=IMAGES)):
        assert isinstance(open_arrays(path)["images"](), np.memmap)
    order = np.asfortranarray(IMAGES)
    mapped = open_arrays(as_npz(tmp_path, images=order))["images"]()
    np.testing.assert_array_equal(mapped, IMAGES)


def test_classes_of_pixels_may_lie_beside(tmp_path: Path) -> None:
    data = open_dataset(as_npz(tmp_path, images=IMAGES, labels=LABELS, semantic=LABELS // 2))
    np.testing.assert_array_equal(data[2].semantic, LABELS[2] // 2)


def test_floats_become_what_files_give(tmp_path: Path) -> None:
    images = RNG.random((2, 6, 8, 3))
    sample = open_dataset(as_npz(tmp_path, images=images, labels=LABELS[:2]))[1]
    assert sample.image.dtype == np.float32
    np.testing.assert_allclose(sample.image, images[1], rtol=1e-6)


@pytest.mark.parametrize("channels", [2, 4])
def test_no_channel_of_an_array_is_taken_for_alpha(tmp_path: Path, channels: int, refused) -> None:
    images = RNG.integers(0, 256, (5, 6, 8, channels), dtype=np.uint8)
    path = as_npz(tmp_path, images=images, labels=LABELS)
    assert "--channels" in refused(lambda: ArrayDataset(path))
    chosen = ArrayDataset(path, channels=[channels - 1, 0])[2].image
    np.testing.assert_array_equal(chosen, images[2][..., [channels - 1, 0]])


@pytest.mark.parametrize("way", WAYS)
def test_float_labels_are_taken_when_whole(tmp_path: Path, way) -> None:
    path = way(tmp_path, images=IMAGES, labels=LABELS.astype(np.float32))
    np.testing.assert_array_equal(open_dataset(path)[3].labels, LABELS[3])


def header(shape: str, dtype: str = "|u1") -> bytes:
    """A .npy without content."""
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ("(1000000000, 0, 0)", "|u1"),
        ("(5, 1000000, 1000000)", "|u1"),
        ("(1000000000, 6, 8)", "|V0"),
        ("(1000000000, 6, 8)", "<U0"),
        ("(-5, 6, 8)", "|u1"),
        ("(5, 6, 1" + "0" * 400 + ")", "|u1"),
        ("(5, 6", "|u1"),
    ],
)
def test_what_a_header_tells_is_checked_before_anything_is_made(
    tmp_path: Path, shape: str, dtype: str, compression: int, refused, memory
) -> None:
    with zipfile.ZipFile(tmp_path / "cells.npz", "w", compression) as archive:
        for name in ("images", "labels"):
            archive.writestr(f"{name}.npy", header(shape, dtype))
    with memory(20):
        assert "cells.npz" in refused(lambda: open_dataset(tmp_path / "cells.npz"))


@pytest.mark.parametrize("shape", [[10**9, 0, 0], [10**9, 6, 8], [5, 10**6, 10**6]])
def test_the_shape_in_a_zarr_is_checked_before_anything_is_made(
    tmp_path: Path, shape: list[int], refused, memory
) -> None:
    path = as_zarr(tmp_path, images=IMAGES[..., 0], labels=LABELS)
    for name in ("images", "labels"):
        told = json.loads((path / name / "zarr.json").read_text())
        told["shape"] = shape
        told["chunk_grid"]["configuration"]["chunk_shape"] = [1, *shape[1:]]
        (path / name / "zarr.json").write_text(json.dumps(told))
    with memory(20):
        assert "cells.zarr" in refused(lambda: open_dataset(path))


def test_a_zarr_with_a_codec_that_unpickles_is_refused(tmp_path: Path, refused) -> None:
    path = as_zarr(tmp_path, images=IMAGES, labels=LABELS)
    told = json.loads((path / "images/zarr.json").read_text())
    told["codecs"] = [{"name": "numcodecs.pickle", "configuration": {}}]
    (path / "images/zarr.json").write_text(json.dumps(told))
    assert "cannot read" in refused(lambda: open_dataset(path))


@pytest.mark.parametrize("way", [as_folder, as_npz, as_zarr])
def test_what_does_not_fit_is_named(tmp_path: Path, way, refused) -> None:
    path = way(tmp_path, images=IMAGES, labels=LABELS[:4])
    message = refused(lambda: open_dataset(path))
    assert f"labels of shape (5, 6, 8) in {path}, since images is (5, 6, 8, 3), got (4" in message


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"pictures": IMAGES}, "images and labels in .*cells.npz, found pictures"),
        ({"images": IMAGES[0, 0], "labels": LABELS}, r"\(N, H, W, C\) in .*, got \(8, 3\)"),
        (
            {"images": IMAGES, "labels": LABELS / 2},
            "expected integer labels, labels 0 of .*cells.npz",
        ),
        ({"images": IMAGES, "labels": LABELS - 5}, "labels 0 of .*cells.npz, got -6"),
        (
            {"images": np.full((5, 6, 8), np.nan), "labels": LABELS},
            "finite pixels, images 0 of .*cells.npz",
        ),
        ({"images": np.repeat(IMAGES, 2, -1), "labels": LABELS}, "images 0 of .* has 6 channels"),
    ],
)
def test_arrays_of_another_kind_are_refused(tmp_path: Path, arrays, reason: str, refused) -> None:
    path = as_npz(tmp_path, **arrays)
    assert re.search(reason, refused(lambda: open_dataset(path)))


def test_objects_are_not_unpickled(tmp_path: Path, refused) -> None:
    objects = np.empty((5, 6, 8), object)
    for way in (as_npz, as_small_npz, as_folder):
        path = way(tmp_path, images=objects, labels=LABELS)
        assert "cannot read" in refused(lambda path=path: open_dataset(path))


@pytest.mark.parametrize("way", [as_folder, as_npz, as_small_npz])
def test_truncated_files_are_named(tmp_path: Path, way, refused, truncate) -> None:
    path = way(tmp_path, images=IMAGES, labels=LABELS)
    truncate(path / "images.npy" if way is as_folder else path)
    assert f"cannot read {path}" in refused(lambda: open_dataset(path))


def test_a_damaged_zarr_is_named(tmp_path: Path, refused) -> None:
    path = as_zarr(tmp_path, images=IMAGES, labels=LABELS)
    (path / "images/zarr.json").write_text("{")
    assert str(path) in refused(lambda: open_dataset(path))


def test_without_zarr_one_line_says_so(tmp_path: Path, monkeypatch, refused) -> None:
    monkeypatch.setitem(sys.modules, "zarr", None)
    (tmp_path / "cells.zarr").mkdir()
    assert "pip install zarr" in refused(lambda: open_dataset(tmp_path / "cells.zarr"))
    assert "no such file" in refused(lambda: ArrayDataset(tmp_path / "gone.npz"))
