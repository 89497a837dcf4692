"""The size of a pixel by what wrote the file."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from congeal.data.pixel_size import read_pixel_size

PIXELS = np.zeros((6, 7), np.uint8)


def written(path: Path, **tags: object) -> Path:
    tifffile.imwrite(path, PIXELS, **tags)
    return path


@pytest.mark.parametrize(
    ("unit", "size"),
    [("micron", 0.25), ("\\u00B5m", 0.25), ("um", 0.25), ("nm", 0.00025), ("mm", 250)],
)
def test_imagej_tells_pixels_per_unit(tmp_path: Path, unit: str, size: float) -> None:
    path = written(tmp_path / "a.tif", imagej=True, resolution=(4, 4), metadata={"unit": unit})
    assert read_pixel_size(path) == pytest.approx(size)


@pytest.mark.parametrize("unit", ["pixel", "", "furlong"])
def test_imagej_without_a_length_tells_nothing(tmp_path: Path, unit: str) -> None:
    path = written(tmp_path / "a.tif", imagej=True, resolution=(4, 4), metadata={"unit": unit})
    assert read_pixel_size(path) is None


@pytest.mark.parametrize(("unit", "size"), [("\N{MICRO SIGN}m", 0.108), ("nm", 0.000108)])
def test_ome_tells_the_side(tmp_path: Path, unit: str, size: float) -> None:
    sides = {f"PhysicalSize{axis}": 0.108 for axis in "XY"}
    sides |= {f"PhysicalSize{axis}Unit": unit for axis in "XY"}
    path = written(tmp_path / "a.ome.tif", ome=True, metadata=sides)
    assert read_pixel_size(path) == pytest.approx(size)


@pytest.mark.parametrize(
    ("dots", "unit", "size"),
    [
        (20000, "CENTIMETER", 0.5),
        (1200, "INCH", 25400 / 1200),
        (72, "INCH", None),
        (96, "INCH", None),
        (72, "CENTIMETER", 10000 / 72),
        (100, "NONE", None),
        (0, "CENTIMETER", None),
    ],
)
def test_resolution_tags_tell_dots_per_length(
    tmp_path: Path, dots: int, unit: str, size: float | None
) -> None:
    path = written(tmp_path / "a.tif", resolution=(dots, dots), resolutionunit=unit)
    found = read_pixel_size(path)
    assert found == (None if size is None else pytest.approx(size, rel=1e-4))


def test_pixels_that_are_not_square_have_no_size(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tif", resolution=(100, 120), resolutionunit="CENTIMETER")
    assert read_pixel_size(path) is None


def test_other_files_tell_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"II*\0broken")
    assert read_pixel_size(tmp_path / "a.tif") is None
    assert read_pixel_size(tmp_path / "nowhere.tif") is None
    assert read_pixel_size(written(tmp_path / "plain.tif")) is None
