"""JPEG 2000: depth, channels and sizes as they are stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from congeal.data.images import read_image
from congeal.errors import CongealError

RNG = np.random.default_rng(0)


def message(call: Any, given: object) -> str:
    with pytest.raises(CongealError) as caught:
        call(given)
    return str(caught.value)


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_jpeg_2000_keeps_its_depth_and_its_channels(tmp_path: Path, bits: int) -> None:
    stored = RNG.integers(0, 2**bits, (20, 30, 3), dtype=np.uint16 if bits > 8 else np.uint8)
    options: dict[str, Any] = {"level": 0, "reversible": True, "bitspersample": bits, "mct": False}
    (tmp_path / "a.jp2").write_bytes(imagecodecs.jpeg2k_encode(stored, **options))
    np.testing.assert_array_equal(read_image(tmp_path / "a.jp2"), stored)
    two = imagecodecs.jpeg2k_encode(np.ascontiguousarray(stored[..., :2]), **options)
    (tmp_path / "two.jp2").write_bytes(two)
    assert "two.jp2 has 2 channels" in message(read_image, tmp_path / "two.jp2")


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_alpha_is_what_the_file_defines_as_alpha(tmp_path: Path, mode: str) -> None:
    pixels = RNG.integers(0, 256, (20, 30, len(mode)), dtype=np.uint8)
    Image.fromarray(pixels, mode).save(tmp_path / "a.jp2")
    np.testing.assert_array_equal(read_image(tmp_path / "a.jp2"), pixels[..., :-1])


def test_a_size_of_the_header_that_no_memory_takes_is_refused(tmp_path: Path, memory) -> None:
    Image.fromarray(RNG.integers(0, 256, (20, 30), dtype=np.uint8)).save(tmp_path / "a.jp2")
    content = bytearray((tmp_path / "a.jp2").read_bytes())
    start = content.index(b"\xff\x4f\xff\x51")
    for size in (0, 40_000, 2**31):
        content[start + 8 : start + 16] = size.to_bytes(4, "big") * 2
        (tmp_path / "a.jp2").write_bytes(content)
        with memory(20):
            assert "a.jp2" in message(read_image, tmp_path / "a.jp2")


def test_a_stream_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    Image.fromarray(RNG.integers(0, 256, (20, 30), dtype=np.uint8)).save(tmp_path / "a.jp2")
    content = (tmp_path / "a.jp2").read_bytes()
    for cut in range(1, len(content), 7):
        (tmp_path / "a.jp2").write_bytes(content[:cut])
        assert "a.jp2" in message(read_image, tmp_path / "a.jp2")
