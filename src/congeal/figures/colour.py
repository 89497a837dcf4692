"""Label maps, images and embeddings as pictures that can be read at a glance."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from congeal.errors import CongealError
from congeal.figures.palette import BASE, palette, spread_colours

__all__ = [
    "colour_labels",
    "embedding_rgb",
    "enlarge",
    "label_colours",
    "outline",
    "overlay",
    "to_display",
]

RGB = NDArray[np.uint8]
VOID = np.array([128, 128, 128], np.uint8)


def label_colours(n: int, seed: int = 0) -> RGB:
    """Give ``n`` colours `(n, 3)`, 0 to 255; the first 24 stay apart, later ones vary them.

    Example:
        >>> label_colours(5).shape
        (5, 3)
    """
    generator = np.random.default_rng(seed)
    order = np.arange(BASE) if seed == 0 else generator.permutation(BASE)
    index = np.arange(n)
    base = palette()[order[index % BASE]].astype(np.int64)
    vary = generator.integers(-28, 29, (n, 3)) * (index >= BASE)[:, None]
    return np.clip(base + vary, 0, 255).astype(np.uint8)


def _check_map(labels: ArrayLike) -> NDArray[np.int64]:
    array = np.asarray(labels)
    if array.ndim != 2 or array.dtype.kind not in "iub":
        raise CongealError(
            f"expected a label map (H, W) of integers, got {array.shape} {array.dtype}"
        )
    return array.astype(np.int64)


def _consecutive(labels: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give the ids present and the map with ids replaced by 1..N; background and void become 0."""
    positive = np.maximum(labels, 0)
    ids, inverse = np.unique(positive, return_inverse=True)
    first = 0 if len(ids) and ids[0] == 0 else 1
    return ids[ids > 0], inverse.reshape(labels.shape) + first


def _touching(labels: NDArray[np.int64], reach: int = 3) -> NDArray[np.int64]:
    """List pairs of ids `(P, 2)` that come within ``reach`` pixels of each other."""
    height, width = labels.shape
    found = [np.zeros(0, np.int64)]
    n = int(labels.max(initial=0)) + 1
    for step in range(1, reach + 1):
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


def _object_colours(ids: NDArray[np.int64], dense: NDArray[np.int64], seed: int) -> RGB:
    """Choose the colours `(N + 1, 3)` of a map with ids 0..N so that neighbours differ."""
    wanted = (ids * 7 + seed) % BASE
    chosen = spread_colours(wanted, _touching(dense) - 1)
    return np.concatenate([np.zeros((1, 3), np.uint8), palette()[chosen]])


def colour_labels(labels: ArrayLike, seed: int = 0) -> RGB:
    """Paint each object of a label map in a colour that its neighbours do not have.

    Background is black and void (negative) is gray. An object mostly keeps its colour between
    maps, since the colour follows its id unless a neighbour already looks like that.

    Args:
        labels: label map `(H, W)`, 0 background, negative void.
        seed: another number gives another colouring.

    Returns:
        The picture `(H, W, 3)`, uint8.

    Raises:
        CongealError: the map is not two-dimensional or not of integers.

    Example:
        >>> colour_labels(np.array([[0, 1], [2, 2]])).shape
        (2, 2, 3)
    """
    checked = _check_map(labels)
    ids, dense = _consecutive(checked)
    picture = _object_colours(ids, dense, seed)[dense]
    picture[checked < 0] = VOID
    return picture


def outline(labels: ArrayLike, thickness: int = 1) -> NDArray[np.bool_]:
    """Mark the pixels `(H, W)` of objects that lie within ``thickness`` of another label.

    The lines run inside the objects, so that two objects that touch keep one line each, and are
    not drawn along the border of the image.

    Raises:
        CongealError: the map is not two-dimensional or not of integers.

    Example:
        >>> outline(np.array([[0, 1, 1, 1, 0]])).tolist()
        [[False, True, False, True, False]]
    """
    checked = _check_map(labels)
    inside = checked > 0
    line = np.zeros(checked.shape, bool)
    # Steps along the axes, and half as far along the diagonals, make lines of even width.
    for dy, dx in _ring(thickness):
        shifted = _shift(checked, dy, dx)
        line |= inside & (shifted != checked)
    return line


def _ring(thickness: int) -> list[tuple[int, int]]:
    reach = range(-thickness, thickness + 1)
    return [(y, x) for y in reach for x in reach if 0 < y * y + x * x <= thickness * thickness]


def _shift(labels: NDArray[np.int64], dy: int, dx: int) -> NDArray[np.int64]:
    """Look ``(dy, dx)`` away from every pixel, staying inside the image."""
    rows = np.clip(np.arange(labels.shape[0]) + dy, 0, max(labels.shape[0] - 1, 0))
    columns = np.clip(np.arange(labels.shape[1]) + dx, 0, max(labels.shape[1] - 1, 0))
    return labels[rows][:, columns]


