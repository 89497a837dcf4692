"""Synthetic images of overlapping shapes in several classes: disc, square, triangle, star."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

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

__all__ = ["SHAPES", "draw_shapes"]

_MIN_RADIUS = 4.8  # pixels at which the shapes are still distinguishable
_STAR_INNER = 0.46  # radius of a star's notches, relative to its points


def _disc(down: Floats, right: Floats, radius: float) -> Floats:
    depth: Floats = (0.88 * radius - np.hypot(down, right)).astype(np.float32)
    return depth


def _square(down: Floats, right: Floats, radius: float) -> Floats:
    depth: Floats = (0.78 * radius - np.maximum(np.abs(down), np.abs(right))).astype(np.float32)
    return depth


def _triangle(down: Floats, right: Floats, radius: float) -> Floats:
    angles = 2 * np.pi / 3 * np.arange(3)
    sides = [np.float32(np.sin(a)) * down + np.float32(np.cos(a)) * right for a in angles]
    depth: Floats = 0.56 * radius - np.maximum.reduce(sides)
    return depth


def _star(down: Floats, right: Floats, radius: float) -> Floats:
    """Signed distance to the edge between a point and a notch; by symmetry in one tenth only."""
    distance, tenth = np.hypot(down, right), np.pi / 5
    turn = np.abs((np.arctan2(down, right) + tenth) % (2 * tenth) - tenth)
    tip = 1.12 * radius
    # The edge runs from (tip, 0) to the notch, both relative to the centre.
    notch = np.array([np.sin(tenth), np.cos(tenth)]) * _STAR_INNER * tip
    dy, dx = notch[0], notch[1] - tip
    length = np.hypot(dy, dx)
    y, x = distance * np.sin(turn), distance * np.cos(turn)
    depth: Floats = (((x - tip) * -dy + y * dx) / length).astype(np.float32)
    return depth


_OUTLINES: dict[str, Callable[[Floats, Floats, float], Floats]] = {
    "disc": _disc,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
}
SHAPES = tuple(_OUTLINES)


def draw_shapes(
    rng: np.random.Generator,
    size: tuple[int, int],
    count: int,
    overlap: float = 0.6,
    min_area: int = 30,
    shapes: Sequence[str] = SHAPES,
) -> tuple[Pixels, LabelMap, LabelMap]:
    """Draw overlapping shapes of several classes; colour and size are independent of the class.

    Args:
        rng: source of randomness.
        size: height and width in pixels.
        count: number of shapes; more than 8 on 96 x 96 pixels are drawn smaller.
        overlap: largest fraction of a shape that others may hide, 0..1.
        min_area: minimum number of visible pixels of each.
        shapes: classes 1, 2, ..., a subset of `SHAPES`.

    Returns:
        Image `(H, W, 3)` uint8, labels `(H, W)` of the visible parts, and classes `(K,)`.

    Example:
        >>> image, labels, classes = draw_shapes(np.random.default_rng(0), (96, 96), 5)
        >>> image.shape, int(labels.max()), classes.shape
        ((96, 96, 3), 5, (5,))
    """
    base, tints = _colours(rng)
    size_factor = min(1.0, float(np.sqrt(8 * size[0] * size[1] / (count * 96 * 96))))

    def draw(_: int, scale: float) -> Patch:
        kind = int(rng.integers(len(shapes)))
        radius = max(min(rng.uniform(10, 19) * size_factor, 0.3 * min(size)) * scale, _MIN_RADIUS)
        tint = tints[rng.integers(len(tints))] + rng.normal(0, 0.05, 3)
        return _shape(rng, size, radius, _OUTLINES[shapes[kind]], tint, kind + 1)

    patches, labels = arrange(draw, count, size, overlap, min_area)
    scene = textured_background(rng, size, base, 0.16)
    offset = (int(rng.integers(-3, 4)), int(rng.integers(-3, 4)))
    scene = paint(scene, patches, rng.uniform(0.1, 0.45), offset)
    classes = np.array([patch.class_id for patch in patches], np.int64)
    return simulate_camera(rng, scene, (0.4, 0.9), (0.015, 0.05)), labels, classes


def _colours(rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Background colour, and four distinct foreground colours shared by all classes."""
    base = rng.uniform(0.2, 0.8) + rng.normal(0, 0.1, 3).clip(-0.18, 0.18)
    tints: list[Floats] = []
    while len(tints) < 4:
        tint = rng.uniform(0.1, 0.95, 3)
        if np.abs(tint - base).mean() > 0.2:
            tints.append(tint.astype(np.float32))
    return base.astype(np.float32), np.stack(tints)


def _shape(
    rng: np.random.Generator,
    size: tuple[int, int],
    radius: float,
    outline: Callable[[Floats, Floats, float], Floats],
    tint: Floats,
    class_id: int,
) -> Patch:
    """A rotated shape with a brightness gradient, texture and a slightly darker rim."""
    y, x = rng.uniform(0.1, 0.9, 2) * size
    top, left, down, right = local_grid(y, x, 1.2 * radius + 4, size)
    turn, light = rng.uniform(0, 2 * np.pi, 2)
    sine, cosine = np.float32(np.sin(turn)), np.float32(np.cos(turn))
    depth = outline(down * cosine - right * sine, right * cosine + down * sine, radius)
    slope = (down * np.sin(light) + right * np.cos(light)) / radius
    texture = smooth_noise(rng, depth.shape, max(int(radius / 2), 1))
    shade = 1 + rng.uniform(0.05, 0.2) * slope + rng.uniform(0.02, 0.12) * texture
    shade *= 0.85 + 0.15 * np.clip(depth / 3, 0, 1)
    colour = np.clip(tint, 0.03, 1) * shade[..., None]
    return Patch(top, left, depth, np.clip(colour, 0, 1).astype(np.float32), class_id)
