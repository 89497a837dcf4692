"""Rings have holes, cells touch, specks are small."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import label
from skimage.measure import euler_number, regionprops

from congeal.data.scenes_cells import draw_cells, draw_rings, draw_specks


def test_rings_have_a_hole_that_is_not_theirs() -> None:
    holes = []
    for seed in range(5):
        _, labels = draw_rings(np.random.default_rng(seed), (192, 192), 4, overlap=0.0)
        inner = labels[8:-8, 8:-8]
        whole = [k for k in range(1, 5) if (inner == k).sum() == (labels == k).sum()]
        holes += [euler_number(labels == k) for k in whole]
    assert len(holes) > 8
    assert np.mean(np.array(holes) == 0) > 0.9


def test_cells_stay_in_one_piece() -> None:
    for seed in range(3):
        _, labels = draw_cells(np.random.default_rng(seed), (160, 160), 40)
        assert labels.max() == 40
        for k in range(1, 41):
            assert label(labels == k, np.ones((3, 3)))[1] == 1


def test_cells_touch_in_about_half_of_the_images() -> None:
    touching = 0
    for seed in range(12):
        _, labels = draw_cells(np.random.default_rng(seed), (160, 160), 40)
        touching += label(labels > 0)[1] < 10
    assert 3 <= touching <= 9


def test_cells_are_unevenly_bright() -> None:
    ratios = []
    for seed in range(6):
        image, labels = draw_cells(np.random.default_rng(seed), (160, 160), 40)
        means = [part.mean_intensity for part in regionprops(labels, image[..., 0])]
        ratios.append(np.percentile(means, 95) / max(np.percentile(means, 5), 1))
    assert np.median(ratios) > 1.7


def test_some_ground_shows_between_cells() -> None:
    shares = [
        (draw_cells(np.random.default_rng(seed), (128, 128), 30)[1] == 0).mean()
        for seed in range(6)
    ]
    assert 0.02 < min(shares) < max(shares) < 0.6


def test_specks_are_two_to_five_pixels_in_radius() -> None:
    _, labels = draw_specks(np.random.default_rng(0), (256, 256), 300, overlap=0.0)
    assert labels.max() == 300
    inner = labels[8:-8, 8:-8]
    areas = np.bincount(inner.ravel())[1:]
    assert np.percentile(areas[areas > 0], 99) <= np.pi * 5.3**2
    assert np.median(areas[areas > 0]) > np.pi * 2**2
