"""Random light as torchvision v2 transforms: gain of each channel, and gamma."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from congeal.errors import CongealError

__all__ = ["RandomGain", "RandomGamma", "uniform"]


def uniform(low: float, high: float) -> float:
    """A number between the two, drawn from torch's own generator.

    Example:
        >>> 2 <= uniform(2, 3) <= 3
        True
    """
    return low + (high - low) * torch.rand(()).item()


class _RandomLight(v2.Transform):  # type: ignore[misc]  # torchvision has no types
    """Changes an image with some probability, and never labels.

    Args:
        change: largest relative change.
        probability: that anything changes.
    """

    def __init__(self, change: float, probability: float = 1.0) -> None:
        super().__init__()
        if not 0 <= change < 1:
            raise CongealError(f"expected a relative change of light in [0, 1), got {change}")
        self.change = change
        self.probability = probability

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw whether, and how much."""
        changes = torch.rand(()).item() < self.probability
        channels = next((len(one) for one in flat_inputs if _is_image(one)), 1)
        return {"by": self._draw(channels) if changes else None}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Change an image; a mask comes back as it is."""
        if params["by"] is None or not _is_image(inpt):
            return inpt
        plain = inpt.as_subclass(Tensor)
        if inpt.is_floating_point():
            return tv_tensors.wrap(self._apply(plain, params["by"]), like=inpt)
        top = torch.iinfo(inpt.dtype).max
        changed = self._apply(plain.float() / top, params["by"]) * top
        return tv_tensors.wrap(changed.round_().clamp_(0, top).to(inpt.dtype), like=inpt)

    def _draw(self, channels: int) -> Any:
        raise NotImplementedError

    def _apply(self, image: Tensor, by: Any) -> Tensor:
        raise NotImplementedError


class RandomGain(_RandomLight):
    """Each channel brighter or darker by a factor of its own.

    Floating-point images are not clipped, as theirs is no range; integers are.

    Args:
        change: largest relative change; .2 draws factors from .8 to 1.2.
        probability: that anything changes.

    Example:
        >>> image = RandomGain(0.2)(tv_tensors.Image(torch.ones(3, 4, 4)))
        >>> bool(image.min() >= 0.8 and image.max() <= 1.2)
        True
    """

    def _draw(self, channels: int) -> Tensor:
        return 1 + self.change * (2 * torch.rand(channels, 1, 1) - 1)

    def _apply(self, image: Tensor, by: Tensor) -> Tensor:
        return image * by.to(image)


class RandomGamma(_RandomLight):
    """The image to a random power; what is between 0 and 1 stays there, darker is 0.

    Args:
        change: largest change of the power from 1.
        probability: that anything changes.

    Example:
        >>> image = RandomGamma(0.2)(tv_tensors.Image(torch.rand(3, 4, 4)))
        >>> bool(image.min() >= 0 and image.max() <= 1)
        True
    """

    def _draw(self, channels: int) -> float:
        return uniform(1 - self.change, 1 + self.change)

    def _apply(self, image: Tensor, by: float) -> Tensor:
        return image.clamp_min(0).pow_(by)


def _is_image(one: Any) -> bool:
    return isinstance(one, tv_tensors.Image) or type(one) is Tensor
