"""Synthetic images of round objects: rings, touching cells, dense specks."""

from __future__ import annotations

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

__all__ = ["draw_cells", "draw_rings", "draw_specks"]


def draw_rings(
    rng: np.random.Generator,
    size: tuple[int, int],
    count: int,
    overlap: float = 0.5,
    min_area: int = 30,
) -> tuple[Pixels, LabelMap]:
    """Draw overlapping ring-shaped cells; the hole is not part of the object.

    Args:
        rng: source of randomness.
        size: height and width in pixels.
        count: number of rings.
        overlap: largest fraction of a ring that others may hide, 0..1.
        min_area: minimum number of visible pixels of each.

    Returns:
        Image `(H, W, 1)` uint8 and labels `(H, W)` of the visible parts.

    Example:
        >>> image, labels = draw_rings(np.random.default_rng(0), (96, 128), 4)
        >>> image.shape, int(labels.max())
        ((96, 128, 1), 4)
    """
    base = rng.uniform(0.1, 0.75)
    level = base + rng.uniform(0.22, 0.5) * (1 if base < 0.4 else -1)

    def draw(_: int, scale: float) -> Patch:
        radius = min(rng.uniform(13, 27), 0.22 * min(size)) * scale
        return _ring(rng, size, radius, max(level * rng.uniform(0.8, 1.2), 0.04))

    patches, labels = arrange(draw, count, size, overlap, min_area)
    scene = textured_background(rng, size, np.full(1, base, np.float32), 0.08)
    return simulate_camera(rng, paint(scene, patches, 0.1, (1, 1)), (0.6, 1.3)), labels


def _ring(rng: np.random.Generator, size: tuple[int, int], radius: float, level: float) -> Patch:
    """A ring with an irregular outline, thicker on one side, brightest inside its wall."""
    y, x = rng.uniform(0.08, 0.92, 2) * size
    top, left, down, right = local_grid(y, x, 1.35 * radius + 4, size)
    angle = np.arctan2(down, right)
    phase, swing = rng.uniform(0, 2 * np.pi, 3), rng.uniform(0.02, 0.1, 2)
    wobble = 1 + swing[0] * np.cos(2 * angle + phase[0]) + swing[1] * np.cos(3 * angle + phase[1])
    half = radius * rng.uniform(0.13, 0.2) * (1 + 0.25 * np.cos(angle + phase[2])) + 0.8
    depth = half - np.abs(np.hypot(down, right) - 0.85 * radius * wobble)
    wall = np.clip(depth / half, 0, 1)
    shade = level * (0.7 + 0.3 * wall) * (1 + 0.15 * np.cos(angle + phase[1]))
    shade *= 1 + 0.06 * smooth_noise(rng, depth.shape, 8)
    colour = np.clip(shade, 0, 1)[..., None]
    return Patch(top, left, depth.astype(np.float32), colour.astype(np.float32))


