"""How drawn images come about: objects placed from the top down, painted, then photographed.

A kind of drawing makes patches (`draw_rods`, `draw_cells` and so on in the ``scenes_*.py`` files),
`arrange` finds places at which enough of each patch can be seen, `paint` lays them over a ground,
and `photograph` adds uneven light, blur and noise.
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
    "fits",
    "ground",
    "local_grid",
    "paint",
    "photograph",
    "place_downwards",
    "smooth_noise",
]

Floats = NDArray[np.float32]
T = TypeVar("T")

_TRIES = 12  # places that are tried for an object before it is drawn smaller
_SIZES = tuple(0.8**step for step in range(9))  # relative sizes, down to 0.17


@dataclass(frozen=True, eq=False)
class Patch:
    """One object, drawn in the box around it.

    Attributes:
        top: first row of the box in the image.
        left: first column of the box in the image.
        depth: `(h, w)` pixels inside the outline, negative outside; some pixels of margin.
        colour: `(h, w, C)` brightness, 0..1.
        class_id: class of the object, 0 where the kind has no classes.
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
    """Give the part of an image around a point, as offsets from the point.

    Args:
        y: row of the point.
        x: column of the point.
        radius: pixels in each direction.
        size: height and width of the image, which the box does not leave.

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


def fits(inside: Mask, taken: Mask, overlap: float, least: int) -> bool:
    """Whether enough of an object can be seen below others.

    Args:
        inside: pixels of the object.
        taken: pixels of the objects above it, of the same shape.
        overlap: the largest share of the object that may be hidden, 0..1.
        least: the fewest pixels that have to be seen.

    Example:
        >>> inside, taken = np.array([True, True, False]), np.array([True, False, False])
        >>> fits(inside, taken, 0.5, 1), fits(inside, taken, 0.4, 1)
        (True, False)
    """
    seen = np.count_nonzero(inside & ~taken)
    return bool(seen >= max(least, (1 - overlap) * np.count_nonzero(inside)))


def place_downwards(
    draw: Callable[[int, float], T],
    locate: Callable[[T], tuple[tuple[slice, slice], Mask]],
    count: int,
    size: tuple[int, int],
    overlap: float,
    least: int,
) -> tuple[list[T], LabelMap]:
    """Place objects, each below those before it, so that what is seen of an object is final.

    An object that fits nowhere is drawn smaller, down to 0.17 of its size, then left out.

    Args:
        draw: makes object k (0 is the uppermost) at a random place, at a relative size.
        locate: gives box and mask of an object.
        count: number of objects.
        size: height and width of the image.
        overlap: the largest share of an object that others may hide, 0..1.
        least: the fewest pixels that are seen of each object.

    Returns:
        The objects from the lowest to the uppermost, and labels `(H, W)` in that order.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> def pixel(k: int, scale: float) -> int:
        ...     return int(rng.integers(4))
        >>> def where(x: int) -> tuple[tuple[slice, slice], Mask]:
        ...     return (slice(0, 1), slice(x, x + 1)), np.ones((1, 1), np.bool_)
        >>> place_downwards(pixel, where, 2, (1, 4), 0.0, 1)
        ([2, 3], array([[0, 0, 1, 2]]))
    """
    labels = np.zeros(size, np.int64)
    placed: list[T] = []
    step = 0
    for number in range(count):
        # Where the last object had to be small, large ones are not tried again.
        for attempt in range(_TRIES * max(step - 1, 0), _TRIES * len(_SIZES)):
            step = attempt // _TRIES
            one = draw(number, _SIZES[step])
            box, inside = locate(one)
            below = labels[box]
            if fits(inside, below > 0, overlap, least):
                placed.append(one)
                below[inside & (below == 0)] = len(placed)
                break
    return placed[::-1], np.where(labels > 0, len(placed) + 1 - labels, 0)


def arrange(
    draw: Callable[[int, float], Patch],
    count: int,
    size: tuple[int, int],
    overlap: float,
    least: int,
) -> tuple[list[Patch], LabelMap]:
    """Place patches; see `place_downwards`.

    Example:
        >>> one = Patch(1, 1, np.ones((2, 2), np.float32), np.ones((2, 2, 1), np.float32))
        >>> arrange(lambda k, scale: one, 2, (4, 4), 0.5, 1)[1].sum()
        np.int64(4)
    """
    return place_downwards(draw, lambda p: (p.box, p.depth > 0), count, size, overlap, least)


def paint(
    scene: Floats, patches: list[Patch], shadow: float = 0.0, offset: tuple[int, int] = (2, 2)
) -> Floats:
    """Lay patches over a scene, the first one lowest, with smooth outlines.

    Args:
        scene: ground `(H, W, C)`, 0..1; is painted on.
        patches: from the lowest to the uppermost.
        shadow: how much darker a shadow is, 0..1.
        offset: rows and columns by which shadows are shifted.

    Example:
        >>> one = Patch(1, 1, np.ones((2, 2), np.float32), np.ones((2, 2, 1), np.float32))
        >>> paint(np.zeros((4, 4, 1), np.float32), [one]).sum()
        np.float32(4.0)
    """
    for patch in patches:
        if shadow:
            _cast(scene, patch, shadow, offset)
        part = scene[patch.box]
        part += np.clip(patch.depth + 0.5, 0, 1)[..., None] * (patch.colour - part)
    return scene


def _cast(scene: Floats, patch: Patch, shadow: float, offset: tuple[int, int]) -> None:
    top, left = max(patch.top + offset[0], 0), max(patch.left + offset[1], 0)
    depth = patch.depth[top - patch.top - offset[0] :, left - patch.left - offset[1] :]
    part = scene[top : top + depth.shape[0], left : left + depth.shape[1]]
    soft = np.clip(depth[: part.shape[0], : part.shape[1]] / 3 + 0.5, 0, 1)
    part *= 1 - np.float32(shadow) * soft[..., None]


def smooth_noise(rng: np.random.Generator, size: tuple[int, ...], cells: int) -> Floats:
    """Random values on a coarse grid, interpolated linearly to `(H, W)`.

    Args:
        rng: where the values, normal with deviation 1, come from.
        size: height and width.
        cells: cells of the grid in each direction.

    Example:
        >>> smooth_noise(np.random.default_rng(0), (20, 30), 4).shape
        (20, 30)
    """
    grid = rng.standard_normal((cells + 1, cells + 1), dtype=np.float32)
    return _interpolate(_interpolate(grid, size[0]).T, size[1]).T


def _interpolate(values: Floats, length: int) -> Floats:
    """Linear interpolation of `(cells + 1, n)` to `(length, n)`.

    Without a matrix product: numpy's would put all cores to work on it, beside a training.
    """
    place = np.linspace(0, len(values) - 1, length)
    before = np.minimum(place.astype(np.int64), len(values) - 2)
    share = (place - before).astype(np.float32)[:, None]
    mixed: Floats = values[before] * (1 - share) + values[before + 1] * share
    return mixed


def ground(
    rng: np.random.Generator, size: tuple[int, int], colour: Floats, strength: float = 0.1
) -> Floats:
    """Texture of several grain sizes, `(H, W, C)` around a colour `(C,)`.

    Args:
        rng: where the texture comes from.
        size: height and width.
        colour: mean brightness of each channel, 0..1.
        strength: the largest relative deviation of each grain size.

    Example:
        >>> ground(np.random.default_rng(0), (8, 9), np.full(3, 0.5, np.float32)).shape
        (8, 9, 3)
    """
    texture = np.ones(size, np.float32)
    for pixels in (64, 16, 5):
        amount = np.float32(rng.uniform(0.1, 1) * strength)
        texture += amount * smooth_noise(rng, size, max(max(size) // pixels, 1))
    painted: Floats = np.maximum(texture, 0)[..., None] * colour
    return painted


def photograph(
    rng: np.random.Generator,
    scene: Floats,
    blur: tuple[float, float] = (0.4, 1.0),
    noise: tuple[float, float] = (0.01, 0.04),
) -> Pixels:
    """Uneven light, blur, shot and sensor noise, 8 bits.

    Args:
        rng: where they come from.
        scene: `(H, W, C)`, 0..1.
        blur: smallest and largest standard deviation in pixels.
        noise: smallest and largest standard deviation in shares of the full range.

    Returns:
        `(H, W, C)` uint8.

    Example:
        >>> photograph(np.random.default_rng(0), np.ones((4, 5, 1), np.float32)).shape
        (4, 5, 1)
    """
    light = 1 + rng.uniform(0.03, 0.2) * smooth_noise(rng, scene.shape[:2], 2).clip(-2, 2)
    sigma = rng.uniform(*blur)
    seen = gaussian_filter(scene * light[..., None], (sigma, sigma, 0), mode="nearest")
    grain = rng.standard_normal(scene.shape, dtype=np.float32)
    seen += np.float32(rng.uniform(*noise)) * grain * (0.4 + np.sqrt(np.maximum(seen, 0)))
    picture: Pixels = (np.clip(seen, 0, 1) * 255 + 0.5).astype(np.uint8)
    return picture
