"""Synthetic images of overlapping sticks and discs, with shading, shadows, texture and noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from congeal.data.canvas import place_top_down, smooth_noise
from congeal.data.sample import LabelMap, Mask, Pixels

__all__ = ["MIN_VISIBLE", "draw_discs", "draw_sticks"]

MIN_VISIBLE = 30  # pixels; objects with a smaller visible part are removed
_MARGIN = 4  # pixels rendered around the image, for shadows and blur
_ATTEMPTS = 20  # scenes drawn until at least 4 sticks are visible

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class ShapeLayers:
    """N shapes on a canvas that extends the image by `_MARGIN` pixels on every side.

    Attributes:
        depth: `(N, H, W)` signed distance to the outline in pixels, positive inside.
        normal: `(3, N, H, W)` unit surface normal (y, x, towards the viewer).
        grain: `(N, H, W)` texture: brightness factor near 1.
    """

    depth: Floats
    normal: Floats
    grain: Floats

    def take(self, keep: NDArray[np.int64]) -> ShapeLayers:
        """The shapes of the given indices."""
        return ShapeLayers(self.depth[keep], self.normal[:, keep], self.grain[keep])


def draw_sticks(
    rng: np.random.Generator,
    height: int,
    width: int,
    count: int | None = None,
    overlap: float = 1.0,
) -> tuple[Pixels, LabelMap]:
    """Draw round sticks of one material at random angles, later ones over earlier ones.

    Args:
        rng: source of randomness.
        height: height of the image in pixels.
        width: width of the image in pixels.
        count: number of sticks (more than 9 are drawn smaller); None: random, 4 to 9.
        overlap: largest fraction of a stick that others may hide, 0..1.

    Returns:
        Image `(H, W, 3)` uint8 and labels `(H, W)` of the visible parts.

    Example:
        >>> image, labels = draw_sticks(np.random.default_rng(0), 96, 128)
        >>> image.shape, 4 <= int(labels.max()) <= 9
        ((96, 128, 3), True)
    """
    if count is not None or overlap < 1:
        number = int(rng.integers(4, 10)) if count is None else count
        area_factor = _area_factor(number, 9, height, width)

        def draw(_: int, scale: float) -> ShapeLayers:
            lengths = (scale * area_factor**0.5, area_factor**0.25)
            return _stick_layers(rng, 1, height, width, *lengths, 0.28 if overlap == 1 else 0.45)

        return _render(rng, _place(draw, number, (height, width), overlap))
    for _ in range(_ATTEMPTS):
        layers = _visible(_stick_layers(rng, int(rng.integers(4, 10)), height, width))
        if len(layers.depth) >= 4:
            break
    return _render(rng, layers)


def draw_discs(
    rng: np.random.Generator,
    height: int,
    width: int,
    count: int | None = None,
    overlap: float = 1.0,
) -> tuple[Pixels, LabelMap]:
    """Draw overlapping, slightly domed discs of one material.

    Args:
        rng: source of randomness.
        height: height of the image in pixels.
        width: width of the image in pixels.
        count: number of discs (more than 14 are drawn smaller); None: 5 to 14, of which hidden
            ones are removed.
        overlap: largest fraction of a disc that others may hide, 0..1.

    Returns:
        Image `(H, W, 3)` uint8 and labels `(H, W)` of the visible parts.

    Example:
        >>> image, labels = draw_discs(np.random.default_rng(0), 96, 96)
        >>> image.shape, int(labels.max()) > 3
        ((96, 96, 3), True)
    """
    number = int(rng.integers(5, 15)) if count is None else count
    if count is None and overlap == 1:
        return _render(rng, _visible(_disc_layers(rng, number, height, width)))
    area_factor = _area_factor(number, 14, height, width)

    def draw(_: int, scale: float) -> ShapeLayers:
        return _disc_layers(rng, 1, height, width, scale * area_factor**0.5)

    return _render(rng, _place(draw, number, (height, width), overlap))


def _area_factor(count: int, usual: int, height: int, width: int) -> float:
    """Area per object relative to that of ``usual`` objects on 112 x 112 pixels, at most 1."""
    return min(1.0, usual * height * width / (count * 112 * 112))


def _place(
    draw: Callable[[int, float], ShapeLayers], count: int, size: tuple[int, int], overlap: float
) -> ShapeLayers:
    """Place single shapes so that each stays visible enough."""

    def locate(shape: ShapeLayers) -> tuple[tuple[slice, slice], Mask]:
        inside = shape.depth[0, _MARGIN:-_MARGIN, _MARGIN:-_MARGIN] > 0
        return (slice(None), slice(None)), inside

    placed, _ = place_top_down(draw, locate, count, size, overlap, MIN_VISIBLE)
    return ShapeLayers(
        np.concatenate([shape.depth for shape in placed]),
        np.concatenate([shape.normal for shape in placed], axis=1),
        np.concatenate([shape.grain for shape in placed]),
    )


def _canvas(height: int, width: int) -> tuple[Floats, Floats]:
    y = np.arange(-_MARGIN, height + _MARGIN, dtype=np.float32)[:, None]
    x = np.arange(-_MARGIN, width + _MARGIN, dtype=np.float32)[None, :]
    return y, x


def _column(values: NDArray[np.float64]) -> Floats:
    return values.astype(np.float32)[:, None, None]


def _stick_layers(
    rng: np.random.Generator,
    count: int,
    height: int,
    width: int,
    length: float = 1.0,
    thickness: float = 1.0,
    spread: float = 0.28,
) -> ShapeLayers:
    """Draw sticks; ``spread`` is the largest offset of a centre as fraction of the image size."""
    y, x = _canvas(height, width)
    side = min(height, width)
    angle = rng.uniform(0, np.pi, count)
    sine, cosine = _column(np.sin(angle)), _column(np.cos(angle))
    down = y - _column(height / 2 + rng.uniform(-spread, spread, count) * height)
    right = x - _column(width / 2 + rng.uniform(-spread, spread, count) * width)
    along = right * cosine + down * sine
    across = down * cosine - right * sine
    # A slight bend, as real sticks have.
    across = across + _column(rng.normal(0, 0.0004, count)) * along * along
    radius = _column(rng.uniform(2.5, 4.5, count) * thickness)
    half = _column(rng.uniform(0.33, 0.55, count) * side * length)
    beyond = np.maximum(np.abs(along) - half, 0)
    distance = np.sqrt(beyond * beyond + across * across)
    slope = np.clip(across / radius, -1, 1)
    normal = np.stack([slope * cosine, -slope * sine, np.sqrt(1 - slope * slope)])
    return ShapeLayers(radius - distance, normal, _grain(rng, along, across))


def _grain(rng: np.random.Generator, along: Floats, across: Floats) -> Floats:
    """Anisotropic noise: brightness streaks along each stick, from a table of random values."""
    count = len(along)
    strength = rng.uniform(0.01, 0.07)
    table = (1 + rng.normal(0, strength, (count, 32, 16))).astype(np.float32)
    rows = (along * 0.15 + 64).astype(np.int32) & 31
    columns = (across * 1.3 + 64).astype(np.int32) & 15
    which = np.arange(count, dtype=np.int32)[:, None, None] * 512
    streaks: Floats = table.reshape(-1).take(which + rows * 16 + columns)
    return streaks


def _disc_layers(
    rng: np.random.Generator, count: int, height: int, width: int, scale: float = 1.0
) -> ShapeLayers:
    """Draw discs; ``scale`` multiplies their radius."""
    y, x = _canvas(height, width)
    down = y - _column(rng.uniform(0.08, 0.92, count) * height)
    right = x - _column(rng.uniform(0.08, 0.92, count) * width)
    radius = _column(rng.uniform(7, 17, count) * scale)
    distance = np.sqrt(down * down + right * right)
    dome = np.float32(rng.uniform(0.4, 0.95))
    scale = dome / np.maximum(radius, distance)
    ny, nx = down * scale, right * scale
    normal = np.stack([ny, nx, np.sqrt(1 - ny * ny - nx * nx)])
    speckle = rng.normal(1, rng.uniform(0, 0.03), distance.shape).astype(np.float32)
    return ShapeLayers(radius - distance, normal, speckle)


def _topmost(layers: ShapeLayers) -> LabelMap:
    """Number (from 1) of the topmost shape at each pixel of the image, 0 for background."""
    inside = layers.depth[:, _MARGIN:-_MARGIN, _MARGIN:-_MARGIN] > 0
    order = np.arange(1, len(inside) + 1, dtype=np.int64)[:, None, None]
    top: LabelMap = (inside * order).max(axis=0, initial=0)
    return top


def _visible(layers: ShapeLayers) -> ShapeLayers:
    """Remove shapes with less than MIN_VISIBLE visible pixels."""
    visible = np.bincount(_topmost(layers).ravel(), minlength=len(layers.depth) + 1)[1:]
    return layers.take(np.flatnonzero(visible >= MIN_VISIBLE))


def _render(rng: np.random.Generator, layers: ShapeLayers) -> tuple[Pixels, LabelMap]:
    count, (rows, columns) = len(layers.depth), layers.depth.shape[1:]
    light = _light(rng)
    colours = _colours(rng, count + 1)
    scene = _background(rng, rows, columns, colours[0])
    shade = _shade(rng, layers, light)
    offset = -np.rint(light[:2] / light[2] * rng.uniform(1.5, 3.5)).astype(int).clip(-4, 4)
    darkness = np.float32(rng.uniform(0.15, 0.5))
    for k in range(count):
        scene *= 1 - darkness * _shadow(layers.depth[k], offset)[..., None]
        cover = np.clip(layers.depth[k] + 0.5, 0, 1)[..., None]
        scene += cover * (shade[k][..., None] * colours[k + 1] - scene)
    image = _simulate_camera(rng, scene)[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN]
    return np.ascontiguousarray(image), _topmost(layers)


def _light(rng: np.random.Generator) -> Floats:
    """Direction towards the light source (y, x, up), 20 to 55 degrees from the vertical."""
    turn, tilt = rng.uniform(0, 2 * np.pi), rng.uniform(0.35, 0.95)
    level = np.sin(tilt)
    return np.array([level * np.sin(turn), level * np.cos(turn), np.cos(tilt)], np.float32)


def _colours(rng: np.random.Generator, count: int) -> Floats:
    """Colours of the background and of each object: one material with small variations."""
    while True:
        background, material = rng.uniform(0.1, 0.85), rng.uniform(0.35, 0.95)
        if abs(background - material) > 0.2:
            break
    tint = rng.normal(0, 0.07, (2, 3))
    pieces = material * rng.uniform(0.75, 1.25, (count - 1, 1)) * (1 + tint[1])
    pieces = pieces + rng.normal(0, 0.08, (count - 1, 3))
    colours = np.concatenate([background * (1 + tint[:1]), pieces])
    clipped: Floats = np.clip(colours, 0.03, 1).astype(np.float32)
    return clipped


def _background(rng: np.random.Generator, rows: int, columns: int, colour: Floats) -> Floats:
    texture = np.ones((rows, columns), np.float32)
    for cells, most in ((3, 0.12), (14, 0.08), (48, 0.08)):
        amount = np.float32(rng.uniform(0.01, most))
        texture += amount * smooth_noise(rng, (rows, columns), cells)
    background: Floats = texture[..., None] * colour
    return background


def _shade(rng: np.random.Generator, layers: ShapeLayers, light: Floats) -> Floats:
    """Brightness of every shape: ambient and diffuse light times texture, plus a highlight."""
    ambient = np.float32(rng.uniform(0.25, 0.5))
    gloss = np.float32(rng.uniform(0, 0.5))
    diffuse: Floats = np.maximum(_towards(light, layers.normal), 0)
    halfway = light + np.array([0, 0, 1], np.float32)
    facing: Floats = np.maximum(_towards(halfway / np.linalg.norm(halfway), layers.normal), 0)
    for _ in range(4):
        facing *= facing
    shade: Floats = (ambient + (1 - ambient) * diffuse) * layers.grain + gloss * facing
    return shade


def _towards(direction: Floats, normal: Floats) -> Floats:
    """Dot product of normals `(3, K, H, W)` and a direction `(3,)`."""
    facing: Floats = direction[0] * normal[0] + direction[1] * normal[1] + direction[2] * normal[2]
    return facing


def _shadow(depth: Floats, offset: NDArray[np.int64]) -> Floats:
    """Soft shadow `(H, W)` of one shape, 0..1, shifted by ``offset`` (y, x) pixels."""
    rows, columns = depth.shape
    padded = np.pad(depth, _MARGIN, mode="edge")
    y, x = _MARGIN - offset
    soft: Floats = np.clip(padded[y : y + rows, x : x + columns] / 3 + 0.5, 0, 1)
    return soft


def _simulate_camera(rng: np.random.Generator, scene: Floats) -> Pixels:
    """Apply uneven illumination, slight blur, sensor noise and quantisation to 8 bits."""
    rows, columns = scene.shape[:2]
    slope = rng.uniform(-0.18, 0.18, 2)
    plane = np.linspace(-slope[0], slope[0], rows)[:, None] + np.linspace(
        -slope[1], slope[1], columns
    )
    scene = scene * (1 + plane).astype(np.float32)[..., None]
    soft = np.float32(rng.uniform(0, 0.22))
    scene[1:-1] += soft * (scene[2:] + scene[:-2] - 2 * scene[1:-1])
    scene[:, 1:-1] += soft * (scene[:, 2:] + scene[:, :-2] - 2 * scene[:, 1:-1])
    noise = rng.standard_normal(scene.shape, dtype=np.float32)
    scene += np.float32(rng.uniform(0.008, 0.045)) * noise
    return (np.clip(scene, 0, 1) * 255 + 0.5).astype(np.uint8)
