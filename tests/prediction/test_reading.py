"""How the images of a run are read: the planes of a stack one at a time."""

import gc
import weakref
from pathlib import Path

import numpy as np
import pytest
import tifffile
from cases.bright import Bright

from congeal.data import images
from congeal.prediction import segment_volume
from congeal.prediction.reading import Pages, Reading, list_pages, read_page


@pytest.fixture
def stack(tmp_path):
    """A stack of six planes that differ."""
    pixels = np.zeros((6, 40, 50), np.uint8)
    for number, plane in enumerate(pixels):
        plane[10:20, 10 : 20 + number] = 200
    tifffile.imwrite(tmp_path / "deep.tif", pixels, photometric="minisblack", compression="zlib")
    return tmp_path / "deep.tif", pixels


@pytest.fixture
def alive(monkeypatch):
    """The most planes that were in memory at one time."""
    planes, most = weakref.WeakSet(), [0]
    read = images._picture

    def counted(*given):
        gc.collect()
        picture = read(*given)
        planes.add(picture)
        most[0] = max(most[0], len(planes))
        return picture

    monkeypatch.setattr(images, "_picture", counted)
    return most


def test_planes_of_a_volume_are_read_one_at_a_time(stack, alive):
    path, pixels = stack
    pages = Pages(list_pages([path], "volume"), Reading(stack="volume"))
    for plane, wanted in zip(pages.planes(path), pixels, strict=True):
        np.testing.assert_array_equal(plane[..., 0], wanted)
    assert alive[0] <= 2  # the next one is read before the loop gives up the last
    assert len(segment_volume(Bright(), path)) == 1
    assert alive[0] <= 2


def test_pages_as_images_are_read_alone(stack, alive):
    path, pixels = stack
    named = list_pages([path], "planes")
    pages = Pages(named, Reading(stack="planes"))
    for number, name in enumerate(named):
        np.testing.assert_array_equal(pages.read(name).pixels[..., 0], pixels[number])
        np.testing.assert_array_equal(read_page(named[name])[..., 0], pixels[number])
    assert alive[0] <= 2
    assert isinstance(pages.file(Path(name)), Path)
