"""Segmenting one image, or a few in memory."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from glob import has_magic
from pathlib import Path
from typing import Any, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from congeal.data.images import as_image as as_stored
from congeal.data.images import expand_images, read_image
from congeal.data.pixel_size import read_pixel_size
from congeal.errors import CongealError
from congeal.models import forks as forks  # before the first computation
from congeal.models.channels import stored_channels
from congeal.models.folder import load
from congeal.models.pixel_size import UNITS_ONLY, resize_factor, trained_pixel_size
from congeal.prediction.tiled import Tiling, segment_image
from congeal.segmentation import Segmentation, Segmenter
from congeal.segmentation.scale import Scale
from congeal.segmentation.source import Source

__all__ = ["Model", "as_segmenter", "segment"]


Model: TypeAlias = str | Path | Segmenter


@overload
def segment(
    model: Model,
    image: Sequence[NDArray[Any] | str | Path],
    *,
    device: str = "auto",
    channels: Sequence[int] | None = None,
    tile: int | None = None,
    overlap: int | None = None,
    pixel_size: float | None = None,
) -> list[Segmentation]: ...
@overload
def segment(
    model: Model,
    image: NDArray[Any],
    *,
    device: str = "auto",
    channels: Sequence[int] | None = None,
    tile: int | None = None,
    overlap: int | None = None,
    pixel_size: float | None = None,
) -> Segmentation: ...
@overload
def segment(
    model: Model,
    image: str | Path,
    *,
    device: str = "auto",
    channels: Sequence[int] | None = None,
    tile: int | None = None,
    overlap: int | None = None,
    pixel_size: float | None = None,
) -> Any: ...
def segment(
    model: Model,
    image: NDArray[Any] | str | Path | Sequence[NDArray[Any] | str | Path],
    *,
    device: str = "auto",
    channels: Sequence[int] | None = None,
    tile: int | None = None,
    overlap: int | None = None,
    pixel_size: float | None = None,
) -> Segmentation | list[Segmentation]:
    """Find the objects of one image, or of several.

    Args:
        model: a model, its folder, or the name of a shipped one.
        image: `(H, W)` or `(H, W, C)` with gray or RGB values, or the path of an image: one
            result. A list of these, or a folder or pattern of images: a list of results in the
            order given, a folder's in natural order.
        device: where a model given by path or name runs.
        channels: which channels of the images to take, from 0, in this order; None: those that
            the model was trained on. Needed for a model of gray or RGB images where there are
            others, such as alpha in an array.
        tile: side in pixels of the tiles that larger images are cut into; None: whole images
            where they fit in memory, else as large as memory allows.
        overlap: of neighbouring tiles in pixels, larger than most objects; None: it follows from
            the sizes of the objects.
        pixel_size: micrometres per pixel; None: what the file of an image tells. Where the model
            stores the size of its training, the image is resized to it for the network; the
            result is at its own size.

    Returns:
        The objects; ``result.source`` knows the image, so that ``result.save("x_overlay.png")``
        draws over it and ``result.save("x.json")`` tells its name.

    Raises:
        CongealError: there is no such model or image, it is not one, or there is not the memory
            for it.

    Example:
        >>> import congeal
        >>> segment(congeal.RPE(), np.zeros((20, 30), np.uint8)).shape
        (20, 30)
        >>> [found.shape for found in segment(congeal.RPE(), [np.zeros((20, 30), np.uint8)])]
        [(20, 30)]
    """
    channels = stored_channels(model) if channels is None else channels
    tiling = Tiling(tile, overlap)
    Scale(pixel_size)
    loaded = as_segmenter(model, device)
    if pixel_size is not None and trained_pixel_size(loaded) is None:
        warnings.warn(UNITS_ONLY, stacklevel=2)
    if isinstance(image, str | Path) and not _means_many(image):
        return _segment_one(loaded, image, tiling, pixel_size, channels)
    if isinstance(image, str | Path):
        image = expand_images([image])
    if isinstance(image, list | tuple):
        if not image:
            raise CongealError("expected images, got an empty list")
        given = [
            one if isinstance(one, str | Path) else _given_image(one, channels) for one in image
        ]
        return [_segment_one(loaded, one, tiling, pixel_size, channels) for one in given]
    return _segment_one(loaded, _given_image(image, channels), tiling, pixel_size)


def _means_many(path: str | Path) -> bool:
    return Path(path).is_dir() or (not Path(path).exists() and has_magic(str(path)))


def _given_image(pixels: Any, channels: Sequence[int] | None) -> NDArray[Any]:
    if not isinstance(pixels, np.ndarray) and not hasattr(pixels, "__array__"):
        kind = type(pixels).__name__
        raise CongealError(f"expected an image as an array (H, W[, C]) or a path, got {kind}")
    return as_image(pixels, channels)


def _segment_one(
    model: Segmenter,
    image: NDArray[Any] | str | Path,
    tiling: Tiling,
    pixel_size: float | None,
    channels: Sequence[int] | None = None,
) -> Segmentation:
    """Segment a file, or pixels of which the channels are chosen already."""
    if isinstance(image, str | Path):
        # Read again when wanted, so that many results need no memory for their images.
        size = read_pixel_size(image) if pixel_size is None else pixel_size
        source = Source(Path(image).name, partial(read_image, image, channels), size)
    else:
        source = Source("image.png", partial(np.asarray, image), pixel_size)
    factor = resize_factor(model, source.pixel_size)
    result, _ = segment_image(model, source.pixels(), tiling, factor=factor)
    result.source = source
    return result


def as_segmenter(
    model: Model, device: str = "auto", settings: Mapping[str, Any] | None = None
) -> Segmenter:
    """Load a model given by path or name; give any other back as it is.

    Args:
        model: a model, its folder, or the name of a shipped one.
        device: where a model given by path or name runs.
        settings: of the decoding of a model given by path or name.

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


def as_image(pixels: NDArray[Any], channels: Sequence[int] | None = None) -> NDArray[Any]:
    """Bring an array to the form images are read in: `(H, W, C)`, C = 1 or 3 unless chosen.

    No channel is left out unasked: an array does not say which of them is alpha. Types other than
    uint8, uint16 and float32 become float32.

    Raises:
        CongealError: it has another shape or other channels, holds no numbers, no pixel, or NaN or
            infinity.

    Example:
        >>> as_image(np.zeros((4, 5, 4)), channels=[0, 1, 2]).shape
        (4, 5, 3)
    """
    array = np.asarray(pixels)
    if array.ndim not in (2, 3) or not array.size:
        raise CongealError(
            f"expected an image (H, W) or (H, W, C), got shape {np.shape(pixels)}; give several "
            "images as a list"
        )
    return np.ascontiguousarray(as_stored(array, "the array", channels))
