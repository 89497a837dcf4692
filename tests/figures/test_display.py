"""Images and embeddings of any kind become pictures."""

from __future__ import annotations

import numpy as np
import pytest

from congeal.errors import CongealError
from congeal.figures import embedding_rgb, enlarge, sphere_rgb, to_display


def test_an_eight_bit_photograph_is_shown_as_it_is():
    image = np.random.default_rng(0).integers(0, 256, (9, 8, 3), np.uint8)
    assert np.array_equal(to_display(image), image)
    assert np.array_equal(to_display(image[..., 0])[..., 2], image[..., 0])


def test_alpha_is_left_out():
    image = np.full((3, 3, 4), 200, np.uint8)
    assert to_display(image).shape == (3, 3, 3)


def test_a_very_dark_image_is_brightened():
    image = np.random.default_rng(0).integers(0, 40, (50, 50), np.uint8)
    assert to_display(image).max() == 255


def test_faint_noise_is_not_blown_up_into_a_picture():
    image = np.random.default_rng(0).integers(3, 6, (50, 50), np.uint8)
    assert to_display(image).max() < 50


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32, np.float64])
def test_other_numbers_are_stretched_and_outliers_cut(dtype):
    image = np.tile(np.arange(1000, 2000), (10, 1)).astype(dtype)
    image[0, 0] = 60000
    shown = to_display(image)
    assert shown.dtype == np.uint8
    assert shown[5, 0, 0] == 0
    assert shown[5, -1, 0] >= 253


@pytest.mark.parametrize("value", [0.0, 7.5, np.nan, np.inf])
def test_an_image_without_contrast_is_black(value):
    assert not to_display(np.full((4, 4), value)).any()


def test_nan_and_infinity_spoil_no_other_pixel():
    image = np.linspace(0, 1, 100).reshape(10, 10)
    image[0, 0], image[0, 1], image[9, 8] = np.nan, -np.inf, np.inf
    shown = to_display(image)[..., 0]
    assert shown[0, 0] == shown[0, 1] == 0
    assert shown[9, 8] == 255
    assert 100 < shown[5, 0] < 150


def test_a_mask_is_black_and_white():
    assert set(np.unique(to_display(np.eye(3, dtype=bool)))) == {0, 255}


def test_two_channels_are_red_and_green():
    image = np.full((3, 4, 2), 200, np.uint8)
    image[0, 0, 1] = 0
    picture = to_display(image)
    assert picture[0, 0].tolist() == [200, 0, 0]
    assert picture[1, 1].tolist() == [200, 200, 0]


@pytest.mark.parametrize("image", [np.zeros(4), np.zeros((2, 2, 0)), np.array([["a"]])])
def test_what_is_no_image_is_refused(image):
    with pytest.raises(CongealError, match="expected an image"):
        to_display(image)


def test_small_pictures_grow_by_whole_pixels_and_large_ones_stay():
    assert enlarge(np.zeros((100, 60, 3), np.uint8), 512).shape == (500, 300, 3)
    assert enlarge(np.zeros((600, 60, 3), np.uint8), 512).shape == (600, 60, 3)


def groups(dimensions, seed=0):
    """An embedding with four groups of pixels, and the groups."""
    rng = np.random.default_rng(seed)
    which = rng.integers(0, 4, (20, 20))
    modes = rng.normal(size=(4, dimensions))
    field = modes[which] + rng.normal(size=(20, 20, dimensions)) * 0.01
    return field.transpose(2, 0, 1), which


@pytest.mark.parametrize("dimensions", [3, 8, 64])
def test_groups_of_an_embedding_have_colours_of_their_own(dimensions):
    field, which = groups(dimensions)
    picture = embedding_rgb(field).astype(float)
    means = np.array([picture[which == i].mean(0) for i in range(4)])
    spread = max(picture[which == i].std(0).max() for i in range(4))
    apart = np.linalg.norm(means[:, None] - means[None], axis=-1) + 1e3 * np.eye(4)
    assert apart.min() > 5 * spread


@pytest.mark.parametrize("dimensions", [1, 2])
def test_few_dimensions_are_shown_too(dimensions):
    picture = embedding_rgb(groups(dimensions)[0])
    assert picture.shape == (20, 20, 3)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 3


def test_a_turned_sign_of_a_whole_axis_order_does_not_change_the_picture():
    field, _ = groups(6)
    assert np.abs(embedding_rgb(field[::-1]).astype(int) - embedding_rgb(field)).max() <= 1


def test_a_mask_of_another_size_shows_its_pixels_only():
    field, _ = groups(5)
    mask = np.zeros((40, 40), bool)
    mask[:, :20] = True
    picture = embedding_rgb(field, mask)
    assert not picture[:, 10:].any()
    assert picture[:, :10].any(-1).all()


def test_an_embedding_of_nothing_is_a_plain_picture():
    assert not embedding_rgb(np.ones((4, 3, 3)), np.zeros((3, 3))).any()
    assert len(np.unique(embedding_rgb(np.ones((4, 3, 3))))) == 1
    assert embedding_rgb(np.full((4, 3, 3), np.nan)).shape == (3, 3, 3)


def test_what_is_no_embedding_is_refused():
    with pytest.raises(CongealError, match=r"\(D, H, W\)"):
        embedding_rgb(np.zeros((3, 3)))


def test_a_direction_of_the_sphere_has_the_same_colour_in_every_picture():
    unit = np.random.default_rng(0).normal(size=(8, 5, 6))
    unit /= np.linalg.norm(unit, axis=0)
    whole, part = sphere_rgb(unit), sphere_rgb(unit[:, :2, :3])
    assert np.array_equal(whole[:2, :3], part)
    assert not np.array_equal(whole, sphere_rgb(unit, seed=1))
    assert 40 < whole.std() < 110  # neither gray nor cut off


def test_three_dimensions_of_the_sphere_are_red_green_and_blue():
    unit = np.eye(3)[:, None] * [1, -1, 1]
    assert sphere_rgb(unit).tolist() == [[[255, 127, 127], [127, 0, 127], [127, 127, 255]]]
    assert sphere_rgb(unit[:2] * 1.0).shape == (1, 3, 3)
    with pytest.raises(CongealError, match=r"expected an embedding \(D, H, W\)"):
        sphere_rgb(np.zeros((3, 3)))
