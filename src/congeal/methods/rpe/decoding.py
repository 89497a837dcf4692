"""The decoder of label maps that the settings of RPE ask for."""

from __future__ import annotations

from typing import Any

from congeal.grouping.groups import Grouping
from congeal.grouping.readout import ReadOut
from congeal.grouping.registry import build_grouping
from congeal.methods.rpe.config import ObjectConfig

__all__ = ["read_out_of"]


def read_out_of(config: ObjectConfig, concentration: float, bandwidth: float = 1.0) -> ReadOut:
    """Make the decoder.

    Args:
        config: settings in force.
        concentration: kappa of the loss, for where decoding has none of its own.
        bandwidth: relative to that of the settings; as the margin alpha is three standard
            deviations, 1 - alpha grows with it and kappa falls with its square.

    Example:
        >>> from congeal.methods.rpe.config import RPEConfig
        >>> read_out_of(RPEConfig.from_settings({"repulsion_radius": 16}), 36.0).reach
        8.0
    """
    c, loss = config.decoding, config.loss
    radius = loss.repulsion_radius
    kernel = c.kernel_radius or (None if radius is None else radius / 2)
    kappa = c.decode_concentration or concentration
    margin = loss.margin if c.merge_margin is None else c.merge_margin
    if bandwidth != 1:
        kappa, margin = kappa / bandwidth**2, max(0.0, 1 - bandwidth * (1 - margin))
    return ReadOut(
        margin=margin,
        concentration=kappa,
        reach=kernel,
        smallest=c.min_area,
        fragment=c.min_area_ratio,
        # Far-apart objects may share a direction, whatever groups them.
        connected=c.split_components or (radius is not None and c.grouping != "auto"),
        holes=c.fill_holes,
        grouping=_named_grouping(config, margin, kappa),
    )


def _named_grouping(config: ObjectConfig, margin: float, kappa: float) -> Grouping | None:
    """The grouping that the settings name; None: mean shift, as the decoder does it."""
    c = config.decoding
    if c.grouping == "auto":
        return None
    options: dict[str, Any] = dict(c.grouping_options)
    if c.grouping == "mean-shift":
        options = {"concentration": kappa, "margin": margin} | options
    return build_grouping(c.grouping, **options)
