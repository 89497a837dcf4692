"""From an image to the input of a network in evaluation mode."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

from torch import Tensor, nn
from torch.nn import functional

__all__ = ["evaluation_mode", "pad_to"]

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


def pad_to(image: Tensor, divisor: int) -> Tensor:
    """Repeat the last row and column until both sides of ``(B, C, H, W)`` divide."""
    sides = (0, -image.shape[3] % divisor, 0, -image.shape[2] % divisor)
    return functional.pad(image, sides, mode="replicate")
