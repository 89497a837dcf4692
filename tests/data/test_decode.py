"""Truncated and damaged files: an error in one line, never wrong pixels."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from congeal.data.images import read_image
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
