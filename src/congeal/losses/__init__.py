"""Losses that shape an embedding: functions, each with its Module."""

from congeal.losses.pairwise import (
    PairwiseLoss,
    PixelSample,
    pairwise_loss,
    sample_pixels,
    sampled_pairwise_loss,
)
from congeal.losses.touching import touching

__all__ = [
    "PairwiseLoss",
    "PixelSample",
    "pairwise_loss",
    "sample_pixels",
    "sampled_pairwise_loss",
    "touching",
]
