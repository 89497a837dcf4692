"""SegNet (Badrinarayanan, Kendall, Cipolla, 2017): VGG-16 with a mirrored decoder."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from congeal.networks.blocks import ConvNorm
from congeal.networks.pixelwise import PixelNetwork, initialise, narrowed
from congeal.networks.vgg import VGG16

__all__ = ["SegNet"]


class SegNet(PixelNetwork):
    """SegNet: the 13 convolutions of VGG-16 with five poolings, and a mirrored decoder.

    Each decoder stage unpools its input to the maxima of the encoder's pooling, then convolves. All
    convolutions are 3 x 3 with batch norm and ReLU, except the last, one per head. 29.4 million
    weights with one head of 19 classes.

    Source: V. Badrinarayanan et al., "SegNet: A Deep Convolutional Encoder-Decoder Architecture
    for Image Segmentation", PAMI 2017, section 3.

    Args:
        in_channels: channels of the image.
        out_channels: channels of each head by name.
        stride: stride of the maps: 1 (None), or coarser by average pooling.
        width_divisor: divides all channels (tests and tiny models).

    Raises:
        CongealError: as :class:`PixelNetwork`, or ``width_divisor`` does not divide the channels.

    Example:
        >>> import torch
        >>> network = SegNet(3, {"embedding": 8}, width_divisor=16)
        >>> tuple(network(torch.zeros(1, 3, 32, 45))["embedding"].shape)
        (1, 8, 32, 45)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: Mapping[str, int],
        *,
        stride: int | None = None,
        width_divisor: int = 1,
    ) -> None:
        super().__init__(in_channels, out_channels, native_stride=1, divisor=32, stride=stride)
        widths = [[narrowed(c, width_divisor) for c in stage] for stage in VGG16]
        before = [in_channels, *(stage[-1] for stage in widths)]
        self.encoder = nn.ModuleList(
            _convolutions([first, *stage]) for first, stage in zip(before, widths, strict=False)
        )
        # A decoder stage ends with the input channels of its encoder stage. The finest one has one
        # convolution less, because the head is its last.
        mirrored = [
            _convolutions([*reversed(stage), first])
            for first, stage in zip(before[1:], widths[1:], strict=False)
        ]
        self.decoder = nn.ModuleList([_convolutions(list(reversed(widths[0]))), *mirrored])
        initialise(self.encoder, self.decoder)
        self.heads = nn.ModuleDict(
            {name: nn.Conv2d(widths[0][0], c, 3, padding=1) for name, c in out_channels.items()}
        )

    def maps(self, image: Tensor) -> dict[str, Tensor]:
        """``(B, C, H, W)``, sides divisible by 32, to maps ``(B, D, H, W)``."""
        x, pooling = image, []
        for stage in self.encoder:
            x, indices = functional.max_pool2d(stage(x), 2, return_indices=True)
            pooling.append(indices)
        for stage, indices in zip(reversed(self.decoder), reversed(pooling), strict=True):
            x = stage(functional.max_unpool2d(x, indices, [2, 2]))
        return {name: head(x) for name, head in self.heads.items()}


def _convolutions(channels: list[int]) -> nn.Sequential:
    return nn.Sequential(*(ConvNorm(a, b) for a, b in pairwise(channels)))
