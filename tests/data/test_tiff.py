"""TIFF: every tag obeyed, or the file refused; only what the file itself holds."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from congeal.data.images import read_image, read_labels, read_picture, read_pictures
from congeal.data.tiff import count_tiff_pages, decode_tiff_pages
from congeal.errors import CongealError

RNG = np.random.default_rng(0)
GRAY16 = RNG.integers(0, 65536, (62, 7), dtype=np.uint16)
RGB = RNG.integers(0, 256, (6, 7, 3), dtype=np.uint8)


def message(call: Callable[[Any], object], given: object) -> str:
    with pytest.raises(CongealError) as caught:
        call(given)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("count", [2, 4, 5])
@pytest.mark.parametrize("settings", [{"imagej": True}, {"ome": True}], ids=str)
def test_no_channel_of_a_microscope_is_taken_for_alpha(
    tmp_path: Path, count: int, settings: dict[str, Any]
) -> None:
    planes = RNG.integers(0, 65536, (count, 6, 7), dtype=np.uint16)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, planes, metadata={"axes": "CYX"}, photometric="minisblack", **settings)
    text = message(read_image, path)
    assert f"a.tif has {count} channels" in text
    assert "--channels" in text
    assert "a.tif" in message(read_labels, path)
    chosen = read_picture(path, channels=[1, 0])
    np.testing.assert_array_equal(chosen.pixels, np.moveaxis(planes[[1, 0]], 0, -1))
    assert chosen.note == {
        2: "",
        4: "channels 2 and 3 of 4 left out",
        5: "channels 2, 3 and 4 of 5 left out",
    }.get(count)


@pytest.mark.parametrize(("extra", "alpha"), [(0, False), (1, True), (2, True)])
def test_alpha_of_a_tiff_is_what_its_tag_says(tmp_path: Path, extra: int, alpha: bool) -> None:
    four = RNG.integers(0, 256, (6, 7, 4), dtype=np.uint8)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, four, photometric="rgb", extrasamples=(extra,))
    if not alpha:
        assert "a.tif has 4 channels" in message(read_image, path)
        return
    np.testing.assert_array_equal(read_image(path), four[..., :3])
    assert read_picture(path).note == "alpha left out"
    np.testing.assert_array_equal(read_image(path, channels=[3]), four[..., 3:])


@pytest.mark.parametrize("photometric", ["cielab", "ycbcr", "cfa", "linear_raw", "mask"])
def test_colour_spaces_that_are_not_understood_are_refused(
    tmp_path: Path, photometric: str
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", RGB, photometric="rgb")
    content, number = (tmp_path / "a.tif").read_bytes(), tifffile.PHOTOMETRIC[photometric.upper()]
    tag = struct.pack("<HHIH", 262, 3, 1, 2)
    assert tag in content
    (tmp_path / "a.tif").write_bytes(content.replace(tag, struct.pack("<HHIH", 262, 3, 1, number)))
    for read in (read_image, read_labels):
        assert "save it as RGB" in message(read, tmp_path / "a.tif")


def test_cmyk_tiffs_become_rgb_as_pillow_makes_them(tmp_path: Path) -> None:
    inks = RNG.integers(0, 256, (6, 7, 4), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", inks, photometric="separated")
    expected = np.asarray(Image.fromarray(inks, "CMYK").convert("RGB"))
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), expected)


def test_jpeg_in_a_tiff_is_rgb_and_no_mask(tmp_path: Path) -> None:
    smooth = np.repeat(np.add.outer(np.arange(32), np.arange(48))[..., None], 3, axis=2) * 3
    smooth = smooth.astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", smooth, photometric="rgb", compression="jpeg")
    assert np.abs(read_image(tmp_path / "a.tif").astype(int) - smooth).max() < 12
    assert "is a JPEG" in message(read_labels, tmp_path / "a.tif")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.int32, np.uint32, np.float32])
def test_white_as_zero_is_one_rule_for_all_types(tmp_path: Path, dtype: type) -> None:
    stored = (np.arange(42).reshape(6, 7) // 6).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="miniswhite")
    image = read_image(tmp_path / "a.tif")[..., 0].astype(float)
    np.testing.assert_array_equal(image - image[0, 0], -stored.astype(float))
    np.testing.assert_array_equal(read_labels(tmp_path / "a.tif"), stored)


def patch(path: Path, tag: int, old: int, new: int) -> None:
    """Change a number in the header."""
    content = path.read_bytes()
    for kind in ("HHIH", "HHII"):
        number = 3 if kind == "HHIH" else 4
        before = struct.pack(f"<{kind}", tag, number, 1, old)
        if before in content:
            path.write_bytes(content.replace(before, struct.pack(f"<{kind}", tag, number, 1, new)))
            return
    raise AssertionError(tag)


@pytest.mark.parametrize("height", [0, 1, 20, 61, 63, 90, 124, 318])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"rowsperstrip": 10},
        {"rowsperstrip": 1, "compression": "deflate"},
        {"compression": "deflate"},
        {"compression": "lzw"},
        {"planarconfig": "separate"},
    ],
    ids=str,
)
def test_another_height_in_the_header_is_refused(
    tmp_path: Path, height: int, settings: dict[str, Any]
) -> None:
    path = tmp_path / "a.tif"
    planes = np.stack([GRAY16] * 3) if "planarconfig" in settings else GRAY16
    tifffile.imwrite(path, planes, metadata=None, **settings)
    patch(path, 257, 62, height)
    assert "a.tif" in message(read_image, path)


@pytest.mark.parametrize("height", [0, 1, 20, 47, 65, 318])
def test_another_count_of_tiles_in_the_header_is_refused(tmp_path: Path, height: int) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GRAY16, metadata=None, tile=(16, 16))
    patch(tmp_path / "a.tif", 257, 62, height)
    assert "a.tif" in message(read_image, tmp_path / "a.tif")


def test_a_piece_too_few_is_refused_not_filled_with_zeros(tmp_path: Path) -> None:
    for settings in ({}, {"compression": "deflate"}):
        tifffile.imwrite(tmp_path / "a.tif", GRAY16, rowsperstrip=31, metadata=None, **settings)
        patch(tmp_path / "a.tif", 257, 62, 93)
        assert "2 strips, its size needs 3" in message(read_image, tmp_path / "a.tif")


OME = """<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"
UUID="urn:uuid:{own}"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT"
Type="uint8" SizeX="7" SizeY="6" SizeZ="1" SizeC="{channels}" SizeT="1">{data}</Pixels></Image>
</OME>"""
ELSEWHERE = (
    '<TiffData FirstC="{c}" IFD="0"><UUID FileName="{name}">urn:uuid:{uuid}</UUID></TiffData>'
)


@pytest.mark.parametrize("channels", [1, 2])
def test_an_ome_tiff_gives_its_own_pixels_whatever_files_it_names(
    tmp_path: Path, channels: int
) -> None:
    secret = np.full((6, 7), 99, np.uint8)
    tifffile.imwrite(tmp_path / "other.tif", secret)
    data = ELSEWHERE.format(c=0, name="other.tif", uuid="b")
    if channels == 2:
        data += ELSEWHERE.format(c=1, name="a.ome.tif", uuid="a")
    xml = OME.format(own="a", channels=channels, data=data)
    own = RGB[..., 0]
    tifffile.imwrite(tmp_path / "a.ome.tif", own, description=xml, metadata=None)
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as tiff:
        # What is to be avoided does happen otherwise.
        assert not np.array_equal(np.squeeze(tiff.series[0].asarray()), own)
    np.testing.assert_array_equal(read_image(tmp_path / "a.ome.tif")[..., 0], own)


def test_a_large_image_is_refused_before_it_is_decoded(tmp_path: Path, memory) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GRAY16, compression="deflate", metadata=None)
    patch(tmp_path / "a.tif", 257, 62, 2**27)
    with memory(20):
        assert "a.tif" in message(read_image, tmp_path / "a.tif")


# Stacks


STACKS = {
    "one after another": ((5, 24, 32), {"photometric": "minisblack"}),
    "compressed": ((5, 24, 32), {"photometric": "minisblack", "compression": "zlib"}),
    "tiled": ((5, 64, 48), {"photometric": "minisblack", "tile": (32, 16)}),
    "other byte order": ((5, 24, 32), {"photometric": "minisblack", "byteorder": ">"}),
    "colours": ((5, 24, 32, 3), {"photometric": "rgb", "compression": "lzw"}),
    "colour planes": ((5, 3, 24, 32), {"photometric": "rgb", "planarconfig": "separate"}),
    "ImageJ": ((5, 24, 32), {"imagej": True, "metadata": {"axes": "ZYX"}}),
    "ImageJ, channels": ((5, 2, 24, 32), {"imagej": True, "metadata": {"axes": "ZCYX"}}),
    "channels first": ((2, 5, 24, 32), {"ome": True, "metadata": {"axes": "CZYX"}}),
    "channels first, compressed": (
        (2, 5, 24, 32),
        {"ome": True, "compression": "zlib", "metadata": {"axes": "CZYX"}},
    ),
}


@pytest.mark.parametrize("kind", STACKS)
def test_a_plane_read_alone_is_that_of_the_whole_stack(tmp_path: Path, kind: str) -> None:
    shape, how = STACKS[kind]
    pixels = np.random.default_rng(0).integers(0, 60_000, shape).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", pixels, **how)
    planes = decode_tiff_pages(tmp_path / "a.tif")
    depth = shape.index(5)
    assert len(planes) == 5
    for number in (3, 0, 4):
        wanted = pixels.take(number, depth)
        if wanted.ndim == 3 and wanted.shape[0] in (2, 3):
            wanted = np.moveaxis(wanted, 0, -1)
        np.testing.assert_array_equal(planes[number].pixels, wanted)


@pytest.mark.parametrize("kind", ["one after another", "compressed"])
def test_a_stack_is_never_in_memory_as_a_whole(tmp_path: Path, kind: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 9, (40, 256, 256)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", pixels, **STACKS[kind][1])
    tracemalloc.start()
    try:
        total = sum(int(plane.pixels.sum()) for plane in decode_tiff_pages(tmp_path / "a.tif"))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total == pixels.sum()
    assert peak < 10 * pixels[0].nbytes


def test_a_stack_cut_short_is_refused_before_a_plane_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    noise = RNG.integers(0, 60_000, (5, 64, 64), dtype=np.uint16)
    tifffile.imwrite(path, noise, photometric="minisblack")
    path.write_bytes(path.read_bytes()[: noise.nbytes * 3 // 4])
    with pytest.raises(CongealError, match="the file is truncated"):
        read_pictures(path)


CUT = {
    "ImageJ": {"imagej": True},
    "OME": {"ome": True},
    "compressed": {"compression": "zlib", "metadata": None},
    "OME, compressed": {"ome": True, "compression": "zlib"},
    "with a shape, compressed": {"compression": "zlib"},
}


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("kind", CUT)
def test_a_stack_cut_between_its_planes_is_not_read_as_fewer_planes(
    tmp_path: Path, kind: str, share: float
) -> None:
    path = tmp_path / "a.tif"
    noise = RNG.integers(0, 60_000, (12, 32, 40), dtype=np.uint16)
    tifffile.imwrite(path, noise, photometric="minisblack", **CUT[kind])
    path.write_bytes(path.read_bytes()[: int(noise.nbytes * share)])
    with pytest.raises(CongealError, match=r"a\.tif: the file is truncated"):
        read_pictures(path)


def test_one_plane_with_the_description_of_its_stack_is_read(tmp_path: Path) -> None:
    path, plane = tmp_path / "a.tif", RNG.integers(0, 60_000, (32, 40), dtype=np.uint16)
    text = "ImageJ=1.53t\nimages=12\nslices=12\n"
    tifffile.imwrite(path, plane, photometric="minisblack", description=text, metadata=None)
    np.testing.assert_array_equal(read_pictures(path)[0].pixels[..., 0], plane)


def test_a_stack_along_two_axes_counts_as_one_image_that_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, np.zeros((2, 4, 16, 20), np.uint8), ome=True, metadata={"axes": "TZYX"})
    assert count_tiff_pages(path) == 1
    with pytest.raises(CongealError, match=r"expected a stack along one axis, .* has T and Z"):
        read_pictures(path)
