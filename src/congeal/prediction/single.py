"""Segmenting one image."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from congeal.data.images import read_image
from congeal.errors import CongealError
from congeal.models.folder import load
from congeal.segmentation import Segmentation, Segmenter

__all__ = ["Model", "as_segmenter", "segment"]


Model: TypeAlias = str | Path | Segmenter


def segment(
    model: Model, image: NDArray[Any] | str | Path, *, device: str = "auto"
) -> Segmentation:
    """Find the objects of one image.

    Args:
        model: a model, its folder, or the name of a shipped one.
        image: `(H, W)` or `(H, W, C)` with gray, RGB or RGBA values, or the path of an image.
        device: where a model given by path or name runs.

    Raises:
        CongealError: there is no such model or image, or the image is not one.

    Example:
        >>> import congeal
        >>> segment(congeal.RPE(), np.zeros((20, 30), np.uint8)).shape
        (20, 30)
    """
    pixels = read_image(image) if isinstance(image, str | Path) else as_image(image)
    return as_segmenter(model, device).segment(pixels)


def as_segmenter(
    model: Model, device: str = "auto", settings: Mapping[str, Any] | None = None
) -> Segmenter:
    """Load a model given by path or name; give any other back as it is.

    Args:
        model: a model, its folder, or the name of a shipped one.
        device: where a model given by path or name runs.
        settings: of the read-out of a model given by path or name.

    Raises:
        CongealError: there is no such model, or it cannot segment.

    Example:
        >>> as_segmenter(3)
        Traceback (most recent call last):
        ...
        congeal.errors.CongealError: expected a model, its folder or its name, got int
    """
    if isinstance(model, str | Path):
        loaded: Segmenter = load(model, device=device, settings=settings)
        return loaded
    if not isinstance(model, Segmenter):
        raise CongealError(f"expected a model, its folder or its name, got {type(model).__name__}")
    return model


def as_image(pixels: NDArray[Any]) -> NDArray[Any]:
    """Bring an array to the form images are read in: `(H, W, C)`, C = 1 or 3.

    Alpha is dropped; types other than uint8, uint16 and float32 become float32.

    Raises:
        CongealError: it has another shape, holds no numbers, no pixel, or NaN or infinity.

    Example:
        >>> as_image(np.zeros((4, 5, 4))).shape
        (4, 5, 3)
    """
    array = np.asarray(pixels)
    array = array[..., None] if array.ndim == 2 else array
    if array.ndim != 3 or array.shape[2] not in (1, 2, 3, 4) or not array.size:
        raise CongealError(f"expected an image (H, W) or (H, W, C), got shape {np.shape(pixels)}")
    if array.dtype.kind not in "biuf":
        raise CongealError(f"expected an image of numbers, got {array.dtype}")
    array = array[..., : 1 if array.shape[2] <= 2 else 3]
    if array.dtype not in (np.uint8, np.uint16, np.float32):
        array = array.astype(np.float32)
    if array.dtype == np.float32 and not np.isfinite(array).all():
        raise CongealError("expected finite pixels, the image has NaN or infinite values")
    return np.ascontiguousarray(array)
