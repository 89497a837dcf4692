"""Label maps as pictures: colours, outlines, and overlays on their images."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from congeal.errors import CongealError
from congeal.figures.display import RGB, embedding_rgb, enlarge, to_display
from congeal.figures.palette import BASE, palette, spread_colours
from congeal.labels import areas, check_labels, relabel

__all__ = [
    "RGB",
    "colour_labels",
    "embedding_rgb",
    "enlarge",
    "label_colours",
    "outline",
    "overlay",
    "to_display",
]

BRIGHT = 150
"""Mean gray value from which a background counts as bright."""

DARKENED = 0.7
"""Factor on the brightness of lines over a bright background."""

VOID = np.array([128, 128, 128], np.uint8)


def label_colours(n: int, seed: int = 0) -> RGB:
    """Give ``n`` colours `(n, 3)`, 0 to 255: 20 distinct ones, then random variations of them.

    Example:
        >>> label_colours(5).shape
        (5, 3)
    """
    generator = np.random.default_rng(seed)
    order = np.arange(BASE) if seed == 0 else generator.permutation(BASE)
    index = np.arange(n)
    base = palette()[order[index % BASE]].astype(np.int64)
    vary = generator.integers(-28, 29, (n, 3)) * (index >= BASE)[:, None]
    colours: RGB = np.clip(base + vary, 0, 255).astype(np.uint8)
    return colours


def check_map(labels: ArrayLike) -> NDArray[np.int64]:
    """Give a label map of an image as int64 `(H, W)`.

    Raises:
        CongealError: it is not a label map, or not two-dimensional.

    Example:
        >>> check_map([[0, 1]]).dtype
        dtype('int64')
    """
    checked = check_labels(labels)
    if checked.ndim != 2:
        raise CongealError(f"expected a label map (H, W), got shape {checked.shape}")
    return checked


def _touching(labels: NDArray[np.int64], radius: int = 3) -> NDArray[np.int64]:
    """List pairs of ids `(P, 2)` of objects within ``radius`` pixels of each other."""
    height, width = labels.shape
    found = [np.zeros(0, np.int64)]
    n = int(labels.max(initial=0)) + 1
    for step in range(1, radius + 1):
        for dy, dx in ((0, step), (step, 0), (step, step), (step, -step)):
            if dy >= height or abs(dx) >= width:
                continue
            one = labels[: height - dy, max(0, -dx) : width - max(0, dx)]
            two = labels[dy:, max(0, dx) : width - max(0, -dx)]
            touch = (one != two) & (one > 0) & (two > 0)
            a, b = one[touch], two[touch]
            found.append(np.unique(np.minimum(a, b) * n + np.maximum(a, b)))
    keys = np.unique(np.concatenate(found))
    return np.stack([keys // n, keys % n], 1)


def _map_colours(labels: NDArray[np.int64], seed: int) -> RGB:
    """Choose the colours `(N, 3)` of the objects of a map so that neighbours differ."""
    ids, _ = areas(labels)
    chosen = spread_colours((ids * 7 + seed) % BASE, _touching(relabel(labels)) - 1)
    colours: RGB = palette()[chosen]
    return colours


def object_colours(labels: ArrayLike, count: int, seed: int = 0) -> RGB:
    """Give the colours `(count, 3)` that :func:`colour_labels` uses for the ids 1..count.

    Example:
        >>> object_colours(np.array([[1, 2]]), 3).shape
        (3, 3)
    """
    checked = check_map(labels)
    colours: RGB = palette()[(np.arange(1, count + 1) * 7 + seed) % BASE]
    colours[areas(checked)[0] - 1] = _map_colours(checked, seed)
    return colours


def colour_labels(labels: ArrayLike, seed: int = 0) -> RGB:
    """Paint each object of a label map in a colour that differs from those of its neighbours.

    Background is black and void (negative) is gray. The colour depends on the id, unless a
    neighbour has a similar one; so an object mostly has the same colour in several maps.

    Args:
        labels: label map `(H, W)`, 0 background, negative void.
        seed: selects the colours.

    Returns:
        The picture `(H, W, 3)`, uint8.

    Raises:
        CongealError: the map is not two-dimensional or not of integers.

    Example:
        >>> colour_labels(np.array([[0, 1], [2, 2]])).shape
        (2, 2, 3)
    """
    checked = check_map(labels)
    table = np.concatenate([np.zeros((1, 3), np.uint8), _map_colours(checked, seed)])
    picture: RGB = table[np.maximum(relabel(checked), 0)]
    picture[checked < 0] = VOID
    return picture


def outline(labels: ArrayLike, thickness: int = 1) -> NDArray[np.bool_]:
    """Mark the pixels `(H, W)` of objects within ``thickness`` pixels of another label.

    Lines are inside the objects, so two objects that touch have one line each. There is no line
    along the border of the image.

    Raises:
        CongealError: the map is not two-dimensional or not of integers.

    Example:
        >>> outline(np.array([[0, 1, 1, 1, 0]])).tolist()
        [[False, True, False, True, False]]
    """
    checked = check_map(labels)
    line = np.zeros(checked.shape, bool)
    for one, two in ((np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:])):
        edge = checked[one] != checked[two]
        line[one] |= edge
        line[two] |= edge
    line &= checked > 0
    # Dilation alternates between 4 and 8 neighbours, for lines of even width. It cannot jump to
    # another object, because the outermost pixels of each object are marked already.
    for step in range(thickness - 1):
        line = ndimage.binary_dilation(line, ndimage.generate_binary_structure(2, 1 + step % 2))
        line &= checked > 0
    return line


def line_width(shape: tuple[int, ...]) -> int:
    """Choose the line width in pixels: 1 per 800 pixels of the longer side, at least 1.

    Example:
        >>> line_width((256, 256)), line_width((2400, 1200))
        (1, 3)
    """
    return max(1, round(max(shape[:2]) / 800))


def overlay(
    image: ArrayLike,
    labels: ArrayLike,
    alpha: float = 0.3,
    outlines: bool = True,
    *,
    seed: int = 0,
    scale: int = 1,
) -> RGB:
    """Draw a label map over its image: tinted objects with crisp outlines.

    Args:
        image: `(H, W)` or `(H, W, C)` with one or three channels, any number type.
        labels: label map `(H, W)`, 0 background, negative void (shown gray).
        alpha: strength of the tint, 0 (none) to 1 (opaque).
        outlines: draw the outline of every object in its full colour.
        seed: selects the colours.
        scale: factor by which the image is enlarged first; lines of small images look thinner.

    Returns:
        The picture `(scale * H, scale * W, 3)`, uint8.

    Raises:
        CongealError: image and labels differ in size, or one of them is invalid.

    Example:
        >>> image, labels = np.zeros((4, 4), np.uint8), np.eye(4, dtype=int)
        >>> overlay(image, labels).shape
        (4, 4, 3)
    """
    shown, checked = to_display(image), check_map(labels)
    if shown.shape[:2] != checked.shape:
        raise CongealError(
            f"expected labels of the image's size {shown.shape[:2]}, got {checked.shape}"
        )
    colours = colour_labels(checked, seed)
    if scale > 1:
        shown, colours = (a.repeat(scale, 0).repeat(scale, 1) for a in (shown, colours))
        checked = checked.repeat(scale, 0).repeat(scale, 1)
    mixed = shown * (1 - alpha) + colours * alpha
    picture = np.where((checked != 0)[..., None], mixed.round(), shown).astype(np.uint8)
    if outlines:
        line = outline(checked, line_width(checked.shape))
        picture[line] = _line_colours(colours[line], shown[line], checked[line])
    return picture


def _line_colours(colours: RGB, background: RGB, labels: NDArray[np.int64]) -> RGB:
    """Darken the lines `(P, 3)` of objects whose lines have a bright background on average."""
    _, index = np.unique(labels, return_inverse=True)
    mean = np.bincount(index, background.mean(1)) / np.maximum(np.bincount(index), 1)
    strength = np.where(mean[index] > BRIGHT, DARKENED, 1.0)
    return np.asarray(colours * strength[:, None]).astype(np.uint8)


def on_background(line: RGB, background: RGB) -> RGB:
    """Darken the colour `(3,)` of a line if the pixels `(P, 3)` under it are bright on average.

    Example:
        >>> on_background(
        ...     np.array([100, 200, 0], np.uint8), np.full((4, 3), 255, np.uint8)
        ... ).tolist()
        [70, 140, 0]
    """
    bright = background.size > 0 and float(background.mean()) > BRIGHT
    return np.asarray(line * (DARKENED if bright else 1.0)).astype(np.uint8)
