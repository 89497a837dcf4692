"""An image at another size, computed part by part."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from congeal.data.resized import ResizedImage


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 65535, (61, 83, 3)).astype(np.uint16)


@pytest.mark.parametrize("factor", [0.3, 0.5, 1.37, 2.0])
def test_it_is_what_torch_interpolates(image, factor):
    shown = ResizedImage(image, factor)
    planes = torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1)[None]
    expected = functional.interpolate(
        planes, size=shown.shape[:2], mode="bilinear", antialias=True, align_corners=False
    )
    found = torch.from_numpy(shown.pixels()).permute(2, 0, 1)[None]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=0.5)


@pytest.mark.parametrize("factor", [0.3, 1.37])
def test_a_part_is_equal_to_that_part_of_the_whole(image, factor):
    shown = ResizedImage(image, factor)
    whole = shown.pixels()
    height, width, _ = shown.shape
    for window in ((slice(0, 7), slice(3, 9)), (slice(5, height), slice(width - 4, width))):
        np.testing.assert_array_equal(shown[window], whole[window])


def test_a_sample_is_a_regular_part_of_the_whole(image, monkeypatch):
    monkeypatch.setattr("congeal.data.resized.SAMPLED", 500)
    shown = ResizedImage(image, 0.7)
    sample = shown.sampled()
    assert sample.size < 1500
    step = -(-shown.shape[0] // len(sample))
    np.testing.assert_array_equal(sample, shown.pixels()[::step, ::step])
