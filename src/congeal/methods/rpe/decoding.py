"""The decoder that the settings of RPE ask for."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from congeal.grouping.decoder import GroupDecoder
from congeal.grouping.groups import Grouping
from congeal.grouping.mean_shift import MeanShift
from congeal.grouping.registry import build_grouping
from congeal.methods.rpe.config import RPEConfig

__all__ = ["build_decoder", "without_largest"]

ANCHORS = 4096  # points that shift over a whole image: drawn sticks at stride 2 shift whole


def build_decoder(
    config: RPEConfig, concentration: float, shown: float, stride: int
) -> GroupDecoder:
    """Make the decoder of the maps of one image.

    Args:
        config: all settings.
        concentration: kappa of the loss.
        shown: pixels that the network saw for each pixel of the image along a side.
        stride: pixels of the image per pixel of the embedding.

    Example:
        >>> build_decoder(RPEConfig(), 36.0, shown=1.0, stride=2).min_area
        16.0
    """
    c = config.decoding
    radius = _kernel_radius(config)
    return GroupDecoder(
        _grouping(
            config, concentration, None if radius is None else radius / shown / stride, stride
        ),
        min_area=c.min_area / config.input.scale**2,
        min_area_ratio=c.min_area_ratio,
        # Far-apart objects may share a direction, whatever groups them.
        split_components=c.split_components or radius is not None,
        fill_holes=c.fill_holes,
    )


def _kernel_radius(config: RPEConfig) -> float | None:
    """In pixels that the network sees: as set, or half the repulsion radius."""
    c, repulsion = config.decoding, config.loss.repulsion_radius
    half = None if repulsion is None else repulsion / 2
    return half if c.grouping != "auto" else c.kernel_radius or half


def _grouping(
    config: RPEConfig, concentration: float, radius: float | None, stride: int
) -> Grouping:
    """The grouping that the settings name; auto: mean shift, within the radius if any."""
    c = config.decoding
    kappa = c.decode_concentration or concentration
    margin = config.loss.margin if c.merge_margin is None else c.merge_margin
    options: dict[str, Any] = dict(c.grouping_options)
    if c.grouping == "mean-shift":
        options = {"concentration": kappa, "margin": margin} | options
    if c.grouping != "auto":
        return build_grouping(c.grouping, **options)
    min_area = c.min_area / config.input.scale**2
    return MeanShift(kappa, margin, reach=radius, anchors=ANCHORS, smallest=min_area / stride**2)


def without_largest(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Take the largest group for background.

    Example:
        >>> without_largest(np.array([[1, 1, 2]])).tolist()
        [[0, 0, 1]]
    """
    area = np.bincount(labels.ravel())
    area[0] = 0
    if not area.any():
        return labels
    largest = int(area.argmax())
    rename = np.arange(len(area))
    rename[largest] = 0
    rename[largest + 1 :] -= 1
    return rename[labels]
