"""The network for semantic segmentation: encoder, atrous pyramid, light decoder, two heads."""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor, nn

from congeal.methods.rpe.semantic_config import SemanticNetwork
from congeal.networks.blocks import ConvNorm
from congeal.networks.decoders import LightDecoder
from congeal.networks.encoders import build_encoder, register_moments
from congeal.networks.pyramid import AtrousPyramid
from congeal.sphere import MIN_EMBEDDING_NORM, normalise

__all__ = ["ClassNetwork", "ClassOutput"]


class ClassOutput(NamedTuple):
    """Output of a :class:`ClassNetwork` for a batch of images.

    Attributes:
        embedding: ``(B, D, h, w)`` unit vectors in float32.
        logits: ``(B, C + 1, h, w)``, background first.
    """

    embedding: Tensor
    logits: Tensor


class ClassNetwork(nn.Module):
    """DeepLab's atrous pyramid on the coarsest features, then logits and unit embeddings.

    If the stride is that of the coarsest features, as in the paper, the heads follow the pyramid
    directly; if it is finer, a light decoder is in between.

    Args:
        settings: settings of the network.
        classes: C, without background.
        planes: channels of the image.

    Raises:
        CongealError: the encoder is unknown, or has no features at the stride.

    Example:
        >>> import torch
        >>> output = ClassNetwork(SemanticNetwork(), classes=2)(torch.zeros(1, 3, 64, 32))
        >>> tuple(output.embedding.shape), tuple(output.logits.shape)
        ((1, 16, 16, 8), (1, 3, 16, 8))
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, settings: SemanticNetwork, classes: int, planes: int = 3) -> None:
        super().__init__()
        c = settings
        self.stride = int(c.stride)
        self.encoder = build_encoder(
            c.encoder,
            planes,
            **c.encoder_options,
        )
        channels, reductions = list(self.encoder.channels), list(self.encoder.reductions)
        rates = [max(1, round(rate / reductions[-1])) for rate in c.pyramid_rates]
        self.pyramid = AtrousPyramid(channels[-1], c.pyramid_width, rates)
        width, self.decoder = c.pyramid_width, None
        if self.stride != reductions[-1]:
            self.decoder = LightDecoder(
                [*channels[:-1], c.pyramid_width], reductions, self.stride, c.decoder
            )
            width = self.decoder.channels
        self.refine = ConvNorm(width, width)
        self.classify = nn.Conv2d(width, classes + 1, 1)
        self.embed = nn.Sequential(ConvNorm(width, width), nn.Conv2d(width, c.dimensions, 1))
        register_moments(self, c.encoder, c.mean, c.deviation, planes)

    @property
    def divisor(self) -> int:
        """Number that divides the sides of an image."""
        return math.lcm(*self.encoder.reductions, self.stride)

    def forward(self, image: Tensor) -> ClassOutput:
        """``(B, C, H, W)`` to a :class:`ClassOutput`; H and W divisible by ``divisor``."""
        *fine, coarse = self.encoder((image - self.mean) / self.deviation)
        x = self.pyramid(coarse)
        x = self.refine(x if self.decoder is None else self.decoder([*fine, x]))
        embedding = normalise(self.embed(x).float(), dim=1, eps=MIN_EMBEDDING_NORM)
        return ClassOutput(embedding, self.classify(x).float())
