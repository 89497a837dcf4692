"""Drawn plants: rosettes of leaves on soil, seen from above."""

from __future__ import annotations

import numpy as np

from congeal.data.canvas import (
    Floats,
    Patch,
    arrange,
    ground,
    paint,
    photograph,
    smooth_noise,
)
from congeal.data.curves import Tube, curve, tube
from congeal.data.sample import LabelMap, Pixels

__all__ = ["draw_rosettes"]

_GOLDEN = np.pi * (3 - np.sqrt(5))  # radians from a leaf to the next one


def draw_rosettes(
    rng: np.random.Generator,
    size: tuple[int, int],
    count: int,
    overlap: float = 0.75,
    least: int = 30,
) -> tuple[Pixels, LabelMap]:
    """Draw a rosette on soil: leaves are textured ellipses on stalks, old ones below young ones.

    Args:
        rng: where everything random comes from.
        size: height and width in pixels.
        count: number of leaves.
        overlap: the largest share of a leaf that others may hide, 0..1.
        least: the fewest pixels that are seen of each.

    Returns:
        Image `(H, W, 3)` uint8 and labels `(H, W)` of what is seen of each leaf with its stalk.

    Example:
        >>> image, labels = draw_rosettes(np.random.default_rng(0), (96, 128), 6)
        >>> image.shape, int(labels.max())
        ((96, 128, 3), 6)
    """
    centre = np.array(size) * rng.uniform(0.46, 0.54, 2)
    reach, start = min(size) * rng.uniform(0.3, 0.46), rng.uniform(0, 2 * np.pi)
    green = np.array([rng.uniform(0.2, 0.4), rng.uniform(0.45, 0.65), rng.uniform(0.1, 0.25)])
    round_ = rng.uniform(0.3, 0.48)

    def draw(number: int, scale: float) -> Patch:
        age = (number + 1) / count
        angle = start + number * _GOLDEN + rng.normal(0, 0.15 + 0.6 * (1 - scale))
        length = reach * (0.22 + 0.78 * age**0.7) * rng.uniform(0.82, 1.1)
        tint = green * rng.uniform(0.75, 1.2) * (1.15 - 0.3 * age) + rng.normal(0, 0.02, 3)
        width = round_ * rng.uniform(0.8, 1.15) * (0.6 + 0.4 * scale)
        return _leaf(rng, _outline(rng, centre, angle, length, width, size), tint)

    patches, labels = arrange(draw, count, size, overlap, least)
    scene = paint(_soil(rng, size), patches, rng.uniform(0.15, 0.45), _fall(rng, size))
    return photograph(rng, scene, (0.4, 0.9), (0.008, 0.03)), labels


def _fall(rng: np.random.Generator, size: tuple[int, int]) -> tuple[int, int]:
    """How far shadows fall, in rows and columns."""
    turn, length = rng.uniform(0, 2 * np.pi), min(size) * rng.uniform(0.004, 0.012)
    return round(length * np.sin(turn)), round(length * np.cos(turn))


def _outline(
    rng: np.random.Generator,
    centre: Floats,
    angle: float,
    length: float,
    width: float,
    size: tuple[int, int],
) -> Tube:
    """A stalk from the centre outwards that widens to a blade, bent a little sideways."""
    middle = centre + length / 2 * np.array([np.sin(angle), np.cos(angle)])
    points = curve((float(middle[0]), float(middle[1])), angle, length, bend=rng.normal(0, 0.25))
    place = np.linspace(0, 1, len(points))
    stalk = max(0.028 * length, 0.9)
    begin = rng.uniform(0.25, 0.45)
    blade = np.clip((place - begin) / (1 - begin), 0, 1) * 2 - 1  # -1 at its base, 1 at the tip
    half = width * (1 - begin) * length * 0.5 * np.sqrt(np.maximum(1 - blade**2, 0))
    return tube(points, np.maximum(half, stalk), size)


def _leaf(rng: np.random.Generator, shape: Tube, tint: Floats) -> Patch:
    """A blade with a light middle rib, side veins, a dent along the rib and blotches."""
    across, along, (rows, columns) = shape.across, shape.along, shape.depth.shape
    rib = np.exp(-((across * 9) ** 2))
    veins = np.cos((along * 9 - np.abs(across) * 1.2) * 2 * np.pi) * (1 - rib)
    blotches = smooth_noise(rng, rows, columns, max(max(rows, columns) // 7, 1))
    tilt = rng.uniform(-0.25, 0.25)
    shade = 0.9 + 0.2 * rib + 0.04 * veins + 0.06 * blotches + tilt * across + 0.15 * along
    shade -= 0.25 * np.clip(np.abs(across) - 0.75, 0, 1)
    colour = np.clip(tint, 0.03, 1) * shade[..., None]
    colour[..., 0] += 0.08 * rib
    return Patch(shape.top, shape.left, shape.depth, np.clip(colour, 0, 1).astype(np.float32))


def _soil(rng: np.random.Generator, size: tuple[int, int]) -> Floats:
    """Brown crumbs with light grains and green specks, which are no leaves."""
    brown = np.array([0.34, 0.26, 0.2]) * rng.uniform(0.6, 1.3)
    soil = ground(rng, size, brown.astype(np.float32), 0.3)
    grains = smooth_noise(rng, *size, max(max(size) // 3, 1))
    soil *= (1 + 0.16 * grains)[..., None]
    soil += (0.25 * np.clip(grains - 2.1, 0, 1))[..., None]
    moss = np.clip(smooth_noise(rng, *size, 12) + smooth_noise(rng, *size, 40) - 2.2, 0, 1)
    soil += (rng.uniform(0, 0.25) * moss)[..., None] * np.array([0.2, 0.6, 0.1], np.float32)
    return np.clip(soil, 0.01, 1).astype(np.float32)
