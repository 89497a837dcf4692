"""Networks: encoders, decoders, heads, and complete networks by name.

Flow of an embedding network: image -> encoder (feature maps at strides 2, 4, ...) -> decoder (one
map at stride 2 or 4) -> heads (embedding, class logits, touching logits).
"""

from congeal.networks.blocks import freeze_batch_norm
from congeal.networks.coordinates import RotaryPosition, coordinate_channels
from congeal.networks.decoders import LightDecoder
from congeal.networks.dilation import Dilation
from congeal.networks.embedding import EmbeddingNetwork, EmbeddingOutput
from congeal.networks.encoders import (
    CompactEncoder,
    TimmEncoder,
    build_encoder,
    encoder_statistics,
    list_encoders,
)
from congeal.networks.enet import ENet
from congeal.networks.heads import FullResolutionHead, ProjectedHead
from congeal.networks.pixelwise import PixelNetwork
from congeal.networks.registry import NETWORKS, EncoderDecoder, build_network
from congeal.networks.resnet38 import ResNet38
from congeal.networks.segnet import SegNet

__all__ = [
    "NETWORKS",
    "CompactEncoder",
    "Dilation",
    "ENet",
    "EmbeddingNetwork",
    "EmbeddingOutput",
    "EncoderDecoder",
    "FullResolutionHead",
    "LightDecoder",
    "PixelNetwork",
    "ProjectedHead",
    "ResNet38",
    "RotaryPosition",
    "SegNet",
    "TimmEncoder",
    "build_encoder",
    "build_network",
    "coordinate_channels",
    "encoder_statistics",
    "freeze_batch_norm",
    "list_encoders",
]
