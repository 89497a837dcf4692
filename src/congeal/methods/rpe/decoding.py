"""Construction of the decoder (embedding to label map) from the settings of RPE."""

from __future__ import annotations

from typing import Any

from congeal.grouping.decoder import GroupDecoder
from congeal.grouping.groups import Grouping
from congeal.grouping.mean_shift import MeanShift
from congeal.grouping.registry import build_grouping
from congeal.methods.method import MapPrediction
from congeal.methods.rpe.config import ObjectConfig

__all__ = ["build_decoder"]

ANCHORS = 4096  # pixels that mean shift moves per image; all pixels of drawn sticks at stride 2


def build_decoder(
    config: ObjectConfig, concentration: float, maps: MapPrediction, bandwidth: float = 1.0
) -> GroupDecoder:
    """Create the decoder for the maps of one image.

    Args:
        config: current settings.
        concentration: kappa of the loss, used if ``decoding.decode_concentration`` is None.
        maps: maps to decode; their stride and scale determine the size of pixels.
        bandwidth: factor b on the bandwidth of the kernel: kappa / b^2 and 1 - b (1 - alpha), since
            1 - alpha is three standard deviations.

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
        # With a radius, distant objects may have the same direction, for every grouping.
        split_components=c.split_components or _kernel_radius(config) is not None,
        fill_holes=c.fill_holes,
    )


def _kernel_radius(config: ObjectConfig) -> float | None:
    """Kernel radius in pixels of the scaled image: as set, or half the repulsion radius."""
    c, repulsion = config.decoding, config.loss.repulsion_radius
    half = None if repulsion is None else repulsion / 2
    return half if c.grouping != "auto" else c.kernel_radius or half


def _grouping(config: ObjectConfig, maps: MapPrediction, margin: float, kappa: float) -> Grouping:
    """The grouping of the settings; auto: mean shift, with the kernel radius if any."""
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
