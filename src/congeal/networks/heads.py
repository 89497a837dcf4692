"""Heads: what is read off the decoder's map."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from congeal.networks.blocks import ConvNorm

__all__ = ["FullResolutionHead"]


class FullResolutionHead(nn.Module):
    """Logits at the resolution of the image, from a coarser map and the image itself.

    The map is spread by sub-pixel convolution (Shi et al. 2016) and joined with a first look at
    the image, so that outlines are drawn pixel by pixel and not in blocks of the stride.

    Args:
        channels_in: of the map.
        channels_image: of the image.
        channels_out: logits.
        stride: of the map.
        width: channels at full resolution.

    Example:
        >>> head = FullResolutionHead(16, 3, 2, stride=2)
        >>> tuple(head(torch.zeros(1, 16, 4, 4), torch.zeros(1, 3, 8, 8)).shape)
        (1, 2, 8, 8)
    """

    def __init__(
        self,
        channels_in: int,
        channels_image: int,
        channels_out: int,
        *,
        stride: int = 2,
        width: int = 8,
    ) -> None:
        super().__init__()
        self.stride = stride
        self.spread = nn.Conv2d(channels_in, width * stride**2, 1)
        self.look = ConvNorm(channels_image, width)
        self.decide = nn.Sequential(
            ConvNorm(2 * width, 2 * width), nn.Conv2d(2 * width, channels_out, 3, padding=1)
        )

    def forward(self, x: Tensor, image: Tensor) -> Tensor:
        """``(B, C, H / stride, W / stride)`` and ``(B, 3, H, W)`` to ``(B, C_out, H, W)``."""
        fine = functional.pixel_shuffle(self.spread(x), self.stride)
        logits: Tensor = self.decide(torch.cat([fine, self.look(image)], 1))
        return logits
