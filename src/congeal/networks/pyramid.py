"""Context at several scales for a feature map: pyramid pooling, and atrous convolutions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from congeal.networks.blocks import ConvNorm

__all__ = ["AtrousPyramid", "PyramidPooling"]


class PyramidPooling(nn.Module):
    """Pyramid pooling (PSPNet, Zhao et al., CVPR 2017, section 3.2).

    For each level n the map is averaged to n x n cells, reduced to ``channels / len(levels)``
    channels by a 1 x 1 convolution, and resized back. A 3 x 3 convolution merges the levels and the
    map.

    Args:
        channels: channels of input and output.
        levels: n, cells along each side.

    Example:
        >>> PyramidPooling(16)(torch.zeros(2, 16, 5, 3)).shape
        torch.Size([2, 16, 5, 3])
    """

    def __init__(self, channels: int, levels: Sequence[int] = (1, 2, 3, 6)) -> None:
        super().__init__()
        self.levels = tuple(levels)
        narrow = max(1, channels // len(self.levels))
        # No batch norm: with one cell and a batch of one there is one value per channel.
        self.narrow = nn.ModuleList(nn.Conv2d(channels, narrow, 1) for _ in self.levels)
        self.join = ConvNorm(channels + narrow * len(self.levels), channels)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` to the same shape."""
        parts = [x]
        for cells, narrow in zip(self.levels, self.narrow, strict=True):
            mean = functional.relu(narrow(functional.adaptive_avg_pool2d(x, cells)))
            parts.append(functional.interpolate(mean, size=x.shape[-2:], mode="bilinear"))
        joined: Tensor = self.join(torch.cat(parts, 1))
        return joined


class AtrousPyramid(nn.Module):
    """Atrous spatial pyramid pooling (DeepLab v3, Chen et al. 2017).

    Branches: a 1 x 1 convolution, a 3 x 3 convolution for each dilation, and the mean of the whole
    map, with ``channels_out`` channels each. A 1 x 1 convolution merges them.

    Args:
        channels_in: channels of the input.
        channels_out: channels of each branch and of the output.
        dilations: dilations of the 3 x 3 convolutions, in pixels of the map.

    Example:
        >>> AtrousPyramid(16, 8)(torch.zeros(2, 16, 5, 3)).shape
        torch.Size([2, 8, 5, 3])
    """

    def __init__(
        self, channels_in: int, channels_out: int, dilations: Sequence[int] = (6, 12, 18)
    ) -> None:
        super().__init__()
        self.point = ConvNorm(channels_in, channels_out, kernel=1)
        self.holes = nn.ModuleList(
            ConvNorm(channels_in, channels_out, dilation=dilation) for dilation in dilations
        )
        # No batch norm: with a batch of one there is one value per channel.
        self.whole = nn.Conv2d(channels_in, channels_out, 1)
        self.join = ConvNorm(channels_out * (len(self.holes) + 2), channels_out, kernel=1)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` to ``(B, C_out, H, W)``."""
        mean = functional.relu(self.whole(x.mean((2, 3), keepdim=True)))
        parts = [
            self.point(x),
            *(hole(x) for hole in self.holes),
            mean.expand(-1, -1, *x.shape[2:]),
        ]
        joined: Tensor = self.join(torch.cat(parts, 1))
        return joined
