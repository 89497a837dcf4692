"""The network: any of the registry, with an embedding that is not normalised and a semantic map."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from congeal.methods.discriminative.config import DiscriminativeConfig
from congeal.networks.coordinates import RotaryPosition, coordinate_channels
from congeal.networks.encoders import register_moments
from congeal.networks.heads import FullResolutionHead, ProjectedHead
from congeal.networks.registry import build_network

__all__ = ["EmbeddingAndClasses"]

PIXELS_PER_UNIT = 32.0  # pixels of the image per unit of the embedding, at the start of training
HEAD_CHANNELS = 24  # channels between the network and a head of several layers
ENCODER_DECODER = "encoder-decoder"


class EmbeddingAndClasses(nn.Module):
    """An image to embeddings at the stride of the network, and to classes of all pixels.

    Args:
        config: settings of the method; those of network and task count.

    Attributes:
        stride: pixels of the image per pixel of the embedding.
        divisor: what the sides of an image must be divisible by.

    Raises:
        CongealError: the network refuses its settings.

    Example:
        >>> network = EmbeddingAndClasses(DiscriminativeConfig())
        >>> {name: tuple(x.shape) for name, x in network(torch.zeros(1, 3, 32, 64)).items()}
        {'embedding': (1, 8, 16, 32), 'semantic': (1, 2, 32, 64)}
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, config: DiscriminativeConfig) -> None:
        super().__init__()
        c, classes = config.network, len(config.class_names)
        self.with_channels = c.coordinates == "channels"
        self.refined = c.name == ENCODER_DECODER
        heads = {"semantic": HEAD_CHANNELS if self.refined else classes + 1}
        if config.task == "instances":
            heads["embedding"] = HEAD_CHANNELS if c.coordinates == "projected" else c.dimensions
        planes = config.input.planes
        channels_in = planes + 2 * self.with_channels
        self.trunk = build_network(c.name, channels_in, heads, **_options(config))
        self.stride, self.divisor = self.trunk.stride, self.trunk.divisor
        self.draw: nn.Module | None = None
        if self.refined:
            self.draw = FullResolutionHead(HEAD_CHANNELS, planes, classes + 1, stride=self.stride)
        self.place: nn.Module = nn.Identity()
        if c.coordinates == "projected":
            self.place = ShiftedHead(HEAD_CHANNELS, c.dimensions, self.stride)
        elif c.coordinates == "rotary":
            self.place = RotaryPosition(c.dimensions, c.wavelengths, self.stride)
        if config.task != "instances":
            self.place = nn.Identity()
        encoder = c.encoder if self.refined else "compact"
        register_moments(self, encoder, c.mean, c.deviation, planes)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Compute the maps of ``(B, 3, H, W)``, sides divisible by :attr:`divisor`.

        Returns:
            ``semantic (B, C + 1, H, W)`` logits, and for the task instances
            ``embedding (B, D, H / stride, W / stride)``; both in float32.
        """
        image = (image - self.mean) / self.deviation
        seen = torch.cat([image, coordinate_channels(image)], 1) if self.with_channels else image
        maps = self.trunk(seen)
        found = {"semantic": self._classes(maps["semantic"], image)}
        if "embedding" in maps:
            found = {"embedding": self.place(maps["embedding"]).float(), **found}
        return found

    def _classes(self, x: Tensor, image: Tensor) -> Tensor:
        """Logits at full resolution."""
        if self.draw is not None:
            return self.draw(x, image).float()  # type: ignore[no-any-return]
        if self.stride == 1:
            return x.float()
        fine: Tensor = functional.interpolate(x.float(), size=image.shape[-2:], mode="bilinear")
        return fine


class ShiftedHead(nn.Module):
    """:class:`ProjectedHead`, plus the position of the pixel along directions that are learnt.

    A fresh network then tells distant objects apart already, and where an object is round its
    pixels only have to say where its middle is. On drawn discs 300 updates gave AP_gt@.5 of .91
    in place of .85, on drawn sticks the same (seed 0, 24 validation images).

    Args:
        channels_in: of the map.
        dimensions: D of the embedding.
        stride: pixels of the image per pixel of the map.

    Example:
        >>> tuple(ShiftedHead(16, 8, 2)(torch.zeros(2, 16, 4, 6)).shape)
        (2, 8, 4, 6)
    """

    def __init__(self, channels_in: int, dimensions: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.inner = ProjectedHead(channels_in, dimensions, stride=stride)
        self.slope = nn.Conv2d(2, dimensions, 1, bias=False)
        with torch.no_grad():
            self.slope.weight.zero_()
            self.slope.weight[:2, :, 0, 0] = torch.eye(2)[:dimensions]

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, h, w)`` to ``(B, D, h, w)``."""
        inner: Tensor = self.inner(x).float()
        shift: Tensor = self.slope(coordinate_channels(inner, self.stride, PIXELS_PER_UNIT))
        placed: Tensor = inner + shift
        return placed


def _options(config: DiscriminativeConfig) -> dict[str, Any]:
    """What :func:`build_network` takes of the settings."""
    c = config.network
    if c.name == "enet":
        return {"stride": c.stride}
    if c.name != ENCODER_DECODER:
        return {"stride": c.stride, "width_divisor": c.width_divisor}
    return {
        "decoder_stride": max(2, c.stride or 2),
        "stride": c.stride,
        "decoder": c.decoder,
        "encoder": c.encoder,
        **c.encoder_options,
    }