def line_width(shape: tuple[int, ...]) -> int:
    """Choose the width in pixels of lines that still show when the whole picture is on a screen.

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
) -> RGB:
    """Draw a label map over its image: tinted objects with crisp outlines.

    Args:
        image: `(H, W)` or `(H, W, C)` with one or three channels, any number type.
        labels: label map `(H, W)`, 0 background, negative void (shown gray).
        alpha: strength of the tint, 0 (none) to 1 (opaque).
        outlines: draw the outline of every object in its full colour.
        seed: another number gives another colouring.

    Returns:
        The picture `(H, W, 3)`, uint8.

    Raises:
        CongealError: image and labels differ in size, or are not a picture and a label map.

    Example:
        >>> image, labels = np.zeros((4, 4), np.uint8), np.eye(4, dtype=int)
        >>> overlay(image, labels).shape
        (4, 4, 3)
    """
    shown, checked = to_display(image), _check_map(labels)
    if shown.shape[:2] != checked.shape:
        raise CongealError(
            f"expected labels of the image's size {shown.shape[:2]}, got {checked.shape}"
        )
    colours = colour_labels(checked, seed)
    mixed = shown * (1 - alpha) + colours * alpha
    picture = np.where((checked != 0)[..., None], mixed.round(), shown).astype(np.uint8)
    if outlines:
        line = outline(checked, line_width(checked.shape))
        picture[line] = colours[line]
    return picture


def _channels(image: ArrayLike) -> NDArray[Any]:
    """Bring an image to `(H, W, C)` with one or three channels."""
    array = np.asarray(image)
    array = array[..., None] if array.ndim == 2 else array
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or array.dtype.kind not in "biuf":
        raise CongealError(
            "expected an image (H, W), (H, W, 1) or (H, W, 3) of numbers, "
            f"got {array.shape} {array.dtype}"
        )
    return array[..., :3]


def to_display(image: ArrayLike, low: float = 1.0, high: float = 99.8) -> RGB:
    """Turn an image of any number type into a picture `(H, W, 3)`, uint8.

    Eight-bit images are shown as they are, unless so dark that nothing would be seen; others are
    stretched between two percentiles. A constant image is black; NaN is black too.

    Args:
        image: `(H, W)` or `(H, W, C)` with C = 1, 3 or 4 (alpha is left out).
        low: percentile that becomes black.
        high: percentile that becomes white.

    Raises:
        CongealError: the array is not an image.

    Example:
        >>> to_display(np.array([[0.0, 0.5, 1.0]]), 0, 100)[0, :, 0].tolist()
        [0, 128, 255]
    """
    array = _channels(image)
    if array.dtype == bool:
        array = array.astype(np.uint8) * 255
    if array.dtype != np.uint8 or _is_dark(array, high):
        array = _stretch(array.astype(np.float64), low, high)
    return np.broadcast_to(array, (*array.shape[:2], 3)).copy()


def _is_dark(array: NDArray[Any], high: float) -> bool:
    return array.size > 0 and float(np.percentile(array, high)) < 110


def _stretch(values: NDArray[np.float64], low: float, high: float) -> RGB:
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return np.zeros(values.shape, np.uint8)
    bottom, top = np.percentile(finite, [low, high])
    scaled = (np.nan_to_num(values, nan=bottom) - bottom) / max(top - bottom, 1e-12)
    return (np.clip(scaled, 0, 1) * 255 + 0.5).astype(np.uint8)


def enlarge(picture: RGB, side: int = 512) -> RGB:
    """Repeat the pixels of a small picture `(H, W, 3)` until its longer side reaches ``side``.

    Example:
        >>> enlarge(np.zeros((96, 128, 3), np.uint8)).shape
        (384, 512, 3)
    """
    times = max(1, side // max(1, *picture.shape[:2]))
    return picture.repeat(times, 0).repeat(times, 1)


def embedding_rgb(embedding: ArrayLike, mask: ArrayLike | None = None) -> RGB:
    """Show an embedding as colours: its three main directions of variation as red, green, blue.

    Args:
        embedding: `(D, H, W)`, any D from 1 up.
        mask: pixels to look at and to show `(h, w)`, of any size (nearest pixel is taken); the
            rest is black. Without it all pixels count.

    Returns:
        The picture `(H, W, 3)`, uint8.

    Raises:
        CongealError: the embedding is not `(D, H, W)`.

    Example:
        >>> embedding_rgb(np.random.default_rng(0).normal(size=(8, 5, 6))).shape
        (5, 6, 3)
    """
    field = np.nan_to_num(np.asarray(embedding, np.float64))
    if field.ndim != 3 or field.shape[0] == 0:
        raise CongealError(f"expected an embedding (D, H, W), got {field.shape}")
    shown = _fit_mask(mask, field.shape[1:])
    picture = np.zeros((*field.shape[1:], 3), np.uint8)
    if shown.any():
        picture[shown] = _principal(field[:, shown].T)
    return picture


def _fit_mask(mask: ArrayLike | None, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    if mask is None:
        return np.ones(shape, bool)
    given = np.asarray(mask) > 0
    rows, columns = (
        (np.arange(to) * 2 + 1) * have // (2 * to)
        for to, have in zip(shape, given.shape, strict=True)
    )
    return given[np.ix_(rows, columns)]


def _principal(vectors: NDArray[np.float64]) -> RGB:
    """Project vectors `(P, D)` to three directions and stretch each to 0..255 `(P, 3)`."""
    sample = vectors[:: max(1, len(vectors) // 100_000)]
    centred = sample - sample.mean(0)
    _, directions = np.linalg.eigh(centred.T @ centred)
    main = directions[:, ::-1][:, :3]
    # The sign of an eigenvector is arbitrary; fixed, the same embedding has the same picture.
    main = main * np.sign(main[np.abs(main).argmax(0), np.arange(main.shape[1])])
    values = np.zeros((len(vectors), 3))
    values[:, : main.shape[1]] = (vectors - sample.mean(0)) @ main
    bottom, top = np.percentile(values, [1, 99], axis=0)
    scaled = (values - bottom) / np.maximum(top - bottom, 1e-9)
    flat = top - bottom < 1e-9
    scaled[:, flat] = 0.5
    return (np.clip(scaled, 0, 1) * 225 + 30.5).astype(np.uint8)
