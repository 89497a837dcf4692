"""From an image to the input of a network in evaluation mode."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from congeal.data.intensity import Bounds, scale_intensity
from congeal.errors import CongealError
from congeal.methods.sections import ImageSettings

__all__ = ["evaluation_mode", "lift_dark", "network_input", "pad_to"]

_LOCK = threading.Lock()
_PREDICTING: WeakKeyDictionary[nn.Module, int] = WeakKeyDictionary()  # threads in a prediction


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Hold a model in evaluation mode; the last of several threads restores the training mode.

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


def lift_dark(image: Tensor, gamma: float) -> Tensor:
    """Raise intensities to the power of gamma, those below 0 taken for 0; as it is for 1.

    Example:
        >>> import torch
        >>> lift_dark(torch.tensor([-0.5, 0.25, 1.0]), 0.5).tolist()
        [0.0, 0.5, 1.0]
    """
    return image if gamma == 1 else image.clamp_min(0) ** gamma


def network_input(
    image: NDArray[Any], settings: ImageSettings, bounds: Bounds | None = None
) -> Tensor:
    """Scale an image ``(H, W)`` or ``(H, W, C)`` for the network, ``(planes, H, W)`` in [0, 1.5].

    Args:
        image: any real type.
        settings: percentiles and channels.
        bounds: of the whole image, where this is a part of one.

    Raises:
        CongealError: the array is no image, or has other channels than the network takes.

    Example:
        >>> import numpy as np
        >>> tuple(network_input(np.zeros((4, 5), np.uint8), ImageSettings()).shape)
        (3, 4, 5)
    """
    pixels = scale_intensity(image, *settings.percentiles, bounds)
    if len(pixels) == settings.planes:
        return pixels
    chosen = settings.channels
    expected = "gray or RGB" if chosen is None else f"{len(chosen)} channels"
    raise CongealError(
        f"expected an image of {expected} for the network, got {image.shape[2]} channels; choose "
        "with --channels (channels= in Python)"
    )


def pad_to(image: Tensor, divisor: int) -> Tensor:
    """Repeat the last row and column until both sides of ``(B, C, H, W)`` divide."""
    sides = (0, -image.shape[3] % divisor, 0, -image.shape[2] % divisor)
    return functional.pad(image, sides, mode="replicate")
