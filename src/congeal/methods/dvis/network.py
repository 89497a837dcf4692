"""The network of the value map, which also hands out features for the verification."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from congeal.methods.dvis.config import DVISNetwork
from congeal.networks.coordinates import coordinate_channels
from congeal.networks.encoders import encoder_statistics
from congeal.networks.registry import EncoderDecoder

__all__ = ["ValueNetwork", "ValueOutput"]

FINEST = 8  # stride of the features that candidates are judged by


class ValueOutput(NamedTuple):
    """What a :class:`ValueNetwork` says of a batch.

    Attributes:
        values: ``(B, C, h, w)`` float32, before the final ReLU.
        features: ``(B, F, H / s, W / s)`` of the encoder at stride ``s = feature_stride``.
    """

    values: Tensor
    features: Tensor


class ValueNetwork(nn.Module):
    """Encoder and light decoder with one head, the value map.

    The features are the deepest level of the encoder of each stride from 8 on, brought to the
    finest of these strides: one level where dilation holds the stride back, several else.

    Args:
        config: of the network.
        planes: channels of its input.

    Attributes:
        feature_channels: F.
        feature_stride: of the features, in pixels.
        divisor: what the sides of an image must be divisible by.

    Example:
        >>> network = ValueNetwork(DVISNetwork())
        >>> output = network(torch.zeros(1, 3, 64, 64))
        >>> tuple(output.values.shape), tuple(output.features.shape)
        ((1, 1, 32, 32), (1, 256, 8, 8))
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, config: DVISNetwork, planes: int = 3) -> None:
        super().__init__()
        self.told = config.coordinates == "channels"
        self.body = EncoderDecoder(
            planes + 2 * self.told,
            {"value": config.channels},
            decoder_stride=config.stride,
            decoder=config.decoder,
            encoder=config.encoder,
            pretrained=config.pretrained,
            weights=config.encoder_weights,
            output_stride=config.output_stride,
            freeze_norm=config.freeze_norm,
            levels=config.encoder_levels,
            frozen=config.frozen_levels,
        )
        encoder = self.body.encoder
        strides = [s for s in encoder.reductions if s >= FINEST] or encoder.reductions[-1:]
        self.levels = [
            len(encoder.reductions) - 1 - encoder.reductions[::-1].index(s)
            for s in dict.fromkeys(strides)
        ]
        self.feature_stride = min(strides)
        self.feature_channels = sum(encoder.channels[level] for level in self.levels)
        self.divisor = self.body.divisor
        mean, deviation = encoder_statistics(config.encoder)
        for name, moment in (
            ("mean", config.mean or mean),
            ("deviation", config.deviation or deviation),
        ):
            self.register_buffer(name, torch.tensor(moment).reshape(1, -1, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> ValueOutput:
        """``(B, 3, H, W)``, sides divisible by ``divisor``, to a :class:`ValueOutput`."""
        image = (image - self.mean) / self.deviation
        if self.told:
            image = torch.cat([image, coordinate_channels(image)], 1)
        features = self.body.encoder(image)
        x = self.body.refine(self.body.decoder(features))
        values = self.body.heads["value"](x).float()
        return ValueOutput(values, self._joined(features))

    def _joined(self, features: list[Tensor]) -> Tensor:
        chosen = [features[level] for level in self.levels]
        size = chosen[0].shape[-2:]
        return torch.cat([functional.interpolate(x, size, mode="nearest") for x in chosen], 1)
