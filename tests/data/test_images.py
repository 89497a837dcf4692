"""Reading images and label maps, good and bad."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from congeal.data.images import (
    expand_images,
    natural_key,
    read_image,
    read_labels,
    read_picture,
)
from congeal.errors import CongealError

RNG = np.random.default_rng(0)
GRAY = RNG.integers(0, 256, (6, 7), dtype=np.uint8)
GRAY16 = RNG.integers(0, 65536, (6, 7), dtype=np.uint16)
RGB = RNG.integers(0, 256, (6, 7, 3), dtype=np.uint8)
RGB16 = RNG.integers(0, 65536, (6, 7, 3), dtype=np.uint16)
FLOAT = RNG.normal(size=(6, 7)).astype(np.float32)


def save(path: Path, array: NDArray[np.generic]) -> Path:
    if path.suffix == ".tif":
        tifffile.imwrite(path, array)
    elif array.dtype == np.uint16 and array.ndim == 3:
        path.write_bytes(imagecodecs.png_encode(array))
    else:
        Image.fromarray(array).save(path)
    return path


def message(call: Callable[[Any], object], given: object) -> str:
    with pytest.raises(CongealError) as caught:
        call(given)
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("array", [GRAY, GRAY16, RGB, RGB16, FLOAT], ids=lambda a: str(a.dtype))
@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_pixels_come_back_as_they_were_stored(
    tmp_path: Path, array: NDArray[np.generic], ending: str
) -> None:
    if array.dtype == np.float32 and ending == ".png":
        pytest.skip("PNG holds no floats")
    image = read_image(save(tmp_path / f"a{ending}", array))
    assert image.dtype == array.dtype
    np.testing.assert_array_equal(image, array.reshape(6, 7, -1))


@pytest.mark.parametrize(
    "settings",
    [
        {"compression": "deflate"},
        {"compression": "lzw", "predictor": True},
        {"compression": "zstd"},
        {"tile": (16, 16)},
        {"byteorder": ">"},
        {"bigtiff": True},
        {"imagej": True},
        {"ome": True},
    ],
    ids=str,
)
def test_tiffs_of_every_build_are_read(tmp_path: Path, settings: dict[str, object]) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GRAY16, **settings)
    image = read_image(tmp_path / "a.tif")
    assert image.dtype == np.uint16
    assert image.dtype.isnative
    np.testing.assert_array_equal(image[..., 0], GRAY16)


def test_planar_tiff_channels_end_up_last(tmp_path: Path) -> None:
    planes = np.moveaxis(RGB, -1, 0)
    tifffile.imwrite(tmp_path / "a.tif", planes, planarconfig="separate", photometric="rgb")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), RGB)


def test_tiff_with_white_as_zero_is_turned_round(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GRAY, photometric="miniswhite")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif")[..., 0], 255 - GRAY)


def test_alpha_is_dropped(tmp_path: Path) -> None:
    alpha = RNG.integers(0, 256, (6, 7, 1), dtype=np.uint8)
    colour = save(tmp_path / "rgba.png", np.concatenate([RGB, alpha], axis=2))
    np.testing.assert_array_equal(read_image(colour), RGB)
    gray = save(tmp_path / "la.png", np.concatenate([GRAY[..., None], alpha], axis=2))
    np.testing.assert_array_equal(read_image(gray)[..., 0], GRAY)


def test_any_channel_may_be_chosen_but_must_be_there(tmp_path: Path) -> None:
    path = save(tmp_path / "rgb.png", RGB)
    np.testing.assert_array_equal(read_image(path, channels=[2, 0]), RGB[..., [2, 0]])
    assert read_picture(path, channels=[1]).note == "channels 0 and 2 of 3 left out"
    for wrong in ([3], [-1], []):
        with pytest.raises(CongealError, match=r"from 0 to 2 of .*rgb.png"):
            read_image(path, channels=wrong)


def test_palettes_become_colours_and_gray_palettes_one_channel(tmp_path: Path) -> None:
    Image.fromarray(RGB).quantize(16).save(tmp_path / "colour.png")
    expected = np.asarray(Image.fromarray(RGB).quantize(16).convert("RGB"))
    np.testing.assert_array_equal(read_image(tmp_path / "colour.png"), expected)
    indexed = Image.fromarray(GRAY % 4).convert("P")
    indexed.putpalette([0, 0, 0, 50, 50, 50, 100, 100, 100, 150, 150, 150])
    indexed.save(tmp_path / "gray.png")
    np.testing.assert_array_equal(read_image(tmp_path / "gray.png")[..., 0], GRAY % 4 * 50)


def test_tiff_palettes_become_colours(tmp_path: Path) -> None:
    palette = RNG.integers(0, 65536, (3, 256), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", GRAY, photometric="palette", colormap=palette)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), palette.T[GRAY])
    np.testing.assert_array_equal(read_labels(_map(tmp_path, palette)), GRAY // 64)


def _map(folder: Path, palette: NDArray[np.uint16]) -> Path:
    tifffile.imwrite(folder / "m.tif", GRAY // 64, photometric="palette", colormap=palette)
    return folder / "m.tif"


def test_photographs_are_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(RGB).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), np.rot90(RGB, -1))


def test_black_and_white_and_cmyk_are_read(tmp_path: Path) -> None:
    Image.fromarray(GRAY > 99).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(read_image(tmp_path / "bits.png")[..., 0], (GRAY > 99) * 255)
    Image.fromarray(RGB).convert("CMYK").save(tmp_path / "cmyk.jpg")
    assert read_image(tmp_path / "cmyk.jpg").shape == (6, 7, 3)


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.uint32, np.float16, np.float64])
def test_other_numbers_become_float32(tmp_path: Path, dtype: type) -> None:
    array = (GRAY.astype(np.float64) - 100).clip(0).astype(dtype)
    image = read_image(save(tmp_path / "a.tif", array))
    assert image.dtype == np.float32
    np.testing.assert_array_equal(image[..., 0], array)


@pytest.mark.parametrize("shape", [(1, 1), (20_000, 30), (30, 20_000), (1, 500)])
@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_extreme_sizes_are_read(tmp_path: Path, shape: tuple[int, int], ending: str) -> None:
    path = save(tmp_path / f"a{ending}", np.ones(shape, np.uint8))
    assert read_image(path).shape == (*shape, 1)
    assert read_labels(path).shape == shape


def test_constant_images_are_read(tmp_path: Path) -> None:
    assert (read_image(save(tmp_path / "a.png", np.full((6, 7), 9, np.uint8))) == 9).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinite_pixels_are_refused(tmp_path: Path, value: float) -> None:
    array = FLOAT.copy()
    array[2, 3] = value
    text = message(read_image, save(tmp_path / "hole.tif", array))
    assert "hole.tif has 1 NaN or infinite" in text


def test_doubles_beyond_float32_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tif", np.full((6, 7), 1e300))
    assert "infinite" in message(read_image, path)


def test_multi_page_tiffs_are_refused_with_advice(tmp_path: Path) -> None:
    path = save(tmp_path / "stack.tif", RNG.integers(0, 256, (5, 60, 70), dtype=np.uint8))
    text = message(read_image, path)
    assert "stack.tif" in text
    assert "save every page as a file of its own" in text
    Image.new("L", (5, 5)).save(
        tmp_path / "pages.tif", save_all=True, append_images=[Image.new("L", (9, 9))]
    )
    assert "pages.tif has 2" in message(read_image, tmp_path / "pages.tif")


def test_animations_are_refused(tmp_path: Path) -> None:
    frames = [Image.new("L", (5, 5), tone) for tone in (0, 99)]
    frames[0].save(tmp_path / "film.png", save_all=True, append_images=frames[1:])
    assert "film.png has 2 frames" in message(read_image, tmp_path / "film.png")


def test_images_of_many_channels_are_refused(tmp_path: Path) -> None:
    array = RNG.integers(0, 256, (6, 7, 5), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "five.tif", array, photometric="minisblack", planarconfig="contig")
    assert "five.tif has 5 channels" in message(read_image, tmp_path / "five.tif")


def test_missing_empty_and_foreign_files_are_named(tmp_path: Path) -> None:
    assert "no such image file" in message(read_image, tmp_path / "gone.png")
    (tmp_path / "empty.png").write_bytes(b"")
    assert "empty.png: the file is empty" in message(read_image, tmp_path / "empty.png")
    (tmp_path / "text.png").write_text("not an image at all")
    assert "text.png is not" in message(read_image, tmp_path / "text.png")
    assert "is a folder" in message(read_image, tmp_path)


def test_an_absurdly_large_header_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "bomb.bmp", GRAY)
    content = bytearray(path.read_bytes())
    content[18:26] = (100_000).to_bytes(4, "little") * 2
    path.write_bytes(content)
    assert "bomb.bmp" in message(read_image, path)


def test_the_first_bytes_decide_not_the_ending(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tif", GRAY16)
    np.testing.assert_array_equal(read_image(path.rename(tmp_path / "a.png"))[..., 0], GRAY16)


LABELS = np.kron(np.arange(12).reshape(3, 4), np.ones((8, 8), int))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_labels_come_back_as_int64(tmp_path: Path, dtype: type) -> None:
    labels = read_labels(save(tmp_path / "a.png", LABELS.astype(dtype)))
    assert labels.dtype == np.int64
    np.testing.assert_array_equal(labels, LABELS)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.uint32, np.int32, np.int64])
def test_tiff_labels_of_every_integer_type_are_read(tmp_path: Path, dtype: type) -> None:
    labels = read_labels(save(tmp_path / "a.tif", LABELS.astype(dtype)))
    np.testing.assert_array_equal(labels, LABELS)


def test_minus_one_is_void_and_lower_is_refused(tmp_path: Path) -> None:
    labels = LABELS.astype(np.int16) - 1
    np.testing.assert_array_equal(read_labels(save(tmp_path / "a.tif", labels)), labels)
    text = message(read_labels, save(tmp_path / "low.tif", labels - 1))
    assert "low.tif has -2" in text


def test_large_object_numbers_survive(tmp_path: Path) -> None:
    labels = np.where(LABELS == 3, 4_000_000_000, LABELS).astype(np.uint32)
    assert read_labels(save(tmp_path / "a.tif", labels)).max() == 4_000_000_000


def test_palette_labels_are_the_indices(tmp_path: Path) -> None:
    picture = Image.fromarray(LABELS.astype(np.uint8)).convert("P")
    picture.putpalette(RNG.integers(0, 256, 768).tolist())
    picture.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "a.png"), LABELS)


def test_gray_labels_saved_as_rgb_are_read(tmp_path: Path) -> None:
    gray = np.repeat(LABELS.astype(np.uint8)[..., None], 3, axis=2)
    np.testing.assert_array_equal(read_labels(save(tmp_path / "a.png", gray)), LABELS)


def test_rgb_masks_are_refused(tmp_path: Path) -> None:
    assert "photo.png is a colour image" in message(read_labels, save(tmp_path / "photo.png", RGB))


def test_jpeg_masks_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "m.jpg", LABELS.astype(np.uint8))
    assert "m.jpg is a JPEG" in message(read_labels, path)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_float_labels_are_read_when_whole(tmp_path: Path, dtype: type) -> None:
    labels = LABELS * (100 if dtype == np.float16 else 7000)
    found = read_labels(save(tmp_path / "m.tif", labels.astype(dtype)))
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, labels)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (1.5, "m.tif has float32 such as 1.5"),
        (np.nan, "m.tif has float32 such as nan"),
        (np.inf, "m.tif has float32 such as inf"),
        (2.0**24 + 2, "up to 16777216 in float32, .*m.tif"),
        (-2, "m.tif has -2"),
    ],
)
def test_other_float_labels_are_refused(tmp_path: Path, value: float, reason: str) -> None:
    labels = LABELS.astype(np.float32)
    labels[3, 4] = value
    assert re.search(reason, message(read_labels, save(tmp_path / "m.tif", labels)))


@pytest.mark.parametrize("noise", [1.5, 20])
def test_a_gray_photograph_is_not_taken_for_labels(tmp_path: Path, noise: float) -> None:
    y, x = np.mgrid[:200, :200]
    photograph = 90 + 50 * np.sin(y / 30) * np.cos(x / 40) + RNG.normal(0, noise, (200, 200))
    path = save(tmp_path / "photo.png", photograph.clip(0, 255).astype(np.uint8))
    assert "photo.png looks like a photograph" in message(read_labels, path)


def test_thousands_of_small_touching_objects_are_labels(tmp_path: Path) -> None:
    labels = 1 + np.kron(np.arange(2500).reshape(50, 50), np.ones((6, 6), int))
    path = save(tmp_path / "a.png", labels.astype(np.uint16))
    assert read_labels(path).max() == 2500


@pytest.mark.slow
@pytest.mark.parametrize(("name", "ending"), [("nuclei", "png"), ("cables", "jpg")])
def test_no_label_map_of_the_packs_is_a_photograph_and_every_image_is(
    pack, tmp_path: Path, name: str, ending: str
) -> None:
    for path in sorted((pack(name) / "images/val").glob(f"*.{ending}")):
        assert read_labels(pack(name) / f"labels/val/{path.stem}.png").max() > 0
        gray = save(tmp_path / "gray.png", np.asarray(Image.open(path).convert("L")))
        message(read_labels, gray)


def test_files_folders_and_patterns_are_expanded_in_natural_order(tmp_path: Path) -> None:
    for name in ("a10.png", "a9.TIF", "b1.jpg", "note.txt", ".a1.png"):
        (tmp_path / name).write_bytes(b"")
    found = expand_images([tmp_path / "b1.jpg", tmp_path, str(tmp_path / "a*")])
    assert [path.name for path in found] == ["b1.jpg", "a9.TIF", "a10.png"]


def test_patterns_reach_into_folders(tmp_path: Path) -> None:
    (tmp_path / "deep/er").mkdir(parents=True)
    (tmp_path / "deep/er/x.png").write_bytes(b"")
    assert expand_images([str(tmp_path / "**" / "*.png")]) == [tmp_path / "deep/er/x.png"]


def test_a_file_with_brackets_in_its_name_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "a[1].png").write_bytes(b"")
    assert expand_images([tmp_path / "a[1].png"]) == [tmp_path / "a[1].png"]


def test_named_files_that_do_not_exist_are_kept_for_the_run_to_report(tmp_path: Path) -> None:
    assert expand_images([tmp_path / "gone.png"]) == [tmp_path / "gone.png"]


def test_patterns_below_a_folder_with_brackets_are_expanded(tmp_path: Path) -> None:
    (tmp_path / "run[1]").mkdir()
    (tmp_path / "run[1]/a.png").write_bytes(b"")
    assert expand_images([str(tmp_path / "run[1]/*.png")]) == [tmp_path / "run[1]/a.png"]


def test_every_ending_that_opens_is_found_in_a_folder(tmp_path: Path) -> None:
    for ending in ("webp", "jp2", "jfif", "jpe", "gif", "pgm", "bmp"):
        (tmp_path / f"a.{ending}").write_bytes(b"")
    assert len(expand_images([tmp_path])) == 7


def test_names_that_are_no_utf8_are_read_and_reported_in_ascii(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/zelle\xe9.png"))
    save(path, GRAY)
    assert read_image(path).shape == (6, 7, 1)
    path.write_bytes(b"nothing")
    assert "zelle\\xe9.png" in message(read_image, path).encode().decode()
    assert expand_images([tmp_path]) == [path]


def test_nothing_to_expand_is_an_error(tmp_path: Path) -> None:
    assert "got none" in message(expand_images, [])
    assert str(tmp_path) in message(expand_images, [tmp_path])
    assert "*.png" in message(expand_images, [str(tmp_path / "*.png")])


def test_no_two_names_share_a_place_in_natural_order() -> None:
    names = ["1", "01", "a", "A", "a1b", "a1", "", "é2", "²"]
    keys = [natural_key(name) for name in names]
    assert len({tuple(key) for key in keys}) == len(names)


def test_reading_images_does_not_import_torch() -> None:
    code = "import sys, congeal.data.images; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
