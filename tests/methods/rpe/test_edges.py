"""Edge non-maximum suppression keeps ridges, thin and in place."""

import numpy as np
import pytest
from skimage.morphology import thin

from congeal.errors import CongealError
from congeal.methods.rpe.edges import suppress_non_maxima


def ridge(angle, side=61, width=2.0):
    """A soft straight boundary through the middle, and the distance of each pixel from it."""
    y, x = np.mgrid[:side, :side] - side // 2
    away = np.abs(x * np.sin(angle) - y * np.cos(angle))
    return np.exp(-((away / width) ** 2)), away


@pytest.mark.parametrize("degrees", range(0, 180, 15))
def test_a_straight_ridge_becomes_a_line_a_pixel_thin_in_place(degrees):
    strength, away = ridge(np.deg2rad(degrees))
    kept = suppress_non_maxima(strength)
    line = kept > 1e-3  # farther out there is nothing but rounding
    assert away[line].max() <= 0.75
    assert line.sum() >= 0.9 * 61  # a pixel in nearly every row or column
    assert np.array_equal(kept[line], strength[line])
    assert line.sum() <= 1.3 * thin(line).sum()


def test_a_circle_keeps_its_radius_and_its_strength():
    y, x = np.mgrid[:80, :80] - 40.0
    radius = np.hypot(y, x)
    strength = 0.7 * np.exp(-(((radius - 25) / 3) ** 2))
    kept = suppress_non_maxima(strength)
    line = kept > 0.35
    assert abs(radius[line] - 25).max() < 1
    assert kept[line].min() > 0.6
    around = np.arctan2(y[line], x[line])
    assert np.unique((around / np.deg2rad(5)).round()).size >= 72


def test_of_two_ridges_a_few_pixels_apart_both_stay():
    columns = np.arange(40.0)
    strength = sum(np.exp(-(((columns - at) / 1.2) ** 2)) for at in (15, 21)) * np.ones((20, 1))
    kept = suppress_non_maxima(strength, sigma=1.0)
    assert np.flatnonzero(kept[10] > 0.5).tolist() == [15, 21]


def test_a_plateau_is_thinned_and_a_flat_map_is_cleared():
    plateau = np.zeros((20, 20))
    plateau[:, 9:11] = 0.6
    assert (suppress_non_maxima(plateau) > 0).sum(1).max() == 1
    assert not suppress_non_maxima(np.full((20, 20), 0.3)).any()


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (0, 4)])
def test_small_maps_keep_their_shape(shape):
    assert suppress_non_maxima(np.ones(shape)).shape == shape


def test_what_does_not_fit_is_told():
    with pytest.raises(CongealError, match=r"boundary map \(H, W\), got shape"):
        suppress_non_maxima(np.zeros(3))
    with pytest.raises(CongealError, match="finite boundary map"):
        suppress_non_maxima(np.full((3, 3), np.nan))
