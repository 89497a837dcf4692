"""Scaling of pixel values for the network."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from congeal.data.intensity import scale_intensity
from congeal.errors import CongealError

RNG = np.random.default_rng(0)


def test_percentiles_become_zero_and_one() -> None:
    image = RNG.normal(1000, 200, (60, 70, 3)).astype(np.float32)
    low, high = np.percentile(image, (1, 99.8))
    expected = ((image - low) / (high - low)).clip(0, 1.5).transpose(2, 0, 1)
    np.testing.assert_allclose(scale_intensity(image).numpy(), expected, atol=1e-5)


def test_gray_is_repeated_to_three_channels() -> None:
    scaled = scale_intensity(RNG.integers(0, 65536, (20, 30, 1), dtype=np.uint16))
    assert scaled.shape == (3, 20, 30)
    assert scaled.dtype == torch.float32
    assert scaled.is_contiguous()
    assert torch.equal(scaled[0], scaled[2])


def test_gray_saved_as_rgb_scales_the_same() -> None:
    gray = RNG.integers(0, 256, (20, 30, 1), dtype=np.uint8)
    assert torch.equal(scale_intensity(gray), scale_intensity(np.repeat(gray, 3, axis=2)))


@pytest.mark.parametrize("value", [0, 7, 65535])
def test_a_constant_image_gives_zeros(value: int) -> None:
    assert not scale_intensity(np.full((5, 6, 1), value, np.uint16)).any()


def test_a_few_bright_points_on_even_ground_are_kept() -> None:
    image = np.zeros((100, 100, 1), np.uint8)
    image[50, 50] = 200
    scaled = scale_intensity(image)
    assert scaled.max() == 1
    assert scaled.sum() == 3


@pytest.mark.parametrize("shape", [(1, 1, 1), (20_000, 30, 3), (30, 20_000, 1), (1, 9, 3)])
def test_extreme_sizes_are_scaled(shape: tuple[int, int, int]) -> None:
    scaled = scale_intensity(RNG.integers(0, 256, shape, dtype=np.uint8))
    assert scaled.shape == (3, *shape[:2])
    assert scaled.isfinite().all()


def test_large_images_are_subsampled_closely() -> None:
    image = RNG.normal(100, 10, (2500, 1500, 1)).astype(np.float32)
    low, high = np.percentile(image, (1, 99.8))
    expected = ((image - low) / (high - low)).clip(0, 1.5)[..., 0]
    np.testing.assert_allclose(scale_intensity(image)[0].numpy(), expected, atol=0.02)


finite = st.floats(-(2.0**100), 2.0**100, width=32)


@given(arrays(np.float32, array_shapes(min_dims=2, max_dims=2), elements=finite))
def test_any_finite_image_stays_in_range(image: np.ndarray) -> None:
    scaled = scale_intensity(image)
    assert scaled.isfinite().all()
    assert scaled.min() >= 0
    assert scaled.max() <= 1.5


@given(arrays(np.uint8, (9, 8, 1)), st.integers(1, 200), st.integers(0, 9999))
def test_scaling_does_not_depend_on_gain_and_offset(
    image: np.ndarray, gain: int, offset: int
) -> None:
    other = image.astype(np.uint16) * gain + offset
    np.testing.assert_allclose(
        scale_intensity(other).numpy(), scale_intensity(image).numpy(), atol=1e-3
    )


def test_wrong_shapes_and_percentiles_are_refused() -> None:
    with pytest.raises(CongealError, match="expected an image"):
        scale_intensity(np.zeros((4, 5, 4, 3)))
    with pytest.raises(CongealError, match="99 and 1"):
        scale_intensity(np.zeros((4, 5, 1)), 99, 1)


def test_two_channels_get_a_third_of_zeros() -> None:
    pixels = RNG.integers(0, 255, (20, 30, 2)).astype(np.uint8)
    scaled = scale_intensity(pixels)
    assert scaled.shape == (3, 20, 30)
    assert not scaled[2].any()
    assert scaled[:2].amax((1, 2)).min() > 0.9


def scene(objects: int = 2000) -> np.ndarray:
    image = RNG.normal(400, 60, (128, 128, 1))
    image[32:64, 32:64] += objects
    return image.astype(np.uint16)


def bar(image: np.ndarray) -> None:
    image[:2] = 65535  # 1.6 % of the pixels


def rim(image: np.ndarray) -> None:
    image[[0, -1]] = image[:, [0]] = 65535  # 2.3 %


@pytest.mark.parametrize("spoil", [bar, rim])
def test_what_is_burnt_in_or_saturated_hides_no_objects(spoil: Callable[..., None]) -> None:
    image = scene()
    clean = scale_intensity(image)
    spoil(image)
    spoilt = scale_intensity(image)
    inside = (slice(None), slice(2, -2), slice(2, -2))
    np.testing.assert_allclose(spoilt[inside].numpy(), clean[inside].numpy(), atol=0.06)
    assert spoilt.max() == 1.5


def test_bright_objects_count_for_the_upper_percentile() -> None:
    """Objects of one value, without a bright rest, or of many pixels, are no burnt-in bar."""
    alone = scene(0)
    alone[40:48, 40:48] = 65535
    many = scene()
    many[80:120, 80:120] = 65535
    for image in (alone, many):
        low, high = np.percentile(image, (1, 99.8))
        expected = ((image[..., 0] - low) / (high - low)).clip(0, 1.5)
        np.testing.assert_allclose(scale_intensity(image)[0].numpy(), expected, atol=1e-4)


def test_values_just_below_the_highest_are_no_gap() -> None:
    image = RNG.integers(0, 256, (100, 100, 1)).astype(np.uint8)
    image[:4] = 255
    assert scale_intensity(image).max() <= 1.0


def test_of_more_than_three_channels_each_is_scaled_by_itself() -> None:
    ramp = np.linspace(0, 1, 10_000).reshape(100, 100)
    image = np.stack([ramp * 10 ** (power - 2) for power in range(5)], axis=2)
    scaled = scale_intensity(image)
    assert scaled.shape == (5, 100, 100)
    for plane in scaled[1:]:
        np.testing.assert_allclose(plane.numpy(), scaled[0].numpy(), atol=1e-4)


def test_a_burnt_in_bar_of_several_values_is_left_out_by_other_percentiles() -> None:
    image = scene()
    clean = scale_intensity(image, 1, 98)
    image[:2] = RNG.integers(60000, 65536, (2, 128, 1))
    assert scale_intensity(image)[0, 32:64, 32:64].max() < 0.1
    np.testing.assert_allclose(
        scale_intensity(image, 1, 98)[:, 2:].numpy(), clean[:, 2:].numpy(), atol=0.06
    )
