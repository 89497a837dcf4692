"""Networks by name, with one interface: an image in, a map per head out."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from torch import Tensor, nn

from congeal.errors import unknown
from congeal.networks.blocks import ConvNorm
from congeal.networks.decoders import DecoderSize, LightDecoder
from congeal.networks.dilation import Dilation
from congeal.networks.encoders import build_encoder
from congeal.networks.enet import ENet
from congeal.networks.pixelwise import PixelNetwork
from congeal.networks.pyramid import PyramidPooling
from congeal.networks.resnet38 import ResNet38
from congeal.networks.segnet import SegNet

__all__ = ["NETWORKS", "EncoderDecoder", "build_network"]


class EncoderDecoder(PixelNetwork):
    """An encoder, the light decoder, and a 1 x 1 convolution per head.

    Args:
        in_channels: channels of the image, coordinate channels included.
        out_channels: channels of each head by name.
        stride: stride of the maps, a divisor or multiple of ``decoder_stride``; None: equal to it.
        decoder_stride: stride of the decoder's map, 2 or 4.
        decoder: size of the :class:`LightDecoder`.
        encoder: name of the encoder; this and the following as for :func:`build_encoder`.
        pretrained: use ImageNet weights.
        weights: local file of encoder weights.
        output_stride: largest stride of a timm encoder.
        freeze_norm: freeze batch norm of the encoder.
        levels: number of feature maps of the encoder.
        frozen: number of levels of the encoder whose weights are frozen.
        pyramid_pooling: apply :class:`PyramidPooling` to the coarsest feature map.

    Raises:
        CongealError: as :class:`PixelNetwork` and :func:`build_encoder`.

    Example:
        >>> import torch
        >>> network = EncoderDecoder(3, {"embedding": 8, "touching": 1})
        >>> {name: tuple(x.shape) for name, x in network(torch.zeros(1, 3, 64, 33)).items()}
        {'embedding': (1, 8, 32, 17), 'touching': (1, 1, 32, 17)}
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: Mapping[str, int],
        *,
        stride: int | None = None,
        decoder_stride: int = 2,
        decoder: DecoderSize = "light",
        encoder: str = "compact",
        pretrained: bool = False,
        weights: str | Path | None = None,
        output_stride: int = 8,
        freeze_norm: bool = False,
        levels: int | None = None,
        frozen: int = 0,
        pyramid_pooling: bool = False,
    ) -> None:
        trunk = build_encoder(
            encoder,
            in_channels,
            pretrained=pretrained,
            weights=weights,
            output_stride=output_stride,
            freeze_norm=freeze_norm,
            levels=levels,
            frozen=frozen,
        )
        super().__init__(
            in_channels,
            out_channels,
            native_stride=decoder_stride,
            divisor=math.lcm(*trunk.reductions, decoder_stride),
            stride=stride,
        )
        self.encoder = trunk
        self.pyramid = PyramidPooling(trunk.channels[-1]) if pyramid_pooling else nn.Identity()
        self.decoder = LightDecoder(trunk.channels, trunk.reductions, decoder_stride, decoder)
        width = self.decoder.channels
        self.refine = ConvNorm(width, width)
        self.heads = nn.ModuleDict(
            {name: nn.Conv2d(width, channels, 1) for name, channels in out_channels.items()}
        )

    def maps(self, image: Tensor) -> dict[str, Tensor]:
        """``(B, C, H, W)``, sides divisible by ``divisor``, to maps at the decoder's stride."""
        *fine, coarse = self.encoder(image)
        x = self.refine(self.decoder([*fine, self.pyramid(coarse)]))
        return {name: head(x) for name, head in self.heads.items()}


NETWORKS: Mapping[str, type[PixelNetwork]] = MappingProxyType(
    {
        "encoder-decoder": EncoderDecoder,
        "enet": ENet,
        "segnet": SegNet,
        "dilation": Dilation,
        "resnet38": ResNet38,
    }
)


def build_network(
    name: str, in_channels: int, out_channels: Mapping[str, int], **options: Any
) -> PixelNetwork:
    """Make a network by name.

    Its forward pass takes a normalised image ``(B, C, H, W)`` of any size and returns maps
    ``(B, D, ceil(H / stride), ceil(W / stride))`` by name of the head. The heads share all layers
    but the last. The attribute ``stride`` is the stride of the maps; images whose sides are
    multiples of the attribute ``divisor`` are not padded.

    Args:
        name: key of :data:`NETWORKS`.
        in_channels: C, channels of the image, coordinate channels included.
        out_channels: D of each head by name, such as ``{"embedding": 8, "semantic": 3}``.
        options: arguments of the network's class, such as ``stride``, ``encoder`` or
            ``width_divisor``.

    Raises:
        CongealError: the name or an option is unknown (the nearest is suggested), or an option
            does not fit the network.

    Example:
        >>> import torch
        >>> network = build_network("enet", 3, {"embedding": 8, "semantic": 3})
        >>> network.stride, network.divisor
        (1, 8)
        >>> tuple(network(torch.zeros(1, 3, 24, 32))["embedding"].shape)
        (1, 8, 24, 32)
    """
    if name not in NETWORKS:
        raise unknown("network", name, NETWORKS)
    parameters = inspect.signature(NETWORKS[name]).parameters
    available = set(parameters) - {"in_channels", "out_channels"}
    for option in options:
        if option not in available:
            raise unknown(f"option of the network {name!r}", option, available)
    return NETWORKS[name](in_channels, out_channels, **options)
