"""Rendering pipeline of synthetic images: place objects, paint them, simulate a camera.

Each kind of image draws patches (`draw_rods`, `draw_cells` and so on in the ``scenes_*.py`` files),
`arrange` finds positions at which enough of each patch is visible, `paint` composites them over a
background, and `simulate_camera` adds uneven illumination, blur and noise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from congeal.data.sample import LabelMap, Mask, Pixels

__all__ = [
    "Patch",
    "arrange",
    "is_visible",
    "local_grid",
    "paint",
    "place_top_down",
    "simulate_camera",
    "smooth_noise",
    "textured_background",
]

Floats = NDArray[np.float32]
T = TypeVar("T")

_TRIES = 12  # positions tried for an object before it is drawn smaller
_SIZE_FACTORS = tuple(0.8**step for step in range(9))  # relative sizes, down to 0.17


@dataclass(frozen=True, eq=False)
class Patch:
    """One object, drawn within its bounding box.

    Attributes:
        top: first row of the box in the image.
        left: first column of the box in the image.
        depth: `(h, w)` signed distance to the outline in pixels, positive inside; with a margin.
        colour: `(h, w, C)` brightness, 0..1.
        class_id: class of the object, 0 for kinds of images without classes.
    """

    top: int
    left: int
    depth: Floats
    colour: Floats
    class_id: int = 0

    @property
    def box(self) -> tuple[slice, slice]:
        """Rows and columns of the image that the patch covers."""
        height, width = self.depth.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


def local_grid(
    y: float, x: float, radius: float, size: tuple[int, int]
) -> tuple[int, int, Floats, Floats]:
    """Coordinates of the box around a point, relative to the point.

    Args:
        y: row of the point.
        x: column of the point.
        radius: half the side of the box in pixels.
        size: height and width of the image; the box is clipped to it.

    Returns:
        First row, first column, and offsets `(h, 1)` and `(1, w)`.

    Example:
        >>> local_grid(1.0, 5.0, 2.0, (10, 10))[:2], local_grid(1.0, 5.0, 2.0, (10, 10))[2].shape
        ((0, 3), (4, 1))
    """
    rows, columns = (
        np.arange(max(int(at - radius), 0), min(int(at + radius) + 1, side))
        for at, side in zip((y, x), size, strict=True)
    )
    down = (rows - y).astype(np.float32)[:, None]
    right = (columns - x).astype(np.float32)[None, :]
    return max(int(y - radius), 0), max(int(x - radius), 0), down, right


def is_visible(inside: Mask, occupied: Mask, overlap: float, min_area: int) -> bool:
    """Whether enough of an object stays visible below the objects above it.

    Args:
        inside: pixels of the object.
        occupied: pixels of the objects above it, of the same shape.
        overlap: largest fraction of the object that may be hidden, 0..1.
        min_area: minimum number of visible pixels.

    Example:
        >>> inside, occupied = np.array([True, True, False]), np.array([True, False, False])
        >>> is_visible(inside, occupied, 0.5, 1), is_visible(inside, occupied, 0.4, 1)
        (True, False)
    """
    visible = np.count_nonzero(inside & ~occupied)
    return bool(visible >= max(min_area, (1 - overlap) * np.count_nonzero(inside)))


def place_top_down(
    draw: Callable[[int, float], T],
    locate: Callable[[T], tuple[tuple[slice, slice], Mask]],
    count: int,
    size: tuple[int, int],
    overlap: float,
    min_area: int,
) -> tuple[list[T], LabelMap]:
    """Place objects from top to bottom, so that the visible part of a placed object is final.

    An object that is_visible nowhere is drawn smaller, down to 0.17 of its size, and then left out.

    Args:
        draw: function of the object's number k (0 is the topmost) and its relative size, which
            draws it at a random position.
        locate: function that returns bounding box and mask of an object.
        count: number of objects.
        size: height and width of the image.
        overlap: largest fraction of an object that others may hide, 0..1.
        min_area: minimum number of visible pixels of each object.

    Returns:
        The objects from bottom to top, and labels `(H, W)` in that order.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> def pixel(k: int, scale: float) -> int:
        ...     return int(rng.integers(4))
        >>> def where(x: int) -> tuple[tuple[slice, slice], Mask]:
        ...     return (slice(0, 1), slice(x, x + 1)), np.ones((1, 1), np.bool_)
        >>> place_top_down(pixel, where, 2, (1, 4), 0.0, 1)
        ([2, 3], array([[0, 0, 1, 2]]))
    """
    labels = np.zeros(size, np.int64)
    placed: list[T] = []
    step = 0
    for number in range(count):
        # Start at the size of the last object: where that had to shrink, larger ones fit no better.
        for attempt in range(_TRIES * max(step - 1, 0), _TRIES * len(_SIZE_FACTORS)):
            step = attempt // _TRIES
            drawn = draw(number, _SIZE_FACTORS[step])
            box, inside = locate(drawn)
            below = labels[box]
            if is_visible(inside, below > 0, overlap, min_area):
                placed.append(drawn)
                below[inside & (below == 0)] = len(placed)
                break
    return placed[::-1], np.where(labels > 0, len(placed) + 1 - labels, 0)


def arrange(
    draw: Callable[[int, float], Patch],
    count: int,
    size: tuple[int, int],
    overlap: float,
    min_area: int,
) -> tuple[list[Patch], LabelMap]:
    """Place patches at random positions; arguments and result as of `place_top_down`.

    Example:
        >>> one = Patch(1, 1, np.ones((2, 2), np.float32), np.ones((2, 2, 1), np.float32))
        >>> arrange(lambda k, scale: one, 2, (4, 4), 0.5, 1)[1].sum()
        np.int64(4)
    """
    return place_top_down(draw, lambda p: (p.box, p.depth > 0), count, size, overlap, min_area)


def paint(
    scene: Floats, patches: list[Patch], shadow: float = 0.0, offset: tuple[int, int] = (2, 2)
) -> Floats:
    """Composite patches over a scene, the first at the bottom, with antialiased outlines.

    Args:
        scene: background `(H, W, C)`, 0..1; modified in place.
        patches: from bottom to top.
        shadow: opacity of the shadow that each patch casts, 0..1.
        offset: rows and columns by which a shadow is shifted.

    Example:
        >>> one = Patch(1, 1, np.ones((2, 2), np.float32), np.ones((2, 2, 1), np.float32))
        >>> paint(np.zeros((4, 4, 1), np.float32), [one]).sum()
        np.float32(4.0)
    """
    for patch in patches:
        if shadow:
            _cast_shadow(scene, patch, shadow, offset)
        part = scene[patch.box]
        part += np.clip(patch.depth + 0.5, 0, 1)[..., None] * (patch.colour - part)
    return scene


def _cast_shadow(scene: Floats, patch: Patch, shadow: float, offset: tuple[int, int]) -> None:
    top, left = max(patch.top + offset[0], 0), max(patch.left + offset[1], 0)
    depth = patch.depth[top - patch.top - offset[0] :, left - patch.left - offset[1] :]
    part = scene[top : top + depth.shape[0], left : left + depth.shape[1]]
    soft = np.clip(depth[: part.shape[0], : part.shape[1]] / 3 + 0.5, 0, 1)
    part *= 1 - np.float32(shadow) * soft[..., None]


def smooth_noise(rng: np.random.Generator, size: tuple[int, ...], cells: int) -> Floats:
    """Gaussian noise on a coarse grid, interpolated linearly to `(H, W)`.

    Args:
        rng: source of the values, which are normal with standard deviation 1.
        size: height and width.
        cells: grid cells in each direction.

    Example:
        >>> smooth_noise(np.random.default_rng(0), (20, 30), 4).shape
        (20, 30)
    """
    grid = rng.standard_normal((cells + 1, cells + 1), dtype=np.float32)
    return _interpolate(_interpolate(grid, size[0]).T, size[1]).T


def _interpolate(values: Floats, length: int) -> Floats:
    """Linear interpolation of `(cells + 1, n)` to `(length, n)`.

    Not a matrix product, because NumPy's would occupy all cores, beside a training.
    """
    position = np.linspace(0, len(values) - 1, length)
    lower = np.minimum(position.astype(np.int64), len(values) - 2)
    weight = (position - lower).astype(np.float32)[:, None]
    interpolated: Floats = values[lower] * (1 - weight) + values[lower + 1] * weight
    return interpolated


def textured_background(
    rng: np.random.Generator, size: tuple[int, int], colour: Floats, strength: float = 0.1
) -> Floats:
    """Multi-scale noise texture `(H, W, C)` around a mean colour `(C,)`.

    Args:
        rng: source of randomness.
        size: height and width.
        colour: mean value of each channel, 0..1.
        strength: largest relative standard deviation per scale.

    Example:
        >>> textured_background(np.random.default_rng(0), (8, 9), np.full(3, 0.5, np.float32)).shape
        (8, 9, 3)
    """
    texture = np.ones(size, np.float32)
    for pixels in (64, 16, 5):
        amount = np.float32(rng.uniform(0.1, 1) * strength)
        texture += amount * smooth_noise(rng, size, max(max(size) // pixels, 1))
    painted: Floats = np.maximum(texture, 0)[..., None] * colour
    return painted


def simulate_camera(
    rng: np.random.Generator,
    scene: Floats,
    blur: tuple[float, float] = (0.4, 1.0),
    noise: tuple[float, float] = (0.01, 0.04),
) -> Pixels:
    """Apply uneven illumination, blur, shot and sensor noise, and quantisation to 8 bits.

    Args:
        rng: source of randomness.
        scene: `(H, W, C)`, 0..1.
        blur: smallest and largest standard deviation in pixels.
        noise: smallest and largest standard deviation, as fraction of the full range.

    Returns:
        `(H, W, C)` uint8.

    Example:
        >>> simulate_camera(np.random.default_rng(0), np.ones((4, 5, 1), np.float32)).shape
        (4, 5, 1)
    """
    light = 1 + rng.uniform(0.03, 0.2) * smooth_noise(rng, scene.shape[:2], 2).clip(-2, 2)
    sigma = rng.uniform(*blur)
    blurred = gaussian_filter(scene * light[..., None], (sigma, sigma, 0), mode="nearest")
    grain = rng.standard_normal(scene.shape, dtype=np.float32)
    blurred += np.float32(rng.uniform(*noise)) * grain * (0.4 + np.sqrt(np.maximum(blurred, 0)))
    picture: Pixels = (np.clip(blurred, 0, 1) * 255 + 0.5).astype(np.uint8)
    return picture
