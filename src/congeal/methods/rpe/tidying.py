"""Grouping of the maps of RPE, for a whole image or a tile."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from congeal.grouping.components import absorb_small, fill_holes
from congeal.grouping.decoder import GroupDecoder
from congeal.labels import relabel
from congeal.methods.maps import MapPrediction

__all__ = ["group_maps"]


def group_maps(
    decode: GroupDecoder, maps: MapPrediction, mask: Tensor, weights: Tensor
) -> NDArray[np.int64]:
    """Group the pixels of a mask.

    In a tile, ``decoding.min_area_ratio`` is relative to the typical area in the whole image.

    Args:
        decode: decoder with the current settings.
        maps: with ``embedding (D, h, w)``, unit vectors.
        mask: ``(H, W)`` bool, the foreground.
        weights: ``(H, W)``, seed weight of each pixel.

    Returns:
        ``(H, W)`` int64 labels, 1..K.
    """
    embedding = maps.maps["embedding"]
    if maps.statistics is None:
        return decode(embedding, mask, weights, stride=maps.stride)
    plain = replace(decode, min_area_ratio=0.0, fill_holes=False)
    labels = plain(embedding, mask, weights, stride=maps.stride)
    smallest = decode.min_area_ratio * maps.statistics.typical_area
    labels = absorb_small(labels, smallest, spare_edge=True)
    return relabel(fill_holes(labels) if decode.fill_holes else labels)
