"""The embedding network of RPE: unit embeddings, and class logits at full resolution."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from congeal.networks.blocks import ConvNorm
from congeal.networks.coordinates import RotaryPosition, coordinate_channels
from congeal.networks.decoders import DecoderSize, LightDecoder
from congeal.networks.encoders import CompactEncoder, TimmEncoder
from congeal.networks.heads import FullResolutionHead, ProjectedHead
from congeal.sphere import FAINT, normalise

__all__ = ["Coordinates", "EmbeddingNetwork", "EmbeddingOutput"]

Coordinates = Literal["none", "channels", "rotary", "both", "projected"]


class EmbeddingOutput(NamedTuple):
    """Output of an :class:`EmbeddingNetwork` for a batch of images.

    Attributes:
        embedding: ``(B, D, h, w)`` float32 unit vectors.
        semantic: ``(B, C + 1, H, W)`` logits, background first.
        touching: ``(B, 1, H, W)`` logits; high where objects touch.
        features: ``(B, F, h, w)`` output of the decoder, or None.
    """

    embedding: Tensor
    semantic: Tensor
    touching: Tensor
    features: Tensor | None = None

    def maps(self) -> dict[str, Tensor]:
        """Maps by name, without those that are None."""
        return {name: part for name, part in self._asdict().items() if part is not None}


class EmbeddingNetwork(nn.Module):
    """Encoder, decoder and two heads: unit embeddings, and logits at full resolution.

    Args:
        encoder: encoder, from :func:`congeal.networks.build_encoder`.
        dimensions: D of the embedding.
        classes: C, number of classes without background.
        stride: stride of the embedding, 2 or 4.
        coordinates: position encoding: ``"channels"`` (row and column as input channels),
            ``"rotary"`` (:class:`RotaryPosition`), ``"both"``, ``"projected"``
            (:class:`ProjectedHead`) or ``"none"``. With channels the encoder must take two more
            channels than the image has.
        wavelengths: shortest and longest wavelength of rotary coordinates, px.
        decoder: size of the :class:`LightDecoder`.
        channels_image: channels of the image.
        mean: subtracted from the image, per channel.
        deviation: divides the image then, per channel.
        keep_features: return the output of the decoder too.

    Example:
        >>> network = EmbeddingNetwork(CompactEncoder(3), dimensions=8)
        >>> [tuple(map.shape[1:]) for map in network(torch.zeros(1, 3, 64, 64)).maps().values()]
        [(8, 32, 32), (2, 64, 64), (1, 64, 64)]
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        encoder: CompactEncoder | TimmEncoder,
        dimensions: int = 16,
        *,
        classes: int = 1,
        stride: int = 2,
        coordinates: Coordinates = "rotary",
        wavelengths: tuple[float, float] = (24.0, 128.0),
        decoder: DecoderSize = "light",
        channels_image: int = 3,
        mean: float | tuple[float, ...] = 0.0,
        deviation: float | tuple[float, ...] = 1.0,
        keep_features: bool = False,
    ) -> None:
        super().__init__()
        self.stride = stride
        self.keep_features = keep_features
        self.channels = coordinates in ("channels", "both")
        self.encoder = encoder
        self.decoder = LightDecoder(encoder.channels, encoder.reductions, stride, decoder)
        width = self.decoder.channels
        self.embed: nn.Module = nn.Sequential(
            ConvNorm(width + 2 * self.channels, width), nn.Conv2d(width, dimensions, 1)
        )
        if coordinates == "projected":
            self.embed = ProjectedHead(width, dimensions, stride=stride)
        self.rotary: nn.Module = nn.Identity()
        if coordinates in ("rotary", "both"):
            self.rotary = RotaryPosition(dimensions, wavelengths, stride)
        self.draw = FullResolutionHead(width, channels_image, classes + 2, stride=stride)
        self.register_buffer("mean", _per_channel(mean), persistent=False)
        self.register_buffer("deviation", _per_channel(deviation), persistent=False)

    @property
    def divisor(self) -> int:
        """The sides of an image must be multiples of it, in pixels."""
        return math.lcm(*self.encoder.reductions, self.stride)

    def forward(self, image: Tensor) -> EmbeddingOutput:
        """Compute the maps of ``(B, C, H, W)``; H and W divisible by :attr:`divisor`."""
        image = (image - self.mean) / self.deviation
        x = torch.cat([image, coordinate_channels(image)], 1) if self.channels else image
        x = self.decoder(self.encoder(x))  # (B, width, h, w)
        logits = self.draw(x, image).float()  # (B, classes + 2, H, W)
        features = x if self.keep_features else None
        if self.channels:
            x = torch.cat([x, coordinate_channels(x, self.stride)], 1)
        embedding = normalise(self.rotary(self.embed(x).float()), dim=1, eps=FAINT)
        return EmbeddingOutput(embedding, logits[:, :-1], logits[:, -1:], features)


def _per_channel(value: float | tuple[float, ...]) -> Tensor:
    return torch.as_tensor(value, dtype=torch.float32).reshape(1, -1, 1, 1)
