"""From an image to the input of a network: scaling of intensities, gamma, padding, eval mode."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from congeal.data.intensity import Bounds, scale_intensity
from congeal.errors import CongealError, quoted
from congeal.methods.sections import ImageSettings

__all__ = ["apply_gamma", "as_array", "evaluation_mode", "network_input", "pad_to"]

_LOCK = threading.Lock()
_PREDICTING: WeakKeyDictionary[nn.Module, int] = WeakKeyDictionary()  # number of threads by model


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Switch a model to evaluation mode inside the block.

    Several threads may use it at once; the last one restores the training mode.

    Args:
        model: any module.

    Example:
        >>> model = nn.Dropout().train()
        >>> with evaluation_mode(model):
        ...     inside = model.training
        >>> inside, model.training
        (False, True)
    """
    with _LOCK:
        if model not in _PREDICTING and not model.training:
            restore = False
        else:
            restore = True
            _PREDICTING[model] = _PREDICTING.get(model, 0) + 1
            model.eval()
    try:
        yield
    finally:
        if restore:
            _leave(model)


def _leave(model: nn.Module) -> None:
    with _LOCK:
        _PREDICTING[model] -= 1
        if not _PREDICTING[model]:
            del _PREDICTING[model]
            model.train()


def as_array(image: Any) -> NDArray[Any]:
    """An image as an array.

    Raises:
        CongealError: it is the name of a file.
    """
    if isinstance(image, str | PathLike):
        raise CongealError(
            f"expected an array (H, W) or (H, W, C), got {quoted(image)}; congeal.segment reads "
            "files"
        )
    return np.asarray(image)


def apply_gamma(image: Tensor, gamma: float) -> Tensor:
    """Intensities to the power of gamma, negative ones clipped to 0; gamma 1 changes nothing.

    Args:
        image: any shape.
        gamma: below 1 brightens dark parts.

    Example:
        >>> import torch
        >>> apply_gamma(torch.tensor([-0.5, 0.25, 1.0]), 0.5).tolist()
        [0.0, 0.5, 1.0]
    """
    return image if gamma == 1 else image.clamp_min(0) ** gamma


def network_input(
    image: NDArray[Any], settings: ImageSettings, bounds: Bounds | None = None
) -> Tensor:
    """Scale the intensities of an image for the network.

    Args:
        image: ``(H, W)`` or ``(H, W, C)``, any real type.
        settings: percentiles and channels.
        bounds: intensities of the whole image that become 0 and 1, if this is a tile.

    Returns:
        ``(settings.input_channels, H, W)`` float32 in [0, 1.5].

    Raises:
        CongealError: the array is no image, or has another number of channels.

    Example:
        >>> import numpy as np
        >>> tuple(network_input(np.zeros((4, 5), np.uint8), ImageSettings()).shape)
        (3, 4, 5)
    """
    pixels = scale_intensity(image, *settings.percentiles, bounds)
    if len(pixels) == settings.input_channels:
        return pixels
    chosen = settings.channels
    expected = "gray or RGB" if chosen is None else f"{len(chosen)} channels"
    raise CongealError(
        f"expected an image of {expected} for the network, got {image.shape[2]} channels; choose "
        "with --channels (channels= in Python)"
    )


def pad_to(image: Tensor, divisor: int) -> Tensor:
    """Pad ``(B, C, H, W)`` on the right and below, by replication, to multiples of ``divisor``."""
    sides = (0, -image.shape[3] % divisor, 0, -image.shape[2] % divisor)
    return functional.pad(image, sides, mode="replicate")
