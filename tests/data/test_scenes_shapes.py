"""Shapes of several classes: each has its outline, and nothing else tells the class."""

from __future__ import annotations

import numpy as np
import pytest

from congeal.data.scenes_shapes import SHAPES, draw_shapes


def single(shape: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A shape on its own, not cut off by the image: its image and its mask."""
    for turn in range(50):
        rng = np.random.default_rng([seed, turn])
        image, labels, classes = draw_shapes(rng, (96, 96), 1, shapes=[shape])
        assert classes.tolist() == [1]
        mask = labels > 0
        if not (mask[[0, -1]].any() or mask[:, [0, -1]].any()):
            return image, mask
    raise AssertionError("every shape was cut off")


def fill(mask: np.ndarray) -> float:
    """Share of the smallest circle around the centre of mass that the mask fills."""
    rows, columns = np.nonzero(mask)
    radius = np.hypot(rows - rows.mean(), columns - columns.mean()).max() + 0.5
    return len(rows) / (np.pi * radius**2)


# Areas of the shapes relative to their circumscribed circles; the star's from its notches.
_STAR = 5 * 0.46 * np.sin(np.pi / 5) / np.pi
EXPECTED = {
    "disc": 1.0,
    "square": 2 / np.pi,
    "triangle": 3 * np.sqrt(3) / (4 * np.pi),
    "star": _STAR,
}


@pytest.mark.parametrize("shape", SHAPES)
def test_each_class_has_its_outline(shape: str) -> None:
    found = [fill(single(shape, seed)[1]) for seed in range(6)]
    assert np.mean(found) == pytest.approx(EXPECTED[shape], rel=0.12)


def test_colours_do_not_tell_the_class() -> None:
    means = {
        shape: np.mean(
            [image[mask].mean(0) for image, mask in (single(shape, s) for s in range(12))], 0
        )
        for shape in SHAPES
    }
    spread = np.std(list(means.values()), axis=0).mean()
    assert spread < 35  # of one image to the next it is about 60


def test_shapes_lie_over_each_other() -> None:
    hidden = 0
    for seed in range(10):
        _, labels, _ = draw_shapes(np.random.default_rng(seed), (96, 96), 8)
        down = (labels[1:] != labels[:-1]) & (labels[1:] > 0) & (labels[:-1] > 0)
        hidden += bool(down.any())
    assert hidden > 7
