"""How each setting of RPE for semantic segmentation shows."""

from __future__ import annotations

import torch
from cases.effects import INPUT, METHOD, NETWORK, Effect, Elsewhere, Trained

from congeal.methods import MapPrediction

__all__ = ["EFFECTS", "SHORT", "made_up_maps"]

HERE = "tests/methods/rpe/test_semantic.py::"

# Settings of the short training.
SHORT = {"network.dimensions": 4, "network.pyramid_width": 16, "loss.samples": 64}

EFFECTS: dict[str, Effect] = {
    **METHOD,
    **{path: effect for path, effect in INPUT.items() if path != "input.min_object_area"},
    **NETWORK,
    "network.dimensions": Trained(8),
    "network.stride": Trained(8),
    "network.pyramid_width": Trained(24),
    "network.pyramid_rates": Trained((32.0, 64.0)),
    "loss.margin": Trained(0.2),
    "loss.negative_weight": Trained(3.0),
    "loss.samples": Trained(32),
    "loss.sampling": Trained("uniform"),
    "loss.mean_shift_steps": Trained(0),
    "loss.eta": Trained(0.5),
    "loss.concentration": Trained(5.0),
    "loss.embedding_weight": Trained(0.0),
    "decoding.scales": Elsewhere(HERE + "test_several_scales_are_averaged"),
    "decoding.mirror": Elsewhere(HERE + "test_mirrored_prediction_is_that_of_the_mirrored_image"),
}


def made_up_maps() -> MapPrediction:
    """Probabilities of a disc of the second class."""
    y, x = torch.meshgrid(*2 * [torch.arange(64.0)], indexing="ij")
    disc = (torch.hypot(y - 30, x - 34) < 18).float()
    odds = torch.stack([0.8 - 0.6 * disc, torch.full_like(disc, 0.2), 0.6 * disc])
    return MapPrediction({"probabilities": odds, "embedding": torch.zeros(4, 16, 16)}, (64, 64), 4)
