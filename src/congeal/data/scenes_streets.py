"""Synthetic street scenes with the label ids of Cityscapes."""

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
)
from congeal.data.sample import LabelMap, Pixels

__all__ = ["draw_street"]

# Label id of each class in Cityscapes' files, and its colour.
_STUFF = {
    "sky": (23, (0.6, 0.7, 0.85)),
    "building": (11, (0.5, 0.42, 0.38)),
    "vegetation": (21, (0.22, 0.38, 0.16)),
    "sidewalk": (8, (0.55, 0.52, 0.52)),
    "parking": (9, (0.45, 0.45, 0.5)),
    "road": (7, (0.32, 0.32, 0.34)),
    "pole": (17, (0.25, 0.25, 0.27)),
    "ego vehicle": (1, (0.12, 0.12, 0.15)),
}
# Label id, and height and width relative to the scale at its distance.
_THINGS = ((24, 0.36, 0.13), (26, 0.24, 0.44), (27, 0.42, 0.5), (28, 0.46, 0.62), (33, 0.2, 0.3))
_CHANCES = (0.35, 0.4, 0.07, 0.06, 0.12)


def draw_street(
    rng: np.random.Generator, size: tuple[int, int], count: int, min_area: int = 20
) -> tuple[Pixels, LabelMap]:
    """Draw a street scene: sky, buildings, vegetation, road, persons, vehicles and bicycles.

    Args:
        rng: source of randomness.
        size: height and width in pixels.
        count: number of objects.
        min_area: minimum number of visible pixels of each.

    Returns:
        Image `(H, W, 3)` uint8 and ids `(H, W)` as in Cityscapes' ``instanceIds.png``: 1000 *
        label id + k for object k (from 0) of a class, the label id elsewhere.

    Example:
        >>> image, ids = draw_street(np.random.default_rng(0), (64, 128), 5)
        >>> image.shape, int((np.unique(ids) >= 24000).sum())
        ((64, 128, 3), 5)
    """
    horizon = size[0] * rng.uniform(0.36, 0.48)
    stuff, scene = _background(rng, size, horizon)
    near = np.sort(rng.uniform(0.12, 1, count))[::-1]  # the nearest object is on top

    def draw(number: int, scale: float) -> Patch:
        kind = int(rng.choice(len(_THINGS), p=_CHANCES))
        return _draw_object(rng, size, horizon, float(near[number]) * scale, kind)

    patches, labels = arrange(draw, count, size, 0.7, min_area)
    image = simulate_camera(rng, paint(scene, patches, 0.3, (1, 1)), (0.3, 0.7), (0.008, 0.02))
    return image, _number(stuff, labels, [patch.class_id for patch in patches])


def _number(stuff: LabelMap, labels: LabelMap, classes: list[int]) -> LabelMap:
    """Instance ids: objects, numbered from 0 within each class, over the label ids."""
    numbers = [1000 * c + classes[:k].count(c) for k, c in enumerate(classes)]
    ids: LabelMap = np.where(labels > 0, np.array([0, *numbers])[labels], stuff)
    return ids


