"""Drawing scenes of objects that lie over each other, with light, shadow, texture and noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from congeal.data.canvas import place_downwards, smooth_noise
from congeal.data.sample import LabelMap, Mask, Pixels

__all__ = ["MIN_VISIBLE", "draw_discs", "draw_sticks"]

# Objects of which fewer pixels can be seen are taken out of the scene.
MIN_VISIBLE = 30
_MARGIN = 4
_ATTEMPTS = 20

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Layers:
    """N shapes on a canvas that is `_MARGIN` wider than the image on every side.

    Attributes:
        depth: `(N, H, W)` how many pixels inside the outline, negative outside.
        normal: `(3, N, H, W)` surface direction (y, x, towards the viewer), unit length.
        grain: `(N, H, W)` brightness factor of the material, near 1.
    """

    depth: Floats
    normal: Floats
    grain: Floats

    def take(self, keep: NDArray[np.int64]) -> Layers:
        """The same scene with only some of the shapes."""
        return Layers(self.depth[keep], self.normal[:, keep], self.grain[keep])


def draw_sticks(
    rng: np.random.Generator,
    height: int,
    width: int,
    count: int | None = None,
    overlap: float = 1.0,
) -> tuple[Pixels, LabelMap]:
    """Draw round sticks of one material, at any angle, later ones over earlier ones.

    Args:
        rng: where everything random comes from.
        height: of the image in pixels.
        width: of the image in pixels.
        count: number of sticks, more than 9 being drawn smaller; 4 to 9 when None.
        overlap: the largest share of a stick that others may hide, 0..1.

    Returns:
        Image `(H, W, 3)` uint8 and labels `(H, W)` of what is seen of each stick.

    Example:
        >>> image, labels = draw_sticks(np.random.default_rng(0), 96, 128)
        >>> image.shape, 4 <= int(labels.max()) <= 9
        ((96, 128, 3), True)
    """
    if count is not None or overlap < 1:
        number = int(rng.integers(4, 10)) if count is None else count
        share = _share(number, 9, height, width)

        def draw(_: int, scale: float) -> Layers:
            lengths = (scale * share**0.5, share**0.25)
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
    """Draw slightly domed discs of one material that overlap.

    Args:
        rng: where everything random comes from.
        height: of the image in pixels.
        width: of the image in pixels.
        count: number of discs, more than 14 being drawn smaller; when None, 5 to 14 are drawn and
            those that are hidden left out.
        overlap: the largest share of a disc that others may hide, 0..1.

    Returns:
        Image `(H, W, 3)` uint8 and labels `(H, W)` of what is seen of each disc.

    Example:
        >>> image, labels = draw_discs(np.random.default_rng(0), 96, 96)
        >>> image.shape, int(labels.max()) > 3
        ((96, 96, 3), True)
    """
    number = int(rng.integers(5, 15)) if count is None else count
    if count is None and overlap == 1:
        return _render(rng, _visible(_disc_layers(rng, number, height, width)))
    share = _share(number, 14, height, width)

    def draw(_: int, scale: float) -> Layers:
        return _disc_layers(rng, 1, height, width, scale * share**0.5)

    return _render(rng, _place(draw, number, (height, width), overlap))


def _share(count: int, usual: int, height: int, width: int) -> float:
    """Area for each object relative to the usual number on 112 x 112 pixels, at most 1."""
    return min(1.0, usual * height * width / (count * 112 * 112))


def _place(
    draw: Callable[[int, float], Layers], count: int, size: tuple[int, int], overlap: float
) -> Layers:
    """Place single shapes below each other so that enough can be seen of each."""

    def locate(one: Layers) -> tuple[tuple[slice, slice], Mask]:
        inside = one.depth[0, _MARGIN:-_MARGIN, _MARGIN:-_MARGIN] > 0
        return (slice(None), slice(None)), inside

    placed, _ = place_downwards(draw, locate, count, size, overlap, MIN_VISIBLE)
    return Layers(
        np.concatenate([one.depth for one in placed]),
        np.concatenate([one.normal for one in placed], axis=1),
        np.concatenate([one.grain for one in placed]),
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
) -> Layers:
    """Draw sticks around the centre, of usual size or a multiple of its length and thickness."""
    y, x = _canvas(height, width)
    side = min(height, width)
    angle = rng.uniform(0, np.pi, count)
    sine, cosine = _column(np.sin(angle)), _column(np.cos(angle))
    down = y - _column(height / 2 + rng.uniform(-spread, spread, count) * height)
    right = x - _column(width / 2 + rng.uniform(-spread, spread, count) * width)
    along = right * cosine + down * sine
    across = down * cosine - right * sine
    # A real stick is never quite straight.
    across = across + _column(rng.normal(0, 0.0004, count)) * along * along
    radius = _column(rng.uniform(2.5, 4.5, count) * thickness)
    half = _column(rng.uniform(0.33, 0.55, count) * side * length)
    beyond = np.maximum(np.abs(along) - half, 0)
    distance = np.sqrt(beyond * beyond + across * across)
    slope = np.clip(across / radius, -1, 1)
    normal = np.stack([slope * cosine, -slope * sine, np.sqrt(1 - slope * slope)])
    return Layers(radius - distance, normal, _grain(rng, along, across))


def _grain(rng: np.random.Generator, along: Floats, across: Floats) -> Floats:
    """Streaks along each stick: brightness from a table that is long in one direction."""
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
) -> Layers:
    """Draw discs of usual size, or of a multiple of it."""
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
    return Layers(radius - distance, normal, speckle)


def _topmost(layers: Layers) -> LabelMap:
    """Number of the uppermost shape at each pixel of the image, 0 where there is none."""
    inside = layers.depth[:, _MARGIN:-_MARGIN, _MARGIN:-_MARGIN] > 0
    order = np.arange(1, len(inside) + 1, dtype=np.int64)[:, None, None]
    top: LabelMap = (inside * order).max(axis=0, initial=0)
    return top


def _visible(layers: Layers) -> Layers:
    """Leave out shapes that are almost covered; what they hid then shows."""
    seen = np.bincount(_topmost(layers).ravel(), minlength=len(layers.depth) + 1)[1:]
    return layers.take(np.flatnonzero(seen >= MIN_VISIBLE))


def _render(rng: np.random.Generator, layers: Layers) -> tuple[Pixels, LabelMap]:
    count, (rows, columns) = len(layers.depth), layers.depth.shape[1:]
    light = _light(rng)
    colours = _colours(rng, count + 1)
    scene = _ground(rng, rows, columns, colours[0])
    shade = _shade(rng, layers, light)
    offset = -np.rint(light[:2] / light[2] * rng.uniform(1.5, 3.5)).astype(int).clip(-4, 4)
    darkness = np.float32(rng.uniform(0.15, 0.5))
    for k in range(count):
        scene *= 1 - darkness * _shadow(layers.depth[k], offset)[..., None]
        cover = np.clip(layers.depth[k] + 0.5, 0, 1)[..., None]
        scene += cover * (shade[k][..., None] * colours[k + 1] - scene)
    image = _photograph(rng, scene)[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN]
    return np.ascontiguousarray(image), _topmost(layers)


def _light(rng: np.random.Generator) -> Floats:
    """Direction towards the lamp (y, x, up), 20 to 55 degrees from the vertical."""
    turn, tilt = rng.uniform(0, 2 * np.pi), rng.uniform(0.35, 0.95)
    level = np.sin(tilt)
    return np.array([level * np.sin(turn), level * np.cos(turn), np.cos(tilt)], np.float32)


def _colours(rng: np.random.Generator, count: int) -> Floats:
    """Colour of the ground, then of each object: one material, each piece a little different."""
    while True:
        ground, material = rng.uniform(0.1, 0.85), rng.uniform(0.35, 0.95)
        if abs(ground - material) > 0.2:
            break
    tint = rng.normal(0, 0.07, (2, 3))
    pieces = material * rng.uniform(0.75, 1.25, (count - 1, 1)) * (1 + tint[1])
    pieces = pieces + rng.normal(0, 0.08, (count - 1, 3))
    colours = np.concatenate([ground * (1 + tint[:1]), pieces])
    clipped: Floats = np.clip(colours, 0.03, 1).astype(np.float32)
    return clipped


def _ground(rng: np.random.Generator, rows: int, columns: int, colour: Floats) -> Floats:
    texture = np.ones((rows, columns), np.float32)
    for cells, most in ((3, 0.12), (14, 0.08), (48, 0.08)):
        amount = np.float32(rng.uniform(0.01, most))
        texture += amount * smooth_noise(rng, (rows, columns), cells)
    ground: Floats = texture[..., None] * colour
    return ground


def _shade(rng: np.random.Generator, layers: Layers, light: Floats) -> Floats:
    """Brightness of every layer: ambient and diffuse light, a highlight, the grain."""
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
    """How far surfaces `(3, K, H, W)` face a direction `(3,)`."""
    facing: Floats = direction[0] * normal[0] + direction[1] * normal[1] + direction[2] * normal[2]
    return facing


def _shadow(depth: Floats, offset: NDArray[np.int64]) -> Floats:
    """Soft shadow `(H, W)` of one shape, 0..1, cast to ``offset`` (y, x) pixels away."""
    rows, columns = depth.shape
    padded = np.pad(depth, _MARGIN, mode="edge")
    y, x = _MARGIN - offset
    soft: Floats = np.clip(padded[y : y + rows, x : x + columns] / 3 + 0.5, 0, 1)
    return soft


def _photograph(rng: np.random.Generator, scene: Floats) -> Pixels:
    """Uneven light, a little blur, sensor noise, 8 bits."""
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
