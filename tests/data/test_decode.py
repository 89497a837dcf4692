"""Truncated and damaged files: an error in one line, never wrong pixels."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageOps

from congeal.data.images import read_image, read_labels
from congeal.errors import CongealError

RNG = np.random.default_rng(1)
RGB = RNG.integers(0, 256, (30, 40, 3), dtype=np.uint8)
RGB16 = RNG.integers(0, 65536, (30, 40, 3), dtype=np.uint16)


def write(path: Path) -> None:
    kind = path.stem
    if kind == "deep":
        path.write_bytes(imagecodecs.png_encode(RGB16))
    elif path.suffix == ".tif":
        tile = (16, 16) if kind == "tiled" else None
        compression = None if kind == "plain" else "deflate"
        tifffile.imwrite(path, RGB16, compression=compression, tile=tile, photometric="rgb")
    else:
        Image.fromarray(RGB).save(path)


FILES = ["a.png", "a.jpg", "a.bmp", "deep.png", "plain.tif", "packed.tif", "tiled.tif"]


def refusal(path: Path) -> str | None:
    """The error of reading, None when there is none."""
    try:
        read_image(path)
    except CongealError as error:
        return str(error)
    return None


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_is_named_or_still_whole(
    tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    write(path)
    content, whole = path.read_bytes(), read_image(path)
    cuts = {1, 8, 20, 40, 100, 200, *np.linspace(0, len(content) - 1, 60).astype(int).tolist()}
    refusals = []
    for cut in sorted(cuts):
        path.write_bytes(content[:cut])
        refusals.append(refusal(path))
        if refusals[-1] is None:
            # What is lost lies behind the pixels; then the picture must be the same.
            np.testing.assert_array_equal(read_image(path), whole)
    told = [text for text in refusals if text is not None]
    assert len(told) >= len(cuts) - 3
    assert all(name in text and "\n" not in text for text in told)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", FILES)
def test_damage_in_the_header_never_escapes_as_another_error(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write(path)
    content = path.read_bytes()
    for _ in range(60):
        damaged = bytearray(content)
        for place in RNG.integers(0, min(300, len(content)), 3):
            damaged[place] = RNG.integers(256)
        path.write_bytes(damaged)
        assert "\n" not in (refusal(path) or "")


LABELS = np.kron(np.arange(12).reshape(3, 4), np.ones((8, 8), int))


def png(bits: int, colour: int, rows: list[bytes], width: int) -> bytes:
    """A PNG written by hand, to know what is stored."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    head = struct.pack(">IIBBBBB", width, len(rows), bits, colour, 0, 0, 0)
    content = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + content + chunk(b"IEND", b"")


