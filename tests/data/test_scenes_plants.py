"""Rosettes: green leaves around a centre, on ground that is not green."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import label

from congeal.data.scenes_plants import draw_rosettes


def test_leaves_meet_in_the_middle_and_are_one_plant() -> None:
    for seed in range(4):
        _, labels = draw_rosettes(np.random.default_rng(seed), (160, 160), 12)
        assert labels.max() == 12
        pieces, count = label(labels > 0, np.ones((3, 3)))
        assert np.bincount(pieces.ravel())[1:].max() > 0.95 * (labels > 0).sum()
        assert count < 4
        centre = np.array([at.mean() for at in np.nonzero(labels)])
        assert np.abs(centre - 80).max() < 20


def test_leaves_are_green_and_soil_is_not() -> None:
    for seed in range(4):
        image, labels = draw_rosettes(np.random.default_rng(seed), (160, 160), 12)
        red, green, blue = np.moveaxis(image.astype(float), -1, 0)
        excess = 2 * green - red - blue
        assert np.median(excess[labels > 0]) > 25
        assert np.median(excess[labels == 0]) < 10


def test_young_leaves_lie_on_old_ones_and_are_smaller() -> None:
    order = []
    for seed in range(6):
        _, labels = draw_rosettes(np.random.default_rng(seed), (192, 192), 15, overlap=0.4)
        reach = [
            np.hypot(*(np.argwhere(labels == k) - 96).T).max() for k in range(1, labels.max() + 1)
        ]
        order.append(np.corrcoef(np.arange(len(reach)), reach)[0, 1])
    assert np.mean(order) < -0.5
