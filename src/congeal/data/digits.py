"""Synthetic images of overlapping handwritten digits (the digits of scikit-learn)."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from congeal.data.canvas import place_top_down
from congeal.data.sample import LabelMap, Mask, Pixels
from congeal.data.scenes import MIN_VISIBLE
from congeal.errors import unknown

__all__ = ["draw_digits"]

_INK_THRESHOLD = 0.4
# The 1,797 digits, by index modulo 10, that each split uses: no digit is in two splits.
_TENTHS = {"train": range(7), "val": range(7, 8), "test": range(8, 10)}

Floats = NDArray[np.float32]


def draw_digits(
    rng: np.random.Generator,
    height: int,
    width: int,
    split: str = "train",
    count: int | None = None,
    overlap: float = 1.0,
) -> tuple[Pixels, LabelMap]:
    """Draw overlapping digits, 22 to 36 pixels high, bright on dark, later ones on top.

    Args:
        rng: source of randomness.
        height: height of the image in pixels.
        width: width of the image in pixels.
        split: whose digits are drawn; no digit of scikit-learn is in two splits.
        count: number of digits (more than 9 are drawn smaller); None: 4 to 9, of which hidden ones
            are removed.
        overlap: largest fraction of a digit that others may hide, 0..1.

    Returns:
        Image `(H, W, 1)` uint8 and labels `(H, W)` of the visible ink of each digit.

    Raises:
        CongealError: the split is not train, val or test.

    Example:
        >>> image, labels = draw_digits(np.random.default_rng(0), 96, 96)
        >>> image.shape, int(labels.max()) > 2
        ((96, 96, 1), True)
    """
    glyphs = _glyphs(split)
    number = int(rng.integers(4, 10)) if count is None else count
    if count is None and overlap == 1:
        ink = np.stack([_place(rng, glyphs, height, width) for _ in range(number)])
        ink = ink[_is_visible(ink)]
    else:
        ink = _arrange(rng, glyphs, (height, width), number, overlap)
    scene = np.full((height, width), rng.uniform(0, 0.25), np.float32)
    for layer in ink:
        brightness = rng.uniform(0.6, 1)
        cover = np.clip((layer - _INK_THRESHOLD) * 4 + 0.5, 0, 1)
        scene += cover * (brightness * (0.55 + 0.45 * layer) - scene)
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


def _arrange(
    rng: np.random.Generator, glyphs: Floats, size: tuple[int, int], count: int, overlap: float
) -> Floats:
    """Place digits so that each stays visible enough."""
    size_factor = min(1.0, 9 * size[0] * size[1] / (count * 112 * 112)) ** 0.5

    def draw(_: int, scale: float) -> Floats:
        return _place(rng, glyphs, *size, scale * size_factor)

    def locate(ink: Floats) -> tuple[tuple[slice, slice], Mask]:
        return (slice(None), slice(None)), ink > _INK_THRESHOLD

    return np.stack(place_top_down(draw, locate, count, size, overlap, MIN_VISIBLE)[0])


def _place(
    rng: np.random.Generator, glyphs: Floats, height: int, width: int, size: float = 1.0
) -> Floats:
    """Render one digit at random position, size and angle, `(H, W)`."""
    glyph = glyphs[rng.integers(len(glyphs))]
    scale = 8 / (rng.uniform(22, 36) * size)
    angle = rng.normal(0, 0.25)
    down = np.arange(height)[:, None] - rng.uniform(0.15, 0.85) * height
    right = np.arange(width)[None, :] - rng.uniform(0.15, 0.85) * width
    row = scale * (down * np.cos(angle) - right * np.sin(angle)) + 4.5
    column = scale * (right * np.cos(angle) + down * np.sin(angle)) + 4.5
    ink: Floats = map_coordinates(glyph, [row, column], order=1, output=np.float32)
    return ink


def _topmost(ink: Floats) -> LabelMap:
    order = np.arange(1, len(ink) + 1, dtype=np.int64)[:, None, None]
    top: LabelMap = ((ink > _INK_THRESHOLD) * order).max(axis=0, initial=0)
    return top


def _is_visible(ink: Floats) -> NDArray[np.bool_]:
    visible: NDArray[np.int64] = np.bincount(_topmost(ink).ravel(), minlength=len(ink) + 1)[1:]
    return visible >= MIN_VISIBLE
