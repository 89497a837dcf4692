"""What lies around a place, near and far, joins a feature map: by means over cells, or by holes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from congeal.networks.blocks import ConvNorm

__all__ = ["AtrousPyramid", "PyramidPooling"]


class PyramidPooling(nn.Module):
    """Tells every place of a map what the whole of it shows (Zhao et al., CVPR 2017, section 3.2).

    For each level the map is averaged over so many cells along each side, narrowed to
    ``channels / len(levels)`` by a 1 x 1 convolution, and resized back; a 3 x 3 convolution joins
    the levels and the map.

    Args:
        channels: of the map, in and out.
        levels: cells along each side.

    Example:
        >>> PyramidPooling(16)(torch.zeros(2, 16, 5, 3)).shape
        torch.Size([2, 16, 5, 3])
    """

    def __init__(self, channels: int, levels: Sequence[int] = (1, 2, 3, 6)) -> None:
        super().__init__()
        self.levels = tuple(levels)
        narrow = max(1, channels // len(self.levels))
        # No norm: at the level of one cell, a batch of one has a single value in each channel.
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
    """Tells every place of a map what lies at several distances (DeepLab v3, Chen et al. 2017).

    A 1 x 1 convolution, one 3 x 3 convolution for each dilation, and the mean of the whole map,
    each with ``channels_out`` channels; a 1 x 1 convolution joins them.

    Args:
        channels_in: of the map.
        channels_out: of every branch and of the result.
        dilations: distance of the taps of each 3 x 3 convolution, in pixels of the map.

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
        # No norm: a batch of one has a single value in each channel.
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
