"""Zoomed images and labels: what the network is shown lies where it lay."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.measure import block_reduce

from congeal.data.rescale import (
    magnification,
    rescale_boundaries,
    rescale_image,
    rescale_labels,
    rescaled_size,
)

sides = st.integers(1, 40)
zooms = st.floats(0.05, 4)
examples = settings(max_examples=40, deadline=None)


@examples
@given(sides, sides, zooms)
def test_image_and_labels_are_zoomed_to_one_size(height, width, zoom):
    size = rescaled_size((height, width), zoom)
    assert min(size) >= 1
    assert rescale_image(torch.rand(3, height, width), zoom).shape == (3, *size)
    assert rescale_labels(torch.zeros(height, width, dtype=torch.int32), zoom).shape == size


def test_a_zoom_of_one_changes_nothing():
    image, labels = torch.rand(1, 7, 9), torch.arange(63).reshape(7, 9)
    assert rescale_image(image, 1.0) is image
    assert rescale_labels(labels, 1.0) is labels


@examples
@given(sides, sides, zooms)
def test_labels_are_those_of_the_nearest_pixel(height, width, zoom):
    labels = np.arange(height * width).reshape(height, width) + 2**31  # too large for float32
    found = rescale_labels(torch.from_numpy(labels), zoom).numpy()
    for y, x in np.ndindex(found.shape):
        at = ((y + 0.5) * height / found.shape[0], (x + 0.5) * width / found.shape[1])
        nearest = {
            labels[row, column]
            for row in {int(at[0] - 1e-6), min(int(at[0] + 1e-6), height - 1)}
            for column in {int(at[1] - 1e-6), min(int(at[1] + 1e-6), width - 1)}
        }
        assert found[y, x] in nearest


@examples
@given(sides, sides, zooms, st.floats(0, 1))
def test_an_even_image_stays_even(height, width, zoom, value):
    shown = rescale_image(torch.full((1, height, width), value), zoom)
    torch.testing.assert_close(shown, torch.full_like(shown, value))


@pytest.mark.parametrize("factor", [2, 3, 5])
def test_texture_that_is_too_fine_is_averaged(factor):
    stripes = torch.zeros(1, 30, 30)
    stripes[:, :, ::2] = 1
    shown = rescale_image(stripes, 1 / factor)[0, :, 1:-1]
    assert (shown - 0.5).abs().max() < 0.26  # picked pixels would be 0 or 1


def test_shrinking_keeps_the_mean_of_blocks_in_a_slope():
    slope = np.add.outer(np.arange(24.0), 2 * np.arange(36.0))
    shown = rescale_image(torch.from_numpy(slope[None]), 0.25)[0].numpy()
    blocks = block_reduce(slope, (4, 4), np.mean)
    np.testing.assert_allclose(shown[1:-1, 1:-1], blocks[1:-1, 1:-1])


@pytest.mark.parametrize("factor", [2, 3, 5])
def test_shrunken_boundaries_are_the_maxima_of_blocks(factor):
    strength = np.random.default_rng(0).random((30, 30), np.float32)
    shown = rescale_boundaries(torch.from_numpy(strength), 1 / factor).numpy()
    np.testing.assert_array_equal(shown, block_reduce(strength, (factor, factor), np.max))


@examples
@given(sides, sides, zooms)
def test_every_boundary_pixel_is_in_some_zoomed_one_and_void_stays(height, width, zoom):
    marked = torch.zeros(height, width)
    marked[height // 2, width // 3] = 1
    assert rescale_boundaries(marked, zoom).max() == 1
    marked[:] = -1
    assert bool((rescale_boundaries(marked, zoom) == -1).all())
    assert rescale_boundaries(marked, 1.0) is marked


areas = st.lists(st.floats(1, 5000), min_size=1, max_size=9)


@examples
@given(areas, st.floats(1, 2000))
def test_magnified_the_median_object_has_the_area_wanted_within_bounds(found, wanted):
    zoom = magnification(found, wanted)
    median = float(np.median(found))
    assert zoom == 1 or 1.1 <= zoom <= 2
    if zoom == 1:
        assert wanted < 1.22 * median
    elif zoom < 2:
        np.testing.assert_allclose(median * zoom**2, wanted)
    else:
        assert 4 * median <= wanted * (1 + 1e-9)


@examples
@given(areas, st.floats(1, 2000), st.randoms(use_true_random=False))
def test_the_order_of_objects_does_not_matter_to_it(found, wanted, random):
    shuffled = random.sample(found, len(found))
    assert magnification(shuffled, wanted) == magnification(found, wanted)


def test_what_is_enlarged_still_fits_in_memory():
    assert magnification([50], 200, pixels=2**23) == 2
    assert magnification([50], 200, pixels=2**24) == pytest.approx(np.sqrt(2))
    assert magnification([50], 200, pixels=2**25) == magnification([50], 200, pixels=1e12) == 1
