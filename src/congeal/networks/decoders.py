"""A light decoder: from an encoder's features back to a fine map."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from congeal.errors import CongealError
from congeal.networks.blocks import Residual, upsample_to

__all__ = ["LightDecoder"]


class LightDecoder(nn.Module):
    """Merge features from coarse to fine, one residual block a level (in the manner of U-Net).

    Args:
        channels: of the encoder's features, finest first.
        reductions: their strides.
        stride: of the map wanted, 2 or 4; finer features are left out.
        widest: cap on the channels of a level, so that wide encoders stay light to decode.

    Attributes:
        channels: of the map given back.

    Raises:
        CongealError: the encoder has no features at the stride wanted.

    Example:
        >>> decoder = LightDecoder([8, 16], [2, 4], stride=2)
        >>> features = [torch.zeros(1, 8, 8, 8), torch.zeros(1, 16, 4, 4)]
        >>> tuple(decoder(features).shape)
        (1, 8, 8, 8)
    """

    def __init__(
        self,
        channels: Sequence[int],
        reductions: Sequence[int],
        stride: int = 2,
        widest: int = 96,
    ) -> None:
        super().__init__()
        used = [i for i, reduction in enumerate(reductions) if reduction >= stride]
        if not used or reductions[used[0]] != stride:
            raise CongealError(
                f"expected features at stride {stride}, the encoder gives {list(reductions)}"
            )
        self.first = used[0]
        ends = [channels[i] for i in used]
        widths = [min(c, widest) for c in ends]
        # What arrives at each level from the coarser one; nothing when there is but one level.
        below = [*widths[1:-1], ends[-1]][: len(ends) - 1]
        self.merge = nn.ModuleList(
            nn.Conv2d(end + under, width, 1, bias=False)
            for end, under, width in zip(ends[:-1], below, widths[:-1], strict=True)
        )
        self.refine = nn.ModuleList(Residual(width, width) for width in widths[:-1])
        self.channels = widths[0] if len(used) > 1 else ends[0]

    def forward(self, features: list[Tensor]) -> Tensor:
        """Feature maps, finest first, to ``(B, channels, H / stride, W / stride)``."""
        features = features[self.first :]
        x = features[-1]
        levels = zip(features[:-1], self.merge, self.refine, strict=True)
        for feature, merge, refine in reversed(list(levels)):
            x = refine(merge(torch.cat([feature, upsample_to(x, feature)], 1)))
        return x
