"""The decoder of label maps that the settings of RPE ask for."""

from __future__ import annotations

from typing import Any

from congeal.grouping.decoder import GroupDecoder
from congeal.grouping.groups import Grouping
from congeal.grouping.mean_shift import MeanShift
from congeal.grouping.registry import build_grouping
from congeal.methods.method import MapPrediction
from congeal.methods.rpe.config import ObjectConfig

__all__ = ["build_decoder"]

ANCHORS = 4096  # points that shift over a whole image: drawn sticks at stride 2 shift whole


def build_decoder(
    config: ObjectConfig, concentration: float, maps: MapPrediction, bandwidth: float = 1.0
) -> GroupDecoder:
    """Make the decoder of the maps of one image.

    Args:
        config: settings in force.
        concentration: kappa of the loss, for where decoding has none of its own.
        maps: to decode; their stride and scale say how large pixels are.
        bandwidth: relative to that of the settings; as the margin alpha is three standard
            deviations, 1 - alpha grows with it and kappa falls with its square.

    Example:
        >>> from congeal.methods.rpe.config import RPEConfig
        >>> config = RPEConfig.from_settings({"repulsion_radius": 16})
        >>> build_decoder(config, 36.0, MapPrediction({}, (8, 8), stride=2)).grouping.kernel_radius
        4.0
    """
    c = config.decoding
    kappa = c.decode_concentration or concentration
    margin = config.loss.margin if c.merge_margin is None else c.merge_margin
    if bandwidth != 1:
        kappa, margin = kappa / bandwidth**2, max(0.0, 1 - bandwidth * (1 - margin))
    return GroupDecoder(
        _grouping(config, maps, margin, kappa),
        min_area=c.min_area / config.input.scale**2,
        min_area_ratio=c.min_area_ratio,
        # Far-apart objects may share a direction, whatever groups them.
        split_components=c.split_components or _kernel_radius(config) is not None,
        fill_holes=c.fill_holes,
    )


def _kernel_radius(config: ObjectConfig) -> float | None:
    """In pixels that the network sees: as set, or half the repulsion radius."""
    c, repulsion = config.decoding, config.loss.repulsion_radius
    half = None if repulsion is None else repulsion / 2
    return half if c.grouping != "auto" else c.kernel_radius or half


def _grouping(config: ObjectConfig, maps: MapPrediction, margin: float, kappa: float) -> Grouping:
    """The grouping that the settings name; auto: mean shift, within the radius if any."""
    c, radius = config.decoding, _kernel_radius(config)
    options: dict[str, Any] = dict(c.grouping_options)
    if c.grouping == "mean-shift":
        options = {"concentration": kappa, "margin": margin} | options
    if c.grouping != "auto":
        return build_grouping(c.grouping, **options)
    pixel = config.input.scale * maps.stride  # of the map, in pixels of the scaled image
    return MeanShift(
        kappa,
        margin,
        kernel_radius=None if radius is None else radius / (pixel * maps.scale),
        anchors=ANCHORS,
        min_area=c.min_area / pixel**2,
    )
