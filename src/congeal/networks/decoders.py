"""The decoder: from the feature maps of an encoder to one fine map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from congeal.errors import CongealError
from congeal.networks.blocks import ConvNorm, Residual, upsample_to

__all__ = ["DecoderSize", "LightDecoder"]

DecoderSize = Literal["light", "wide"]

# Channels at strides 2, 4, 8 and above; few at fine strides, where maps have many pixels.
WIDTHS: dict[DecoderSize, tuple[int, int, int, int]] = {
    "light": (24, 48, 64, 96),
    "wide": (40, 80, 128, 128),
}


class LightDecoder(nn.Module):
    """U-Net-like decoder: merges features from coarse to fine, one block per level.

    The channels of a level depend on its stride only, not on the encoder. The finest level takes
    most of the time of a step, so it is cheap for every encoder.

    Args:
        channels: channels of the encoder's feature maps, finest first.
        reductions: strides of these maps.
        stride: stride of the output, 2 or 4; finer feature maps are not used.
        size: ``"light"``, or ``"wide"`` with more channels and a residual block at the finest
            level, which makes steps slower.

    Attributes:
        channels: channels of the output.
        level_channels: channels of the maps of all levels, finest first.

    Raises:
        CongealError: the encoder has no feature map at ``stride``.

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
        encoder_channels = [channels[i] for i in used]
        widths = [_width(reductions[i], size) for i in used]
        # Channels that come from the next coarser level; empty if there is one level only.
        coarser = [*widths[1:-1], encoder_channels[-1]][: len(encoder_channels) - 1]
        widths = widths[:-1]
        self.across = nn.ModuleList(
            nn.Conv2d(own, width, 1, bias=False)
            for own, width in zip(encoder_channels[:-1], widths, strict=True)
        )
        self.up = nn.ModuleList(
            nn.Conv2d(below, width, 1, bias=False)
            for below, width in zip(coarser, widths, strict=True)
        )
        self.refine = nn.ModuleList(
            (Residual if level or size == "wide" else ConvNorm)(width, width)
            for level, width in enumerate(widths)
        )
        self.level_channels = [*widths, encoder_channels[-1]]
        self.channels = self.level_channels[0]

    def forward(self, features: list[Tensor]) -> Tensor:
        """The encoder's feature maps, finest first, to ``(B, channels, H / s, W / s)``."""
        return self.levels(features)[0]

    def levels(self, features: list[Tensor]) -> list[Tensor]:
        """Maps of all levels, finest first; the coarsest is the encoder's feature map.

        Args:
            features: feature maps of the encoder, finest first.
        """
        features = features[self.first :]
        maps = [features[-1]]
        layers = zip(features[:-1], self.across, self.up, self.refine, strict=True)
        for feature, across, up, refine in reversed(list(layers)):
            # Equal to one convolution of the concatenated maps, but `up` runs at the coarse size.
            maps.append(refine(across(feature) + upsample_to(up(maps[-1]), feature)))
        return maps[::-1]


def _width(reduction: int, size: DecoderSize) -> int:
    """Channels of the level at a stride of 2, 4, 8, 16, ..."""
    return WIDTHS[size][min(reduction.bit_length() - 2, 3)]
