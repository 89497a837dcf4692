"""Damaged files of every kind: one line that names the file, or a right result; nothing else.

The cases are the same in every run. ``CONGEAL_FUZZ=5000`` tries that many for each reader.
"""

from __future__ import annotations

import copy
import io
import json
import os
import resource
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.io import savemat

from congeal.data.arrays import ArrayDataset
from congeal.data.coco import CocoDataset
from congeal.data.images import read_image, read_labels
from congeal.data.matlab import integer_map, read_mat
from congeal.errors import CongealError

CASES = int(os.environ.get("CONGEAL_FUZZ", "150"))
MEMORY = 2**28  # bytes that the machine is said to have
GROWTH = 2 * MEMORY

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)
RGB16 = RNG.integers(0, 65536, (20, 30, 3), dtype=np.uint16)
PLANES = np.ascontiguousarray(np.moveaxis(RGB16, -1, 0))
CHANNELS: dict[str, Any] = {"metadata": {"axes": "CYX"}, "photometric": "minisblack"}
LABELS = np.kron(np.arange(12).reshape(3, 4), np.ones((8, 8), int)).astype(np.uint16)


def fuzzed(share: float = 1.0) -> Callable[[Any], Any]:
    """The settings of all tests here: so many cases, the same ones each time."""
    return settings(
        max_examples=max(1, round(CASES * share)),
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@pytest.fixture(autouse=True)
def _small_machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever a damaged header asks for, no test takes more than a small machine has."""
    monkeypatch.setattr("congeal.data.memory.available_memory", lambda: MEMORY)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown < GROWTH


def result_of(read: Callable[[], Any], name: str) -> Any:
    """What reading gives, None when it is refused as it should be."""
    try:
        return read()
    except CongealError as error:
        text = str(error)
        assert name in text
        assert "\n" not in text
        assert len(text) < 600  # a few paths and what is quoted, cut
        text.encode()
        return None


FIELDS = [0, 1, 2, 3, 7, 255, 256, 65535, 2**24, 2**31 - 1, 2**31, 2**32 - 1]


@st.composite
def damaged(draw: st.DrawFn, contents: list[bytes]) -> tuple[int, str, bytes]:
    """One of the files, what was done to it last, and its new content."""
    which = draw(st.integers(0, len(contents) - 1))
    content, done = contents[which], ""
    for _ in range(draw(st.integers(1, 3))):
        done = draw(st.sampled_from(["cut", "flip", "flip", "field", "field", "insert", "drop"]))
        near = draw(st.booleans())  # most of what matters stands in the first bytes
        place = draw(st.integers(0, max(0, min(len(content), 400 if near else 10**6) - 1)))
        if done == "cut":
            content = content[:place]
        elif done == "flip":
            mask = draw(st.integers(1, 255))
            content = content[:place] + bytes(b ^ mask for b in content[place : place + 1])
            content += contents[which][len(content) :]
        elif done == "field":
            size, order = draw(st.sampled_from([2, 4])), draw(st.sampled_from(["little", "big"]))
            number = draw(st.sampled_from(FIELDS)) % 256**size
            content = content[:place] + number.to_bytes(size, order) + content[place + size :]
        elif done == "insert":
            content = content[:place] + draw(st.binary(min_size=1, max_size=9)) + content[place:]
        else:
            content = content[:place] + content[place + draw(st.integers(1, 40)) :]
    return which, done, content


def saved(pixels: np.ndarray, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    if kind == "TIFF":
        tifffile.imwrite(stream, pixels, **options)
    else:
        Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()


PICTURES = {
    "png": saved(RGB, "PNG"),
    "deep.png": imagecodecs.png_encode(RGB16),
    "gray.png": saved(RGB16[..., 0], "PNG"),
    "jpg": saved(RGB, "JPEG"),
    "bmp": saved(RGB, "BMP"),
    "gif": saved(RGB[..., 0], "GIF"),
    "webp": saved(RGB, "WEBP", lossless=True),
    "jp2": saved(RGB, "JPEG2000"),
    "ppm": saved(RGB, "PPM"),
    "pgm": b"P2 6 4 1000\n" + b" ".join(b"%d" % value for value in range(24)),
    "plain.tif": saved(RGB, "TIFF"),
    "packed.tif": saved(RGB16, "TIFF", compression="deflate", rowsperstrip=7),
    "tiled.tif": saved(RGB[..., 0], "TIFF", tile=(16, 16), compression="lzw"),
    "imagej.tif": saved(PLANES, "TIFF", imagej=True, **CHANNELS),
    "ome.tif": saved(PLANES, "TIFF", ome=True, **CHANNELS),
    "jpeg.tif": saved(RGB, "TIFF", compression="jpeg"),
}


def check_image(path: Path) -> None:
    image = result_of(lambda: read_image(path), path.name)
    if image is not None:
        assert image.ndim == 3
        assert image.shape[2] in (1, 3)
        assert image.size > 0
        assert image.dtype in (np.uint8, np.uint16, np.float32)
        assert np.isfinite(image).all()


@fuzzed(3)
@given(damaged(list(PICTURES.values())))
def test_damaged_images(folder: Path, case: tuple[int, str, bytes]) -> None:
    path = folder / f"a.{list(PICTURES)[case[0]]}"
    path.write_bytes(case[2])
    check_image(path)


@pytest.mark.parametrize("ending", PICTURES)
def test_images_with_more_behind_them_are_the_same_or_refused(folder: Path, ending: str) -> None:
    path, content = folder / f"b.{ending}", PICTURES[ending]
    path.write_bytes(content)
    whole = result_of(lambda: read_image(path, channels=[0]), path.name)
    for more in (b"\0", b"\xff" * 9, content, b"II*\0" + bytes(300)):
        path.write_bytes(content + more)
        longer = result_of(lambda: read_image(path, channels=[0]), path.name)
        if longer is not None:
            np.testing.assert_array_equal(longer, whole)


# Of numbers written as text, a cut one is another number.
@pytest.mark.parametrize("ending", [ending for ending in PICTURES if ending != "pgm"])
def test_images_that_are_cut_off_are_the_same_or_refused(folder: Path, ending: str) -> None:
    path, content = folder / f"c.{ending}", PICTURES[ending]
    path.write_bytes(content)
    whole = result_of(lambda: read_image(path, channels=[0]), path.name)
    for cut in np.linspace(0, len(content) - 1, max(20, CASES // 10)).astype(int).tolist():
        path.write_bytes(content[:cut])
        shorter = result_of(lambda: read_image(path, channels=[0]), path.name)
        if shorter is not None:
            np.testing.assert_array_equal(shorter, whole)


MASKS = {
    "png": saved(LABELS, "PNG"),
    "float.tif": saved(LABELS.astype(np.float32), "TIFF"),
    "packed.tif": saved(LABELS, "TIFF", compression="zstd"),
    "bits.png": saved(LABELS > 5, "PNG"),
    "palette.gif": saved(LABELS.astype(np.uint8), "GIF"),
}


@fuzzed()
@given(damaged(list(MASKS.values())))
def test_damaged_masks(folder: Path, case: tuple[int, str, bytes]) -> None:
    path = folder / f"m.{list(MASKS)[case[0]]}"
    path.write_bytes(case[2])
    labels = result_of(lambda: read_labels(path), path.name)
    if labels is not None:
        assert labels.ndim == 2
        assert labels.dtype == np.int64
        assert labels.min() >= -1


@fuzzed(0.5)
@given(st.binary(max_size=200), st.sampled_from([b"", b"II*\0", b"MM\0*", b"\x89PNG\r\n\x1a\n"]))
def test_bytes_that_mean_nothing(folder: Path, content: bytes, magic: bytes) -> None:
    path = folder / "any.png"
    path.write_bytes(magic + content)
    check_image(path)
    result_of(lambda: read_labels(path), path.name)


POLYGON = {"id": 1, "image_id": 1, "category_id": 3, "iscrowd": 0, "area": 64.0}
POLYGON |= {"segmentation": [[2, 2, 10, 2, 10, 10, 2, 10]]}
CROWD = {"id": 2, "image_id": 1, "category_id": 3, "iscrowd": 1}
CROWD |= {"segmentation": {"size": [20, 30], "counts": [10, 20, 570]}}
PACKED = {"image_id": 1, "category_id": 3, "segmentation": {"size": [20, 30], "counts": "hb0"}}
COCO = {
    "images": [{"id": 1, "file_name": "a.png", "height": 20, "width": 30}],
    "annotations": [POLYGON, CROWD, PACKED],
    "categories": [{"id": 3, "name": "cell"}],
}

plain = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 40),
    st.sampled_from([2**31, 2**63, -(2**63), 2**64, 10**400, 10**4000]),
    st.floats(),
    st.sampled_from(["", "0", "1", "a.png", "C:\\a.png", "/a.png", "..", ".", "\0", "\ud800"]),
    st.sampled_from(["hb0", "x" * 5000, "ok\n\x1b[31m"]),
    st.text(max_size=9),
)
values = st.recursive(
    plain,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from(["id", "size", "counts", "name"]), inner, max_size=3),
    ),
    max_leaves=6,
)


@st.composite
def changed(draw: st.DrawFn, document: Any) -> Any:
    """The document with one to three values replaced, left out or put twice."""
    whole = {"": copy.deepcopy(document)}
    for _ in range(draw(st.integers(1, 3))):
        place: Any = whole
        key: Any = ""
        while isinstance(place[key], dict | list) and place[key] and draw(st.integers(0, 5)):
            place = place[key]
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            key = draw(st.sampled_from(keys))
        what = draw(st.sampled_from(["replace", "replace", "replace", "drop", "twice", "wrap"]))
        if what == "twice" and isinstance(place, list):
            place.append(place[key])
        elif what == "wrap":
            place[key] = [place[key]]
        elif what == "drop" and place is not whole:
            del place[key]
        else:
            place[key] = draw(values)
    return whole[""]


def read_coco(root: Path, content: bytes) -> None:
    (root / "images").mkdir(parents=True, exist_ok=True)
    (root / "images/a.png").write_bytes(PICTURES["png"])
    (root / "annotations.json").write_bytes(content)
    samples = result_of(lambda: list(CocoDataset(root)), "")
    for sample in samples or ():
        objects = [mask for mask in sample.masks if not mask.crowd]
        assert sample.labels.shape == (20, 30)
        assert sample.labels.min() >= -1
        assert sample.labels.max() <= len(objects)
        assert all(np.isfinite(mask.area) for mask in sample.masks)


@fuzzed(2)
@given(changed(COCO))
def test_coco_files_with_other_values(folder: Path, document: Any) -> None:
    read_coco(folder / "coco", json.dumps(document).encode())


@fuzzed()
@given(damaged([json.dumps(COCO).encode()]))
def test_damaged_coco_files(folder: Path, case: tuple[int, str, bytes]) -> None:
    read_coco(folder / "coco", case[2])


@pytest.mark.parametrize(
    "content",
    [b"[" * 100_000, b'{"images": ' + b"9" * 10_000 + b"}", b"", b"\xff\xfe", b"nul", b"NaN"],
    ids=["deep", "long", "empty", "mark", "cut", "nan"],
)
def test_json_that_is_no_coco_file(folder: Path, content: bytes) -> None:
    read_coco(folder / "coco", content)


def archive(compression: int) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as out:
        for name, array in (("images", RGB[None]), ("labels", LABELS[None, :20, :30])):
            with out.open(f"{name}.npy", "w") as entry:
                np.lib.format.write_array(entry, np.resize(array, (2, *array.shape[1:])))
    return stream.getvalue()


def read_arrays(path: Path) -> None:
    data = result_of(lambda: ArrayDataset(path), path.name)
    for index in range(min(3, 0 if data is None else len(data))):
        sample = result_of(lambda index=index: data[index], path.name)
        if sample is not None:
            assert sample.image.shape[:2] == sample.labels.shape
            assert sample.image.size > 0


@fuzzed()
@given(damaged([archive(zipfile.ZIP_STORED), archive(zipfile.ZIP_DEFLATED)]))
def test_damaged_npz_files(folder: Path, case: tuple[int, str, bytes]) -> None:
    (folder / "cells.npz").write_bytes(case[2])
    read_arrays(folder / "cells.npz")


HEADER = "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 20, 30), }"
words = st.sampled_from(
    ["(", ")", "[", "{", "'", "1e9", "9" * 30, "0", "-1", "'|O'", "'|V0'", "\\"]
)


@fuzzed()
@given(st.integers(0, len(HEADER)), st.integers(0, 12), st.one_of(words, st.text(max_size=5)))
def test_npy_headers_with_other_words(folder: Path, place: int, lost: int, word: str) -> None:
    root = folder / "npy"
    root.mkdir(exist_ok=True)
    text = (HEADER[:place] + word + HEADER[place + lost :] + "\n").encode("utf-8", "replace")
    content = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(2 * 20 * 30)
    (root / "images.npy").write_bytes(content)
    np.save(root / "labels.npy", np.zeros((2, 20, 30), np.uint8))
    read_arrays(root)


@pytest.fixture(scope="session")
def group(folder: Path) -> Path:
    zarr = pytest.importorskip("zarr")
    root = zarr.open_group(str(folder / "cells.zarr"), mode="w")
    root.create_array("images", data=RGB[None, ..., 0], chunks=(1, 20, 30))
    root.create_array("labels", data=np.zeros((1, 20, 30), np.uint8), chunks=(1, 20, 30))
    return folder / "cells.zarr"


@fuzzed(0.5)
@given(st.data())
def test_zarr_headers_with_other_values(group: Path, data: st.DataObject) -> None:
    path = group / data.draw(st.sampled_from(["images/zarr.json", "labels/zarr.json", "zarr.json"]))
    whole = path.read_bytes()
    document = json.loads(whole)
    try:
        if data.draw(st.booleans()):
            path.write_text(json.dumps(data.draw(changed(document))))
        else:
            path.write_bytes(data.draw(damaged([whole]))[2])
        read_arrays(group)
    finally:
        path.write_bytes(whole)


@fuzzed(0.25)
@given(st.data())
def test_damaged_zarr_chunks(group: Path, data: st.DataObject) -> None:
    path = group / "images/c/0/0/0"
    whole = path.read_bytes()
    try:
        path.write_bytes(data.draw(damaged([whole]))[2])
        read_arrays(group)
    finally:
        path.write_bytes(whole)


def mat(compress: bool) -> bytes:
    stream = io.BytesIO()
    savemat(stream, {"GTcls": {"Segmentation": np.eye(9)}}, do_compression=compress)
    return stream.getvalue()


@fuzzed()
@given(damaged([mat(False), mat(True)]))
def test_damaged_matlab_files(folder: Path, case: tuple[int, str, bytes]) -> None:
    path = folder / "a.mat"
    path.write_bytes(case[2])
    found = result_of(lambda: integer_map(read_mat(path, "GTcls"), "Segmentation", path), path.name)
    assert found is None or (found.ndim, found.dtype) == (2, np.int64)
