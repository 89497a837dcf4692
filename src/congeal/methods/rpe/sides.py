"""The network for boundaries: embedding and boundary map of each side output, and fusion."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from congeal.methods.rpe.boundaries_config import BoundaryNetwork
from congeal.networks.decoders import LightDecoder
from congeal.networks.encoders import build_encoder, register_moments
from congeal.sphere import MIN_EMBEDDING_NORM, normalise

__all__ = ["SideNetwork", "SideOutput"]


class SideOutput(NamedTuple):
    """Output of a :class:`SideNetwork` for a batch of images.

    Attributes:
        embeddings: per side output, finest first: ``(B, D, h, w)`` unit vectors in float32.
        sides: per side output: ``(B, 1, h, w)`` logits.
        fusion: ``(B, 1, h, w)`` logits at the size of the finest side output.
    """

    embeddings: list[Tensor]
    sides: list[Tensor]
    fusion: Tensor


class SideNetwork(nn.Module):
    """Encoder with an embedding and a boundary map for each side output, and a fused boundary map.

    All are 1 x 1 convolutions: the embedding of a side output, the boundary map of an embedding,
    and the fusion of all embeddings, resized to the finest and concatenated.

    Args:
        settings: settings of the network.
        planes: channels of the image.

    Raises:
        CongealError: the encoder is unknown, or has no features at the stride.

    Example:
        >>> output = SideNetwork(BoundaryNetwork())(torch.zeros(1, 3, 64, 64))
        >>> [tuple(one.shape) for one in output.embeddings][:2], len(output.sides)
        ([(1, 3, 32, 32), (1, 3, 16, 16)], 5)
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, settings: BoundaryNetwork, planes: int = 3) -> None:
        super().__init__()
        c = settings
        self.stride = int(c.stride)
        self.encoder = build_encoder(
            c.encoder,
            planes,
            **c.encoder_options,
        )
        channels, reductions = self.encoder.channels, self.encoder.reductions
        decoder = LightDecoder(channels, reductions, self.stride, c.decoder)
        first = decoder.first
        self.decoder = decoder if c.top_down else None
        widths = decoder.level_channels if c.top_down else channels[first:]
        self.first = first
        self.embed = nn.ModuleList(nn.Conv2d(width, c.dimensions, 1) for width in widths)
        self.draw = nn.ModuleList(nn.Conv2d(c.dimensions, 1, 1) for _ in widths)
        self.fuse = nn.Conv2d(c.dimensions * len(widths), 1, 1)
        register_moments(self, c.encoder, c.mean, c.deviation, planes)

    @property
    def divisor(self) -> int:
        """Number that divides the sides of an image."""
        return math.lcm(*self.encoder.reductions, self.stride)

    def forward(self, image: Tensor, *, hold_embedding: bool = False) -> SideOutput:
        """``(B, C, H, W)`` to a :class:`SideOutput`; H and W divisible by ``divisor``.

        Args:
            image: scaled for the network.
            hold_embedding: stop the gradient of the boundary maps at the embeddings.
        """
        features = self.encoder((image - self.mean) / self.deviation)
        maps = features[self.first :] if self.decoder is None else self.decoder.levels(features)
        embeddings = [
            normalise(embed(one).float(), dim=1, eps=MIN_EMBEDDING_NORM)
            for embed, one in zip(self.embed, maps, strict=True)
        ]
        inputs = [one.detach() if hold_embedding else one for one in embeddings]
        sides = [draw(one).float() for draw, one in zip(self.draw, inputs, strict=True)]
        size = inputs[0].shape[-2:]
        joined = torch.cat([inputs[0], *(_resized(one, size) for one in inputs[1:])], 1)
        return SideOutput(embeddings, sides, self.fuse(joined).float())


def _resized(x: Tensor, size: torch.Size) -> Tensor:
    resized: Tensor = functional.interpolate(x, size=size, mode="bilinear", align_corners=False)
    return resized
