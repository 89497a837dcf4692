"""Networks: encoders, a light decoder, heads, and what joins them."""

from congeal.networks.blocks import freeze_batch_norm
from congeal.networks.coordinates import RotaryPosition, coordinate_channels
from congeal.networks.decoders import LightDecoder
from congeal.networks.embedding import EmbeddingNetwork, EmbeddingOutput
from congeal.networks.encoders import (
    CompactEncoder,
    TimmEncoder,
    build_encoder,
    encoder_statistics,
    list_encoders,
)
from congeal.networks.heads import FullResolutionHead, ProjectedHead

__all__ = [
    "CompactEncoder",
    "EmbeddingNetwork",
    "EmbeddingOutput",
    "FullResolutionHead",
    "LightDecoder",
    "ProjectedHead",
    "RotaryPosition",
    "TimmEncoder",
    "build_encoder",
    "coordinate_channels",
    "encoder_statistics",
    "freeze_batch_norm",
    "list_encoders",
]
