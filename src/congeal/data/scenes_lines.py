"""Synthetic images of elongated objects: bacteria, worms, fibres."""

from __future__ import annotations

import numpy as np

from congeal.data.canvas import (
    Floats,
    Patch,
    arrange,
    paint,
    simulate_camera,
    smooth_noise,
    textured_background,
)
from congeal.data.curves import Tube, curve, tube
from congeal.data.sample import LabelMap, Pixels

__all__ = ["draw_fibres", "draw_rods", "draw_worms"]


def draw_rods(
    rng: np.random.Generator,
    size: tuple[int, int],
    count: int,
    overlap: float = 0.4,
    min_area: int = 30,
) -> tuple[Pixels, LabelMap]:
    """Draw bacteria: crossing curved rods, dark on gray or bright on dark, some dividing.

    Args:
        rng: source of randomness.
        size: height and width in pixels.
        count: number of rods.
        overlap: largest fraction of a rod that others may hide, 0..1.
        min_area: minimum number of visible pixels of each.

    Returns:
        Image `(H, W, 1)` uint8 and labels `(H, W)` of the visible parts.

    Example:
        >>> image, labels = draw_rods(np.random.default_rng(0), (96, 128), 5)
        >>> image.shape, int(labels.max())
        ((96, 128, 1), 5)
    """
    bright = rng.random() < 0.4
    base, level = (rng.uniform(0.05, 0.2), rng.uniform(0.4, 0.8)) if bright else (0.55, 0.25)
    thick = rng.uniform(3.2, 4.8)
    longest = 0.45 * min(size)

    def draw(_: int, scale: float) -> Patch:
        length = min(rng.uniform(18, 62), longest) * scale
        points = curve(
            _random_point(rng, size), rng.uniform(0, np.pi), length, bend=rng.normal(0, 0.7)
        )
        radius = np.full(len(points), thick * scale * rng.uniform(0.85, 1.15))
        if rng.random() < 0.3:  # dividing: thinner in the middle
            place = np.linspace(-1, 1, len(points))
            radius *= 1 - rng.uniform(0.15, 0.4) * np.exp(-((place / 0.15) ** 2))
        shape = tube(points, radius, size)
        return _rod(rng, shape, level * rng.uniform(0.75, 1.25), base, bright)

    patches, labels = arrange(draw, count, size, overlap, min_area)
    scene = textured_background(rng, size, np.full(1, base, np.float32), 0.06)
    if not bright:
        _halo(scene, labels, rng.uniform(0.05, 0.25))
    return simulate_camera(rng, paint(scene, patches), (0.6, 1.3)), labels


def _rod(rng: np.random.Generator, shape: Tube, level: float, base: float, bright: bool) -> Patch:
    """A rod with a rim that is darker (bright rods) or lighter (dark rods) than its middle."""
    inner = np.clip(1 - np.abs(shape.across) ** 2, 0, 1)
    spots = 1 + 0.12 * np.sin(shape.along * rng.uniform(6, 25) + rng.uniform(0, 6))
    if bright:
        shade = level * (0.35 + 0.65 * inner) * spots
    else:
        shade = level * spots + (base - level) * 0.7 * (1 - inner)
    return Patch(shape.top, shape.left, shape.depth, shade.astype(np.float32)[..., None])


def _halo(scene: Floats, labels: LabelMap, strength: float) -> None:
    """Add the bright halo of phase contrast around all objects, in place."""
    from scipy.ndimage import gaussian_filter

    near = gaussian_filter((labels > 0).astype(np.float32), 3.5)
    scene += np.float32(strength) * near[..., None]


def _random_point(rng: np.random.Generator, size: tuple[int, int]) -> tuple[float, float]:
    y, x = rng.uniform(0.04, 0.96, 2) * size
    return float(y), float(x)


