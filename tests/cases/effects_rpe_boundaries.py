"""How each setting of RPE for boundaries shows."""

from __future__ import annotations

import torch
from cases.effects import INPUT, METHOD, NETWORK, Decoded, Effect, Elsewhere, Trained

from congeal.methods import MapPrediction

__all__ = ["EFFECTS", "SHORT", "made_up_maps"]

# Settings of the short training.
SHORT = {"loss.samples": 64, "loss.embedding_share": 0.5}

EFFECTS: dict[str, Effect] = {
    **METHOD,
    "class_names": Elsewhere(
        "tests/methods/test_contract.py::test_the_folder_says_what_the_model_is"
    ),
    **{path: effect for path, effect in INPUT.items() if path != "input.min_object_area"},
    **NETWORK,
    "network.dimensions": Trained(4),
    "network.stride": Trained(4),
    "network.top_down": Trained(False),
    "loss.consensus": Elsewhere(
        "tests/methods/rpe/test_boundaries.py::"
        "test_consensus_decides_what_the_losses_take_for_boundary"
    ),
    "loss.margin": Trained(0.6),
    "loss.negative_weight": Trained(3.0),
    "loss.samples": Trained(32),
    "loss.sampling": Trained("uniform"),
    "loss.embedding_share": Trained(0.0),
    "loss.embedding_weight": Trained(1.0),
    "loss.balance": Trained(0.0),
    "decoding.scales": Decoded((1.0, 1.5)),
    "decoding.side_weight": Decoded(1.0),
    "decoding.smoothing": Decoded(3.0),
    "decoding.thin": Decoded(False),
}


def made_up_maps() -> MapPrediction:
    """Two maps that disagree on how strong a ring is."""
    y, x = torch.meshgrid(*2 * [torch.arange(64.0)], indexing="ij")
    ring = torch.exp(-(((torch.hypot(y - 30, x - 34) - 18) / 2) ** 2))[None]
    return MapPrediction(
        {"sides": 0.9 * ring, "fusion": 0.5 * ring.sqrt(), "embedding": torch.zeros(3, 32, 32)},
        (64, 64),
        stride=2,
    )
