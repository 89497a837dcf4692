"""How each setting of DVIS shows."""

from __future__ import annotations

import torch
from cases.effects import INPUT, METHOD, NETWORK, Decoded, Effect, Trained

from congeal.methods import MapPrediction

__all__ = ["EFFECTS", "SHORT", "made_up_maps"]

# Settings of the short training: by this seed the value map starts above 0, so that it has
# candidates, and none of them is rejected.
SHORT = {
    "training.seed": 2,
    "network.coordinates": "channels",  # by the head, values start below 0
    "network.verification_width": 8,
    "loss.candidate_share": 1.0,
    "decoding.foreground_threshold": 0.01,
    "decoding.min_area": 4.0,
    "decoding.min_score": 0.0,
}

# The fourth step verifies candidates; there are many, and all have a class.
VERIFYING = {
    "training.epochs": 4,
    "decoding.bandwidths": (0.001, 0.0003),
    "loss.negative_iou": 1.0,
}

# Candidates may overlap.
ALL = {"decoding.max_overlap": 1.0}

EFFECTS: dict[str, Effect] = {
    **METHOD,
    **INPUT,
    **NETWORK,
    "network.channels": Trained(2),
    "network.stride": Trained(4),
    "network.coordinates": Trained("none"),
    "network.settle_norm": Trained(0.0),
    "network.features": Trained("encoder"),
    "network.verification_width": Trained(16),
    "network.verification_stride": Trained(1),
    "network.object_pooling": Trained(False),
    "network.box_margin": Trained(0.5, VERIFYING),
    "loss.binary_weight": Trained(3.0),
    "loss.permutation_weight": Trained(1.0),
    "loss.mumford_shah_weight": Trained(1.0),
    "loss.quantisation_weight": Trained(3.0),
    "loss.object_margin": Trained(3.0, {"loss.theta": 5.0}),
    "loss.margin": Trained(2.0),
    "loss.theta": Trained(1.0),
    "loss.pairs": Trained("random"),
    "loss.window": Trained(9),
    "loss.centre": Trained(2),
    "loss.dilation": Trained(4),
    "loss.pair_count": Trained(64, {"loss.pairs": "random"}),
    "loss.different_weight": Trained(1.0),
    "loss.repulsion_radius": Trained(10.0),
    "loss.class_weight": Trained(3.0, VERIFYING),
    "loss.iou_weight": Trained(3.0, VERIFYING),
    "loss.positive_iou": Trained(0.01, VERIFYING),
    "loss.negative_iou": Trained(0.01, VERIFYING),
    "loss.joint": Trained(False),
    "loss.candidates_from": Trained(0.0),
    "loss.candidate_share": Trained(0.01, VERIFYING),
    "loss.true_candidates": Trained(False, VERIFYING),
    "loss.jitter": Trained(0.0, VERIFYING),
    "loss.candidates": Trained(1, VERIFYING),
    "decoding.bandwidths": Decoded((0.4,), ALL),
    "decoding.foreground_threshold": Decoded(1.5),
    "decoding.min_area": Decoded(80.0),
    "decoding.split_components": Decoded(True),
    "decoding.duplicate_iou": Decoded(0.5, ALL),
    "decoding.max_candidates": Decoded(1, ALL),
    "decoding.iou_share": Decoded(0.0),
    "decoding.min_score": Decoded(0.95),
    "decoding.max_overlap": Decoded(1.0),
    "decoding.fill_holes": Decoded(True),
}


def made_up_maps() -> MapPrediction:
    """A ring, two discs of one value, two that touch and are close in value, and a small low one.

    The two that touch are a large and a small one, so that both together are nearly the large one.
    """
    y, x = torch.meshgrid(*2 * [torch.arange(64.0)], indexing="ij")
    values = 5.0 * ((torch.hypot(y - 16, x - 16) - 9).abs() < 4)
    for row, column, radius, value in (
        (16, 46, 8, 3.0),
        (46, 16, 8, 3.0),
        (46, 44, 10, 7.0),
        (46, 57, 6, 7.6),
        (60, 28, 3, 1.2),
    ):
        values[torch.hypot(y - row, x - column) < radius] = value
    features = torch.randn(8, 8, 8, generator=torch.Generator().manual_seed(0))
    return MapPrediction({"values": values[None, ::2, ::2], "features": features}, (64, 64), 2)
