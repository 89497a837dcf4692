"""Rods, worms and fibres: long, crossing, and not told apart by connectedness."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.ndimage import label
from skimage.measure import regionprops

from congeal.data.scenes_lines import draw_fibres, draw_rods, draw_worms

DRAW = {"rods": draw_rods, "worms": draw_worms, "fibres": draw_fibres}


@pytest.mark.parametrize("draw", DRAW.values(), ids=DRAW)
def test_objects_are_long_and_thin(draw: Callable) -> None:
    _, labels = draw(np.random.default_rng(0), (192, 192), 6, overlap=0.1)
    thin = [part.area / part.perimeter < 3.2 for part in regionprops(labels)]
    assert np.mean(thin) > 0.7


@pytest.mark.parametrize("draw", DRAW.values(), ids=DRAW)
def test_crossing_objects_are_fewer_pieces_than_objects(draw: Callable) -> None:
    objects = pieces = 0
    for seed in range(4):
        _, labels = draw(np.random.default_rng(seed), (128, 128), 14)
        objects += int(labels.max())
        pieces += label(labels > 0)[1]
    assert pieces < 0.7 * objects


@pytest.mark.parametrize("draw", DRAW.values(), ids=DRAW)
def test_objects_differ_from_the_ground(draw: Callable) -> None:
    gaps = []
    for seed in range(6):
        image, labels = draw(np.random.default_rng(seed), (128, 128), 8)
        gray = image[..., 0].astype(float)
        gaps.append(abs(np.median(gray[labels > 0]) - np.median(gray[labels == 0])))
    assert np.median(gaps) > 20


def test_rods_are_dark_in_some_images_and_bright_in_others() -> None:
    signs = set()
    for seed in range(12):
        image, labels = draw_rods(np.random.default_rng(seed), (128, 128), 8)
        signs.add(np.sign(image[labels > 0].mean() - image[labels == 0].mean()))
    assert signs == {-1, 1}


def test_fibres_are_straight() -> None:
    _, labels = draw_fibres(np.random.default_rng(1), (192, 192), 5, overlap=0.05)
    for part in regionprops(labels):
        rows, columns = part.coords.T
        assert np.linalg.svd(np.stack([rows, columns]) - part.coords.mean(0)[:, None])[1][1] < (
            3.2 * np.sqrt(part.area)
        )
