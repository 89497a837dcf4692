"""Handwritten digits of scikit-learn, enlarged, turned, and laid over each other."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from congeal.data.sample import LabelMap, Pixels
from congeal.data.scenes import MIN_VISIBLE
from congeal.errors import unknown

__all__ = ["draw_digits"]

_INK = 0.4
# Which tenths of the 1,797 digits a split draws from: no digit is seen in two splits.
_TENTHS = {"train": range(7), "val": range(7, 8), "test": range(8, 10)}

Floats = NDArray[np.float32]


def draw_digits(
    rng: np.random.Generator, height: int, width: int, split: str = "train"
) -> tuple[Pixels, LabelMap]:
    """Place 4 to 9 digits, 22 to 36 pixels high, later ones over earlier ones, bright on dark.

    Returns:
        Image `(H, W, 1)` uint8 and labels `(H, W)` of the ink that is seen of each digit.

    Raises:
        CongealError: the split is not train, val or test.

    Example:
        >>> image, labels = draw_digits(np.random.default_rng(0), 96, 96)
        >>> image.shape, int(labels.max()) > 2
        ((96, 96, 1), True)
    """
    glyphs = _glyphs(split)
    ink = np.stack([_place(rng, glyphs, height, width) for _ in range(int(rng.integers(4, 10)))])
    ink = ink[_is_visible(ink)]
    scene = np.full((height, width), rng.uniform(0, 0.25), np.float32)
    for layer in ink:
        tone = rng.uniform(0.6, 1)
        cover = np.clip((layer - _INK) * 4 + 0.5, 0, 1)
        scene += cover * (tone * (0.55 + 0.45 * layer) - scene)
    scene += rng.normal(0, rng.uniform(0.01, 0.05), scene.shape)
    image = (np.clip(scene, 0, 1) * 255 + 0.5).astype(np.uint8)
    return image[..., None], _topmost(ink)


@cache
def _glyphs(split: str) -> Floats:
    """The digits of one split as `(N, 10, 10)`, 0..1, with an empty border."""
    from sklearn.datasets import load_digits

    if split not in _TENTHS:
        raise unknown("split", split, _TENTHS)
    every = load_digits().images.astype(np.float32) / 16
    chosen = every[np.isin(np.arange(len(every)) % 10, _TENTHS[split])]
    return np.pad(chosen, ((0, 0), (1, 1), (1, 1)))


def _place(rng: np.random.Generator, glyphs: Floats, height: int, width: int) -> Floats:
    """One digit at a random place, size and angle on the whole canvas."""
    glyph = glyphs[rng.integers(len(glyphs))]
    scale = 8 / rng.uniform(22, 36)
    angle = rng.normal(0, 0.25)
    down = np.arange(height)[:, None] - rng.uniform(0.15, 0.85) * height
    right = np.arange(width)[None, :] - rng.uniform(0.15, 0.85) * width
    row = scale * (down * np.cos(angle) - right * np.sin(angle)) + 4.5
    column = scale * (right * np.cos(angle) + down * np.sin(angle)) + 4.5
    ink: Floats = map_coordinates(glyph, [row, column], order=1, output=np.float32)
    return ink


def _topmost(ink: Floats) -> LabelMap:
    order = np.arange(1, len(ink) + 1, dtype=np.int64)[:, None, None]
    top: LabelMap = ((ink > _INK) * order).max(axis=0, initial=0)
    return top


def _is_visible(ink: Floats) -> NDArray[np.bool_]:
    seen: NDArray[np.int64] = np.bincount(_topmost(ink).ravel(), minlength=len(ink) + 1)[1:]
    return seen >= MIN_VISIBLE