def draw_specks(
    rng: np.random.Generator,
    size: tuple[int, int],
    count: int,
    overlap: float = 0.25,
    min_area: int = 6,
) -> tuple[Pixels, LabelMap]:
    """Draw dense specks of radius 2 to 5 pixels, brighter or darker than the background.

    Args:
        rng: source of randomness.
        size: height and width in pixels.
        count: number of specks.
        overlap: largest fraction of a speck that others may hide, 0..1.
        min_area: minimum number of visible pixels of each.

    Returns:
        Image `(H, W, 1)` uint8 and labels `(H, W)` of the visible parts.

    Example:
        >>> image, labels = draw_specks(np.random.default_rng(0), (96, 128), 60)
        >>> image.shape, int(labels.max())
        ((96, 128, 1), 60)
    """
    base = rng.uniform(0.06, 0.8)
    level = base + rng.uniform(0.25, 0.55) * (1 if base < 0.45 else -1)
    clumps = [rng.uniform(0, 1, 2) * size for _ in range(max(count // 40, 1))]

    def draw(_: int, __: float) -> Patch:
        y, x = rng.uniform(0, 1, 2) * size
        if rng.random() < 0.35:
            y, x = clumps[rng.integers(len(clumps))] + rng.normal(0, 0.07, 2) * size
        centre = float(np.clip(y, 1, size[0] - 2)), float(np.clip(x, 1, size[1] - 2))
        return _speck(rng, size, centre, base + (level - base) * rng.uniform(0.45, 1.15))

    patches, labels = arrange(draw, count, size, overlap, min_area)
    scene = textured_background(rng, size, np.full(1, base, np.float32), 0.12)
    return simulate_camera(rng, paint(scene, patches), (0.4, 0.8)), labels


def _speck(
    rng: np.random.Generator, size: tuple[int, int], centre: tuple[float, float], level: float
) -> Patch:
    radius, squeeze, angle = rng.uniform(2, 5), rng.uniform(0.8, 1), rng.uniform(0, np.pi)
    top, left, down, right = local_grid(*centre, radius + 3, size)
    across = down * np.float32(np.cos(angle)) - right * np.float32(np.sin(angle))
    along = right * np.float32(np.cos(angle)) + down * np.float32(np.sin(angle))
    distance = np.hypot(across / np.float32(squeeze), along)
    shade = level * (1.05 - 0.25 * np.clip(distance / radius, 0, 1.2) ** 2)
    depth = (radius - distance).astype(np.float32)
    return Patch(top, left, depth, np.clip(shade, 0.02, 1).astype(np.float32)[..., None])


def draw_cells(
    rng: np.random.Generator,
    size: tuple[int, int],
    count: int,
    overlap: float = 0.5,
    min_area: int = 30,
) -> tuple[Pixels, LabelMap]:
    """Draw tissue of touching cells of uneven brightness, with some gaps.

    The cells are those of a Voronoi diagram whose edges are distorted by smooth noise.

    Args:
        rng: source of randomness.
        size: height and width in pixels.
        count: number of cells.
        overlap: irregularity of the cell centres, 0 (evenly spaced) to 1 (random).
        min_area: minimum area of a cell in pixels.

    Returns:
        Image `(H, W, 1)` uint8 and labels `(H, W)`.

    Example:
        >>> image, labels = draw_cells(np.random.default_rng(0), (96, 128), 20)
        >>> image.shape, int(labels.max())
        ((96, 128, 1), 20)
    """
    spacing = float(np.sqrt(size[0] * size[1] * rng.uniform(0.55, 0.95) / count))
    seeds = _seeds(rng, size, count, (1 - 0.6 * overlap) * spacing)
    gap = max(float(rng.uniform(-0.05, 0.05)), 0.0) * spacing  # cells touch in half of the images
    labels, depth, distance = _voronoi(rng, size, seeds, spacing, gap)
    labels = _remove_small(labels, min_area)
    return _render_cells(rng, labels, depth, distance / spacing), labels


def _seeds(
    rng: np.random.Generator, size: tuple[int, int], count: int, apart: float
) -> NDArray[np.float64]:
    """Points `(count, 2)` about ``apart`` pixels apart (best of ten), denser in places."""
    dense = smooth_noise(rng, size, 3)
    seeds = np.empty((0, 2))
    for _ in range(count):
        candidates = rng.uniform(0.01, 0.99, (10, 2)) * size
        gap = np.full(len(candidates), np.inf)
        if len(seeds):
            gap = np.hypot(*(candidates[:, None] - seeds[None]).transpose(2, 0, 1)).min(axis=1)
        pixels = candidates.astype(np.int64)
        score = np.minimum(gap / apart, 1.2) + 0.08 * dense[pixels[:, 0], pixels[:, 1]]
        seeds = np.concatenate([seeds, candidates[[int(np.argmax(score))]]])
    return seeds


def _voronoi(
    rng: np.random.Generator,
    size: tuple[int, int],
    seeds: NDArray[np.float64],
    spacing: float,
    gap: float,
) -> tuple[LabelMap, Floats, Floats]:
    """Assign each pixel to the nearest seed within a maximum radius, with gaps between cells.

    Returns:
        Labels, signed distance to the outline, and distance from the seed, all `(H, W)`.
    """
    # The distortion is small enough that every cell stays connected.
    max_radius, bend = 0.78 * spacing, 0.06 * spacing
    cells = max(int(2 * max(size) / spacing), 1)
    warp = [bend * smooth_noise(rng, size, cells) for _ in range(2)]
    nearest = np.full((2, *size), 2 * max_radius, np.float32)
    labels = np.zeros(size, np.int64)
    for k, (y, x) in enumerate(seeds, 1):
        top, left, down, right = local_grid(y, x, 1.5 * max_radius, size)
        box = slice(top, top + len(down)), slice(left, left + right.shape[1])
        distance = np.hypot(down + warp[0][box], right + warp[1][box])
        first, second = nearest[0][box], nearest[1][box]
        np.minimum(second, np.maximum(first, distance), out=second)
        labels[box][distance < first] = k
        np.minimum(first, distance, out=first)
    depth = np.minimum((nearest[1] - nearest[0]) / 2 - np.float32(gap), max_radius - nearest[0])
    labels[depth <= 0] = 0
    return labels, depth, nearest[0]


def _remove_small(labels: LabelMap, min_area: int) -> LabelMap:
    """Remove cells under ``min_area`` pixels and renumber the others."""
    areas = np.bincount(labels.ravel())
    kept = areas >= min_area
    kept[0] = False
    numbers: LabelMap = np.where(kept, np.cumsum(kept), 0)
    return numbers[labels]


def _render_cells(
    rng: np.random.Generator, labels: LabelMap, depth: Floats, distance: Floats
) -> Pixels:
    """Render cells of varying brightness, with texture and often a nucleus."""
    size = labels.shape
    count = int(labels.max())
    base = rng.uniform(0.03, 0.15)
    levels = np.concatenate([[0], base + 0.08 + rng.uniform(0.2, 0.75) * rng.random(count) ** 1.3])
    nuclei = np.concatenate([[0], rng.uniform(-0.4, 0.7) * rng.uniform(0.3, 1, count)])
    inside = levels[labels] * (1 + nuclei[labels] * np.exp(-((distance / 0.2) ** 2)))
    inside *= 1 + 0.16 * smooth_noise(rng, size, 9) + 0.12 * smooth_noise(rng, size, max(size) // 4)
    inside *= 1 - rng.uniform(0.1, 0.6) * np.exp(-np.maximum(depth, 0) / 1.5)
    scene = textured_background(rng, (size[0], size[1]), np.full(1, base, np.float32), 0.3)
    cover = (np.clip(depth + 0.5, 0, 1) * (labels > 0))[..., None]
    scene += cover * (inside[..., None] - scene)
    return simulate_camera(rng, scene.astype(np.float32), (0.6, 1.4), (0.015, 0.05))
