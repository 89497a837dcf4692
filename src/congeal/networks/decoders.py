"""A light decoder: from an encoder's features back to a fine map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from congeal.errors import CongealError
from congeal.networks.blocks import ConvNorm, Residual, upsample_to

__all__ = ["DecoderSize", "LightDecoder"]

DecoderSize = Literal["light", "wide"]

# Channels at strides 2, 4, 8 and beyond: fine maps are large, so theirs are few.
WIDTHS: dict[DecoderSize, tuple[int, int, int, int]] = {
    "light": (24, 48, 64, 96),
    "wide": (40, 80, 128, 128),
}


class LightDecoder(nn.Module):
    """Merge features from coarse to fine, a block a level (in the manner of U-Net).

    How many channels a level has follows from its stride, not from the encoder, so that any
    encoder is light to decode: most of the work of a step lies at the finest level.

    Args:
        channels: of the encoder's features, finest first.
        reductions: their strides.
        stride: of the map wanted, 2 or 4; finer features are left out.
        size: ``"light"``, or ``"wide"``, which has more channels and a whole block at the finest
            level, at the price of longer steps.

    Attributes:
        channels: of the map given back.
        level_channels: of the maps of all levels, finest first.

    Raises:
        CongealError: the encoder has no features at the stride wanted.

    Example:
        >>> import torch
        >>> decoder = LightDecoder([8, 16], [2, 4], stride=2)
        >>> features = [torch.zeros(1, 8, 8, 8), torch.zeros(1, 16, 4, 4)]
        >>> tuple(decoder(features).shape)
        (1, 24, 8, 8)
    """

    def __init__(
        self,
        channels: Sequence[int],
        reductions: Sequence[int],
        stride: int = 2,
        size: DecoderSize = "light",
    ) -> None:
        super().__init__()
        used = [i for i, reduction in enumerate(reductions) if reduction >= stride]
        if not used or reductions[used[0]] != stride:
            raise CongealError(
                f"expected features at stride {stride}, the encoder gives {list(reductions)}"
            )
        self.first = used[0]
        ends = [channels[i] for i in used]
        widths = [_width(reductions[i], size) for i in used]
        # What arrives at each level from the coarser one; nothing when there is but one level.
        below = [*widths[1:-1], ends[-1]][: len(ends) - 1]
        widths = widths[:-1]
        self.across = nn.ModuleList(
            nn.Conv2d(end, width, 1, bias=False)
            for end, width in zip(ends[:-1], widths, strict=True)
        )
        self.up = nn.ModuleList(
            nn.Conv2d(under, width, 1, bias=False)
            for under, width in zip(below, widths, strict=True)
        )
        self.refine = nn.ModuleList(
            (Residual if level or size == "wide" else ConvNorm)(width, width)
            for level, width in enumerate(widths)
        )
        self.level_channels = [*widths, ends[-1]]
        self.channels = self.level_channels[0]

    def forward(self, features: list[Tensor]) -> Tensor:
        """Feature maps, finest first, to ``(B, channels, H / stride, W / stride)``."""
        return self.levels(features)[0]

    def levels(self, features: list[Tensor]) -> list[Tensor]:
        """The maps of all levels, finest first; the coarsest is the encoder's own."""
        features = features[self.first :]
        found = [features[-1]]
        levels = zip(features[:-1], self.across, self.up, self.refine, strict=True)
        for feature, across, up, refine in reversed(list(levels)):
            # joining before the product would be the same map at several times the cost
            found.append(refine(across(feature) + upsample_to(up(found[-1]), feature)))
        return found[::-1]


def _width(reduction: int, size: DecoderSize) -> int:
    """Channels at a stride of 2, 4, 8, 16, ..."""
    return WIDTHS[size][min(reduction.bit_length() - 2, 3)]
