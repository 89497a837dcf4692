"""Pyramid pooling: means over ever larger cells join a feature map (PSPNet, CVPR 2017)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from congeal.networks.blocks import ConvNorm

__all__ = ["PyramidPooling"]


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