def _background(
    rng: np.random.Generator, size: tuple[int, int], horizon: float
) -> tuple[LabelMap, Floats]:
    """Label ids `(H, W)` and colours `(H, W, 3)` of the classes without instances."""
    stuff = _regions(rng, size, horizon)
    scene = np.zeros((*size, 3), np.float32)
    for number, colour in _STUFF.values():
        tint = np.array(colour) * rng.uniform(0.8, 1.2) + rng.normal(0, 0.02, 3)
        scene[stuff == number] = np.clip(tint, 0.02, 1)
    coarse, fine = smooth_noise(rng, size, 12), smooth_noise(rng, size, max(max(size) // 3, 1))
    rough = 0.05 + 0.2 * (stuff == _STUFF["vegetation"][0]) * np.abs(fine)
    scene *= (1 + 0.06 * coarse + rough * fine)[..., None]
    return stuff, np.clip(scene, 0, 1).astype(np.float32)


def _regions(rng: np.random.Generator, size: tuple[int, int], horizon: float) -> LabelMap:
    rows, columns = np.indices(size)
    stuff: NDArray[np.int64] = np.full(size, _STUFF["sky"][0], np.int64)
    roofs = np.repeat(rng.uniform(0, 0.9, 12), size[1] // 12 + 1)[: size[1]] * horizon
    stuff[rows > roofs] = _STUFF["building"][0]
    crowns = horizon * (0.75 + 0.35 * smooth_noise(rng, (1, size[1]), 6)[0])
    stuff[(rows > crowns) & (rows < horizon)] = _STUFF["vegetation"][0]
    depth = (rows - horizon) / (size[0] - horizon)  # 0 at the horizon, 1 at the lower edge
    aside = np.abs(columns / size[1] - rng.uniform(0.4, 0.6))
    stuff[depth >= 0] = _STUFF["sidewalk"][0]
    stuff[(depth >= 0) & (aside < 0.1 + 0.5 * depth)] = _STUFF["parking"][0]
    stuff[(depth >= 0) & (aside < 0.06 + 0.44 * depth)] = _STUFF["road"][0]
    for at in rng.uniform(0.02, 0.98, 2) * size[1]:
        pole = (np.abs(columns - at) <= size[1] / 150) & (depth < 0.15) & (rows > 0.3 * horizon)
        stuff[pole] = _STUFF["pole"][0]
    hood = 1 - 0.05 * (1 - ((columns / size[1] - 0.5) / 0.45) ** 2)
    stuff[rows >= size[0] * hood] = _STUFF["ego vehicle"][0]
    return stuff


def _draw_object(
    rng: np.random.Generator, size: tuple[int, int], horizon: float, near: float, kind: int
) -> Patch:
    """An object on the ground: nearer objects are lower in the image and larger."""
    class_id, height, width = _THINGS[kind]
    foot = horizon + near * 0.85 * (size[0] - horizon)
    unit = size[0] * (0.25 + 0.95 * near) * rng.uniform(0.85, 1.15)
    half_height, half_width = max(height * unit / 2, 4.0), max(width * unit / 2, 2.0)
    y, x = max(foot - half_height, 0.0), rng.uniform(0.03, 0.97) * size[1]
    top, left, down, right = local_grid(y, x, max(half_height, half_width) + 4, size)
    depth = _outline(class_id, down, right, half_height, half_width)
    tint = rng.uniform(0.08, 0.9, 3)
    shade = 0.85 - 0.2 * down / np.float32(half_height) + 0 * right
    if class_id in (26, 27, 28):  # a dark band of windows
        relative = down / half_height
        shade = shade - 0.5 * ((relative < -0.25) & (relative > -0.75) & (depth > 1.5))
    colour = np.clip(tint * shade[..., None], 0.02, 1).astype(np.float32)
    return Patch(top, left, depth.astype(np.float32), colour, class_id)


def _outline(class_id: int, down: Floats, right: Floats, high: float, half: float) -> Floats:
    """Signed distance to the outline of a person, a bicycle, or a vehicle (box)."""
    across = np.abs(right)
    depth: Floats
    if class_id == 24:
        waist = half * (1 - 0.3 * down / high)
        body = np.minimum(waist - across, 0.75 * high - np.abs(down - 0.25 * high))
        depth = np.maximum(0.3 * high - np.hypot(down + 0.7 * high, right), body)
    elif class_id == 33:
        wheel = np.hypot(down - 0.4 * high, across - 0.55 * half)
        frame = np.minimum(0.7 * half - across, 1.2 - np.abs(down + 0.1 * high))
        depth = np.maximum(max(0.14 * high, 1.2) - np.abs(wheel - 0.42 * half), frame)
    else:
        cabin = 0.3 * half * np.clip(-down / high, 0, 1) * (class_id == 26)
        depth = np.minimum(half - cabin - across, high - np.abs(down))
    return depth
