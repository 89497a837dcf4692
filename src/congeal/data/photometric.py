"""Photometric augmentation as torchvision v2 transforms: random channel gain and gamma."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from congeal.errors import CongealError

__all__ = ["RandomGain", "RandomGamma", "uniform"]


def uniform(low: float, high: float) -> float:
    """Uniform random number in [low, high), from torch's default generator.

    Example:
        >>> 2 <= uniform(2, 3) <= 3
        True
    """
    return low + (high - low) * torch.rand(()).item()


class _RandomPhotometric(v2.Transform):  # type: ignore[misc]  # torchvision has no types
    """Base class: changes images with a given probability, and leaves masks unchanged.

    Args:
        change: largest relative change.
        probability: of any change.
    """

    def __init__(self, change: float, probability: float = 1.0) -> None:
        super().__init__()
        if not 0 <= change < 1:
            raise CongealError(f"expected a relative change of intensity in [0, 1), got {change}")
        self.change = change
        self.probability = probability

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw whether to change the images, and by how much."""
        applied = torch.rand(()).item() < self.probability
        channels = next((len(x) for x in flat_inputs if _is_image(x)), 1)
        return {"amount": self._draw(channels) if applied else None}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Change an image; masks are returned unchanged."""
        if params["amount"] is None or not _is_image(inpt):
            return inpt
        plain = inpt.as_subclass(Tensor)
        if inpt.is_floating_point():
            return tv_tensors.wrap(self._apply(plain, params["amount"]), like=inpt)
        top = torch.iinfo(inpt.dtype).max
        changed = self._apply(plain.float() / top, params["amount"]) * top
        return tv_tensors.wrap(changed.round_().clamp_(0, top).to(inpt.dtype), like=inpt)

    def _draw(self, channels: int) -> Any:
        raise NotImplementedError

    def _apply(self, image: Tensor, amount: Any) -> Tensor:
        raise NotImplementedError


class RandomGain(_RandomPhotometric):
    """Multiply each channel by an independent random factor.

    Integer images are clipped to their range, floating-point images are not.

    Args:
        change: largest relative change; .2 gives factors from .8 to 1.2.
        probability: of any change.

    Example:
        >>> image = RandomGain(0.2)(tv_tensors.Image(torch.ones(3, 4, 4)))
        >>> bool(image.min() >= 0.8 and image.max() <= 1.2)
        True
    """

    def _draw(self, channels: int) -> Tensor:
        return 1 + self.change * (2 * torch.rand(channels, 1, 1) - 1)

    def _apply(self, image: Tensor, amount: Tensor) -> Tensor:
        return image * amount.to(image)


class RandomGamma(_RandomPhotometric):
    """Raise the image to a random power (gamma); negative values are set to 0 first.

    Args:
        change: largest deviation of the power from 1.
        probability: of any change.

    Example:
        >>> image = RandomGamma(0.2)(tv_tensors.Image(torch.rand(3, 4, 4)))
        >>> bool(image.min() >= 0 and image.max() <= 1)
        True
    """

    def _draw(self, channels: int) -> float:
        return uniform(1 - self.change, 1 + self.change)

    def _apply(self, image: Tensor, amount: float) -> Tensor:
        return image.clamp_min(0).pow_(amount)


def _is_image(x: Any) -> bool:
    return isinstance(x, tv_tensors.Image) or type(x) is Tensor