def draw_worms(
    rng: np.random.Generator,
    size: tuple[int, int],
    count: int,
    overlap: float = 0.35,
    min_area: int = 30,
) -> tuple[Pixels, LabelMap]:
    """Draw long, thin, winding worms that cross, dark on a bright field.

    Args:
        rng: source of randomness.
        size: height and width in pixels.
        count: number of worms.
        overlap: largest fraction of a worm that others may hide, 0..1.
        min_area: minimum number of visible pixels of each.

    Returns:
        Image `(H, W, 1)` uint8 and labels `(H, W)` of the visible parts.

    Example:
        >>> image, labels = draw_worms(np.random.default_rng(0), (96, 128), 3)
        >>> image.shape, int(labels.max())
        ((96, 128, 1), 3)
    """
    base, level = rng.uniform(0.55, 0.8), rng.uniform(0.3, 0.5)
    side = min(size)
    thick = rng.uniform(2.6, 3.8)

    def draw(_: int, scale: float) -> Patch:
        points = curve(
            (rng.uniform(0.15, 0.85) * size[0], rng.uniform(0.15, 0.85) * size[1]),
            rng.uniform(0, 2 * np.pi),
            rng.uniform(0.45, 0.85) * side * scale,
            bend=rng.normal(0, 1.0),
            wave=rng.uniform(0.2, 0.9),
            phase=rng.uniform(0, 2 * np.pi),
            periods=rng.uniform(0.8, 1.8),
        )
        place = np.linspace(-1, 1, len(points))
        radius = thick * scale * rng.uniform(0.85, 1.15) * np.sqrt(1.03 - np.abs(place) ** 3)
        return _worm(rng, tube(points, radius, size), level * rng.uniform(0.85, 1.15), base)

    patches, labels = arrange(draw, count, size, overlap, min_area)
    scene = textured_background(rng, size, np.full(1, base, np.float32), 0.07)
    return simulate_camera(rng, paint(scene, patches, 0.12, (1, 2)), (0.5, 1.1)), labels


def _worm(rng: np.random.Generator, shape: Tube, level: float, base: float) -> Patch:
    """A worm with dark edges, a lighter granular middle and a bright head."""
    inner = np.clip(1 - np.abs(shape.across) ** 2, 0, 1)
    grains = smooth_noise(rng, shape.depth.shape, max(max(shape.depth.shape) // 4, 1))
    head = np.clip(1 - shape.along * 8, 0, 1)
    shade = level + (base - level) * (0.45 * inner + 0.25 * head) + 0.06 * grains * inner
    return Patch(shape.top, shape.left, shape.depth, shade.astype(np.float32)[..., None])


def draw_fibres(
    rng: np.random.Generator,
    size: tuple[int, int],
    count: int,
    overlap: float = 0.5,
    min_area: int = 30,
) -> tuple[Pixels, LabelMap]:
    """Draw many thin, straight, crossing fibres, bright on dark as in electron microscopy.

    Args:
        rng: source of randomness.
        size: height and width in pixels.
        count: number of fibres.
        overlap: largest fraction of a fibre that others may hide, 0..1.
        min_area: minimum number of visible pixels of each.

    Returns:
        Image `(H, W, 1)` uint8 and labels `(H, W)` of the visible parts.

    Example:
        >>> image, labels = draw_fibres(np.random.default_rng(0), (96, 128), 9)
        >>> image.shape, int(labels.max())
        ((96, 128, 1), 9)
    """
    base, level = rng.uniform(0.08, 0.25), rng.uniform(0.5, 0.8)
    side = min(size)
    main, spread = rng.uniform(0, np.pi), rng.uniform(0.4, 3.0)

    def draw(_: int, scale: float) -> Patch:
        length = rng.uniform(0.3, 1.1) * side * scale
        angle = main + rng.normal(0, spread)
        points = curve(_random_point(rng, size), angle, length, bend=rng.normal(0, 0.06))
        shape = tube(points, np.full(len(points), rng.uniform(1.4, 2.6)), size)
        edge = np.clip(np.abs(shape.across), 0, 1) ** 2
        streaks = 1 + 0.08 * np.sin(shape.along * rng.uniform(20, 60))
        shade = level * rng.uniform(0.7, 1.2) * (0.7 + 0.3 * edge) * streaks
        return Patch(shape.top, shape.left, shape.depth, shade.astype(np.float32)[..., None])

    patches, labels = arrange(draw, count, size, overlap, min_area)
    scene = textured_background(rng, size, np.full(1, base, np.float32), 0.2)
    return simulate_camera(rng, paint(scene, patches, 0.35, (1, 1)), (0.4, 0.9)), labels
