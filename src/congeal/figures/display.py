"""Conversion of images and embeddings to 8-bit RGB pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from congeal.errors import CongealError

__all__ = ["RGB", "embedding_rgb", "enlarge", "sphere_rgb", "to_display"]

RGB = NDArray[np.uint8]


def _channels(image: ArrayLike) -> NDArray[Any]:
    """Convert to `(H, W, C)` with C = 1 or 3; two channels become red and green, blue is 0."""
    array = np.asarray(image)
    array = array[..., None] if array.ndim == 2 else array
    if array.ndim != 3 or not array.shape[2] or array.dtype.kind not in "biuf":
        raise CongealError(
            f"expected an image (H, W) or (H, W, C) of numbers, got {array.shape} {array.dtype}"
        )
    if array.shape[2] == 2:  # as in the input of the network
        return np.concatenate([array, np.zeros_like(array[..., :1])], axis=2)
    return array[..., :3]


def to_display(image: ArrayLike, low: float = 1.0, high: float = 99.8) -> RGB:
    """Turn an image of any number type into a picture `(H, W, 3)`, uint8.

    8-bit images are not changed unless they are dark (percentile ``high`` below 110). All others
    are stretched between two percentiles. Constant images and NaN become black.

    Args:
        image: `(H, W)` or `(H, W, C)`. Two channels become red and green; of more than three, the
            first three are shown.
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
        # Stretching less than 16 levels of 8 bits would show only noise.
        span = 16.0 if array.dtype == np.uint8 else 1e-12
        array = _stretch(array.astype(np.float64), low, high, span)
    return np.broadcast_to(array, (*array.shape[:2], 3)).copy()


def _is_dark(array: NDArray[Any], high: float) -> bool:
    return array.size > 0 and float(np.percentile(array, high)) < 110


def _stretch(values: NDArray[np.float64], low: float, high: float, span: float) -> RGB:
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return np.zeros(values.shape, np.uint8)
    bottom, top = np.percentile(finite, [low, high])
    scaled = (np.nan_to_num(values, nan=bottom, posinf=top, neginf=bottom) - bottom) / max(
        top - bottom, span
    )
    shown: RGB = (np.clip(scaled, 0, 1) * 255 + 0.5).astype(np.uint8)
    return shown


def enlarge(picture: RGB, side: int = 512) -> RGB:
    """Enlarge a picture `(H, W, 3)` by a whole factor, to a longer side of at most ``side``.

    Example:
        >>> enlarge(np.zeros((96, 128, 3), np.uint8)).shape
        (384, 512, 3)
    """
    times = max(1, side // max(1, *picture.shape[:2]))
    larger: RGB = picture.repeat(times, 0).repeat(times, 1)
    return larger


def embedding_rgb(embedding: ArrayLike, mask: ArrayLike | None = None) -> RGB:
    """Show an embedding as colours: its first three principal components as red, green, blue.

    Args:
        embedding: `(D, H, W)`, any D from 1 up.
        mask: pixels to use and to show, `(h, w)` of any size (resized by nearest neighbour); the
            others are black. None: all.

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


def sphere_rgb(embedding: ArrayLike, seed: int = 0) -> RGB:
    """Show unit vectors as colours, with the same mapping for every picture.

    Coordinates from -1 to 1 become 0 to 255 of red, green and blue. For D > 3 the vectors are first
    projected to three random orthogonal axes and scaled by sqrt(D / 3), so that the variance of
    random directions is as in three dimensions.

    Args:
        embedding: `(D, H, W)` unit vectors, D from 1 up.
        seed: of the random axes.

    Returns:
        The picture `(H, W, 3)`, uint8.

    Raises:
        CongealError: the embedding is not `(D, H, W)`.

    Example:
        >>> sphere_rgb([[[1.0, 0.0]], [[0.0, -1.0]], [[0.0, 0.0]]]).tolist()
        [[[255, 127, 127], [127, 0, 127]]]
    """
    field = np.nan_to_num(np.asarray(embedding, np.float64))
    if field.ndim != 3 or field.shape[0] == 0:
        raise CongealError(f"expected an embedding (D, H, W), got {field.shape}")
    count = field.shape[0]
    axes = np.eye(3, count)
    if count > 3:
        drawn = np.random.default_rng(seed).normal(size=(count, 3))
        axes = np.linalg.qr(drawn)[0].T * np.sqrt(count / 3)
    values = np.einsum("cd,dhw->hwc", axes, field)
    colours: RGB = (np.clip((values + 1) / 2, 0, 1) * 255).astype(np.uint8)
    return colours


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
    """Project vectors `(P, D)` to three principal components, each scaled to 30..255 `(P, 3)`."""
    sample = vectors[:: max(1, len(vectors) // 100_000)]
    centred = sample - sample.mean(0)
    _, directions = np.linalg.eigh(centred.T @ centred)
    main = directions[:, ::-1][:, :3]
    # The sign of an eigenvector is arbitrary; fix it, so that results are reproducible.
    main = main * np.sign(main[np.abs(main).argmax(0), np.arange(main.shape[1])])
    values = np.zeros((len(vectors), 3))
    values[:, : main.shape[1]] = (vectors - sample.mean(0)) @ main
    bottom, top = np.percentile(values, [1, 99], axis=0)
    scaled = (values - bottom) / np.maximum(top - bottom, 1e-9)
    flat = top - bottom < 1e-9
    scaled[:, flat] = 0.5
    colours: RGB = (np.clip(scaled, 0, 1) * 225 + 30.5).astype(np.uint8)
    return colours
