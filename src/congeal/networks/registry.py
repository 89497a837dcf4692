"""The networks by name, with one interface for every method."""

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
    """An encoder (compact, or any of timm), the light decoder, and a 1 x 1 convolution per head.

    Args:
        in_channels: of the image, coordinate channels included.
        out_channels: channels of each head by name.
        stride: of the maps: that of the decoder (None), or a divisor or multiple of it.
        decoder_stride: of the decoder's map, 2 or 4.
        decoder: size of the :class:`LightDecoder`.
        encoder: name, see :func:`build_encoder`; so are the settings after it.
        pretrained: take ImageNet weights.
        weights: local file of weights of the encoder.
        output_stride: of the encoder.
        freeze_norm: hold the encoder's batch norm to its stored moments.
        levels: feature maps of the encoder to take.
        frozen: levels of the encoder that keep their weights.
        pyramid_pooling: let means over large cells join the coarsest features.

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
    """Make a network by name: an image in, one map per head out.

    The forward pass takes a normalised image ``(B, C, H, W)``, sides of any length, and gives
    maps ``(B, D, ceil(H / stride), ceil(W / stride))`` by name of the head. The attribute
    ``stride`` tells the stride of the maps; ``divisor`` what the sides must be divisible by to
    need no padding. The heads share all layers but the last.

    Args:
        name: a name of :data:`NETWORKS`.
        in_channels: C of the image, coordinate channels included.
        out_channels: D of each head by name, such as ``{"embedding": 8, "semantic": 3}``.
        options: of the network's class, such as ``stride``, ``encoder`` or ``width_divisor``.

    Raises:
        CongealError: the name or an option is unknown (the nearest is suggested), or as the
            network's class says.

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
    known = set(inspect.signature(NETWORKS[name]).parameters) - {"in_channels", "out_channels"}
    for option in options:
        if option not in known:
            raise unknown(f"option of the network {name!r}", option, known)
    return NETWORKS[name](in_channels, out_channels, **options)