def test_gray_and_alpha_of_16_bits_keep_their_depth(tmp_path: Path) -> None:
    labels = LABELS.astype(np.uint16) * 30
    rows = [np.stack([row, row * 0 + 65535], -1).astype(">u2").tobytes() for row in labels]
    (tmp_path / "a.png").write_bytes(png(16, 4, rows, labels.shape[1]))
    np.testing.assert_array_equal(read_labels(tmp_path / "a.png"), labels)
    image = read_image(tmp_path / "a.png")
    assert image.dtype == np.uint16
    np.testing.assert_array_equal(image[..., 0], labels)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_gray_of_few_bits_is_not_stretched(tmp_path: Path, bits: int) -> None:
    labels = LABELS % 2**bits
    ones = np.unpackbits(labels.astype(np.uint8)[..., None], axis=-1)[..., 8 - bits :]
    rows = [row.tobytes() for row in np.packbits(ones.reshape(len(labels), -1), axis=1)]
    (tmp_path / "a.png").write_bytes(png(bits, 0, rows, labels.shape[1]))
    np.testing.assert_array_equal(read_labels(tmp_path / "a.png"), labels)
    shown = 255 if bits == 1 else 1
    np.testing.assert_array_equal(read_image(tmp_path / "a.png")[..., 0], labels * shown)


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize("most", [11, 255, 1000, 65535])
def test_pnm_is_not_stretched(tmp_path: Path, most: int, plain: bool) -> None:
    labels = LABELS * (most // 11)
    height, width = labels.shape
    content = f"P{2 if plain else 5}\n# by hand\n{width} {height}\n{most}\n".encode()
    if plain:
        content += " ".join(map(str, labels.ravel())).encode()
    else:
        content += labels.astype(np.uint8 if most < 256 else ">u2").tobytes()
    (tmp_path / "a.pgm").write_bytes(content)
    np.testing.assert_array_equal(read_labels(tmp_path / "a.pgm"), labels)
    assert read_image(tmp_path / "a.pgm").dtype == (np.uint8 if most < 256 else np.uint16)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("ending", ["tif", "png"])
def test_images_and_masks_are_turned_as_pillow_turns_them(
    tmp_path: Path, orientation: int, depth: int, ending: str
) -> None:
    stored = RGB16[:6, :7] if depth == 16 else RGB[:6, :7]
    labels = np.arange(42).reshape(6, 7).astype(np.uint16) // 6
    image, mask = tmp_path / f"a.{ending}", tmp_path / f"m.{ending}"
    if ending == "tif":
        for path, what in ((image, stored), (mask, labels)):
            tifffile.imwrite(path, what, extratags=[(274, "H", 1, orientation, True)])
    else:
        exif = Image.Exif()
        exif[274] = orientation
        Image.fromarray(labels).save(mask, exif=exif)
        if depth == 16:
            content = imagecodecs.png_encode(stored)
            told = exif.tobytes().removeprefix(b"Exif\0\0")
            chunk = b"eXIf" + told
            chunk = struct.pack(">I", len(told)) + chunk + struct.pack(">I", zlib.crc32(chunk))
            image.write_bytes(content[:33] + chunk + content[33:])
        else:
            Image.fromarray(stored).save(image, exif=exif)

    def turned(array: NDArray[np.generic]) -> NDArray[Any]:
        """By Pillow, through a picture of where each pixel comes from."""
        places = Image.fromarray(np.arange(42, dtype=np.uint8).reshape(6, 7))
        places.getexif()[274] = orientation
        upright = np.asarray(ImageOps.exif_transpose(places))
        return array.reshape(42, *array.shape[2:])[upright]

    np.testing.assert_array_equal(read_image(image), turned(stored))
    np.testing.assert_array_equal(read_labels(mask), turned(labels))


def test_a_postscript_file_is_no_image_and_starts_no_program(tmp_path: Path, monkeypatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("Ghostscript")

    for name in ("run", "Popen", "call", "check_call"):
        monkeypatch.setattr(f"subprocess.{name}", never)
    Image.fromarray(RGB).save(tmp_path / "a.eps")
    (tmp_path / "a.eps").rename(tmp_path / "cell.png")
    assert "cell.png is not" in (refusal(tmp_path / "cell.png") or "")


@pytest.mark.parametrize("ending", ["ico", "tga", "pcx", "dds", "sgi", "icns", "pdf"])
def test_formats_that_nobody_named_are_not_opened(tmp_path: Path, ending: str) -> None:
    Image.fromarray(RGB).save(tmp_path / f"a.{ending}")
    assert "a.png is not" in (refusal((tmp_path / f"a.{ending}").rename(tmp_path / "a.png")) or "")


@pytest.mark.parametrize("ending", ["png", "jpg", "bmp", "gif", "webp", "jp2", "ppm", "tif"])
def test_formats_that_may_be_opened_are(tmp_path: Path, ending: str) -> None:
    smooth = np.add.outer(np.arange(32), np.arange(48)).astype(np.uint8)
    Image.fromarray(np.stack([smooth] * 3, -1)).save(tmp_path / f"a.{ending}")
    image = read_image(tmp_path / f"a.{ending}")
    assert np.abs(image[..., 0].astype(int) - smooth).max() < 9


@pytest.mark.parametrize("name", FILES)
def test_an_image_that_needs_more_memory_than_there_is_is_told_before_it_is_decoded(
    tmp_path: Path, name: str, monkeypatch, memory
) -> None:
    path = tmp_path / name
    write(path)
    monkeypatch.setattr("congeal.data.memory._UNCHECKED", 0)
    monkeypatch.setattr("congeal.data.memory.available_memory", lambda: 1000)
    with memory(10):
        told = refusal(path) or ""
    assert f"{name} (30 x 40" in told
    assert "of memory" in told
