"""Synthetic images of plants: rosettes of leaves on soil, seen from above."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from congeal.data.canvas import (
    Floats,
    Patch,
    arrange,
    local_grid,
    paint,
    simulate_camera,
    smooth_noise,
    textured_background,
)
from congeal.data.sample import LabelMap, Pixels

__all__ = ["draw_rosettes"]

_GOLDEN_ANGLE = np.pi * (3 - np.sqrt(5))  # radians between successive leaves


def draw_rosettes(
    rng: np.random.Generator,
    size: tuple[int, int],
    count: int,
    overlap: float = 0.75,
    min_area: int = 30,
) -> tuple[Pixels, LabelMap]:
    """Draw a rosette on soil: textured elliptic leaves on stalks, older ones below younger ones.

    Args:
        rng: source of randomness.
        size: height and width in pixels.
        count: number of leaves.
        overlap: largest fraction of a leaf that others may hide, 0..1.
        min_area: minimum number of visible pixels of each.

    Returns:
        Image `(H, W, 3)` uint8 and labels `(H, W)` of the visible parts, stalks included.

    Example:
        >>> image, labels = draw_rosettes(np.random.default_rng(0), (96, 128), 6)
        >>> image.shape, int(labels.max())
        ((96, 128, 3), 6)
    """
    centre = np.array(size) * rng.uniform(0.46, 0.54, 2)
    reach, start = min(size) * rng.uniform(0.3, 0.46), rng.uniform(0, 2 * np.pi)
    green = np.array([rng.uniform(0.2, 0.4), rng.uniform(0.45, 0.65), rng.uniform(0.1, 0.25)])
    plump = rng.uniform(0.3, 0.55)

    def draw(number: int, scale: float) -> Patch:
        age = (number + 1) / count
        angle = start + number * _GOLDEN_ANGLE + rng.normal(0, 0.15 + 0.6 * (1 - scale))
        length = reach * (0.22 + 0.78 * age**0.7) * rng.uniform(0.82, 1.1)
        tint = green * rng.uniform(0.75, 1.2) * (1.15 - 0.3 * age) + rng.normal(0, 0.02, 3)
        width = plump * rng.uniform(0.8, 1.15) * (0.6 + 0.4 * scale)
        return _paint_leaf(rng, _outline(rng, centre, angle, length, width, size), tint)

    patches, labels = arrange(draw, count, size, overlap, min_area)
    scene = paint(_soil(rng, size), patches, rng.uniform(0.15, 0.45), _shadow_offset(rng, size))
    return simulate_camera(rng, scene, (0.4, 0.9), (0.008, 0.03)), labels


def _shadow_offset(rng: np.random.Generator, size: tuple[int, int]) -> tuple[int, int]:
    """Random offset of shadows, in rows and columns."""
    turn, length = rng.uniform(0, 2 * np.pi), min(size) * rng.uniform(0.004, 0.012)
    return round(length * np.sin(turn)), round(length * np.cos(turn))


@dataclass(frozen=True, eq=False)
class _Leaf:
    """Coordinates of the pixels around a leaf: along it 0..1, across -1..1, depth > 0 inside."""

    top: int
    left: int
    depth: Floats
    along: Floats
    across: Floats


def _outline(
    rng: np.random.Generator,
    centre: NDArray[np.float64],
    angle: float,
    length: float,
    width: float,
    size: tuple[int, int],
) -> _Leaf:
    """A stalk from the centre outwards with an elliptic blade at its end, slightly bent."""
    sine, cosine = np.float32(np.sin(angle)), np.float32(np.cos(angle))
    y, x = centre + length / 2 * np.array([sine, cosine])
    top, left, down, right = local_grid(y, x, 0.62 * length + 6, size)
    place = (right * cosine + down * sine) / np.float32(length) + np.float32(0.5)
    bend = np.float32(rng.normal(0, 0.12) * length)
    aside = np.abs(signed := down * cosine - right * sine + bend * (place * place - place))
    begin = rng.uniform(0.2, 0.4)
    half = np.float32((1 - begin) / 2)
    blade = (place - np.float32(1) + half) / half  # -1 at the base of the blade, 1 at its tip
    wide = np.float32(max(0.5 * width * length, 2.0))
    # First-order distance to an ellipse: (1 - r) times its radius in that direction.
    reach = np.sqrt(blade * blade + (aside / wide) ** 2) + np.float32(1e-6)
    ellipse = (1 - reach) * np.hypot(blade * half * length, aside) / reach
    thick = np.float32(max(0.026 * length, 0.9))
    stalk = np.minimum(thick - aside, np.minimum(place, 0.7 - place) * np.float32(length))
    depth = np.maximum(ellipse, stalk).astype(np.float32)
    return _Leaf(top, left, depth, place.astype(np.float32), np.clip(signed / wide, -1, 1))


def _paint_leaf(rng: np.random.Generator, shape: _Leaf, tint: NDArray[np.float64]) -> Patch:
    """Render a blade with a light midrib, side veins, a brightness gradient and blotches."""
    across, along = shape.across, shape.along
    rib = np.exp(-((across * 9) ** 2))
    veins = np.cos((along * 9 - np.abs(across) * 1.2) * np.float32(2 * np.pi)) * (1 - rib)
    blotches = smooth_noise(rng, shape.depth.shape, max(max(shape.depth.shape) // 7, 1))
    tilt = np.float32(rng.uniform(-0.25, 0.25))
    shade = 0.9 + 0.16 * rib + 0.04 * veins + 0.06 * blotches + tilt * across + 0.15 * along
    shade *= 0.85 + 0.15 * np.clip(shape.depth / 3, 0, 1)
    colour = np.clip(tint, 0.03, 1).astype(np.float32) * shade[..., None]
    colour[..., 0] += 0.06 * rib
    return Patch(shape.top, shape.left, shape.depth, np.clip(colour, 0, 1))


def _soil(rng: np.random.Generator, size: tuple[int, int]) -> Floats:
    """Render brown soil with light grains and green specks (moss, not leaves)."""
    brown = np.array([0.34, 0.26, 0.2]) * rng.uniform(0.6, 1.3)
    soil = textured_background(rng, size, brown.astype(np.float32), 0.3)
    grains = smooth_noise(rng, size, max(max(size) // 3, 1))
    soil *= (1 + 0.16 * grains)[..., None]
    soil += (0.25 * np.clip(grains - 2.1, 0, 1))[..., None]
    moss = np.clip(smooth_noise(rng, size, 12) + smooth_noise(rng, size, 40) - 2.2, 0, 1)
    soil += (rng.uniform(0, 0.25) * moss)[..., None] * np.array([0.2, 0.6, 0.1], np.float32)
    return np.clip(soil, 0.01, 1).astype(np.float32)
