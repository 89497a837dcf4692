"""How each setting of RPE shows."""

from __future__ import annotations

import torch
from cases.effects import INPUT, METHOD, NETWORK, Decoded, Effect, Elsewhere, Trained

from congeal.methods import MapPrediction
from congeal.sphere import normalise

__all__ = ["EFFECTS", "SHORT", "made_up_maps"]

# Settings of the short training.
SHORT = {"network.dimensions": 4, "loss.samples": 128, "decoding.min_area": 4.0}

# Decoding that keeps the made-up ring in one piece.
ONE_RING = {"decoding.decode_concentration": 36.0, "decoding.merge_margin": 0.5}

EFFECTS: dict[str, Effect] = {
    **METHOD,
    **INPUT,
    **NETWORK,
    "network.dimensions": Trained(8),
    "network.stride": Trained(4),
    "network.coordinates": Trained("none"),
    "network.classifier": Trained("vote"),
    "network.wavelengths": Trained((16.0, 64.0), {"network.coordinates": "rotary"}),
    "loss.background": Trained("group"),
    "loss.margin": Trained(0.3),
    "loss.negative_weight": Trained(3.0),
    "loss.samples": Trained(64),
    "loss.sampling": Trained("uniform"),
    "loss.repulsion_radius": Trained(10.0),
    "loss.mean_shift_steps": Trained(2, {"loss.mean_shift_start": 0.0}),
    "loss.mean_shift_start": Trained(1.0, {"loss.mean_shift_start": 0.0}),
    "loss.eta": Trained(0.5, {"loss.mean_shift_start": 0.0}),
    "loss.concentration": Trained(5.0, {"loss.mean_shift_start": 0.0}),
    "loss.learn_concentration": Trained(True, {"loss.mean_shift_start": 0.0}),
    "loss.embedding_weight": Trained(3.0),
    "loss.class_weight": Trained(4.0),
    "loss.touching_weight": Trained(3.0),
    "decoding.tta": Decoded(2),
    "decoding.foreground_threshold": Decoded(0.9),
    "decoding.min_area": Decoded(80.0),
    "decoding.min_area_ratio": Decoded(0.6),
    "decoding.score": Elsewhere(
        "tests/methods/rpe/test_scoring.py::"
        "test_the_setting_changes_scores_and_never_which_objects_there_are"
    ),
    "decoding.min_score": Decoded(0.95),
    "decoding.merge_margin": Decoded(0.0),
    "decoding.kernel_radius": Decoded(6.0),
    "decoding.decode_concentration": Decoded(0.5),
    "decoding.split_components": Decoded(True),
    "decoding.fill_holes": Decoded(True, ONE_RING),
    "decoding.seed_power": Decoded(0.0),
    "decoding.grouping": Decoded("k-means"),
    "decoding.grouping_options": Decoded({"grid": 6}, {"decoding.grouping": "k-means"}),
}


def made_up_maps() -> MapPrediction:
    """Noisy maps of a ring, two discs that share a direction, an unsure one and a small one."""
    y, x = torch.meshgrid(*2 * [torch.arange(64.0)], indexing="ij")
    ring = (torch.hypot(y - 16, x - 16) - 9).abs() < 4
    discs = [
        torch.hypot(y - row, x - column) < radius
        for row, column, radius in ((16, 46, 8), (46, 16, 8), (46, 44, 9), (60, 60, 3))
    ]
    labels = ring + 2 * discs[0] + 2 * discs[1] + 3 * discs[2] + 4 * discs[3]
    noise = torch.randn(4, 32, 32, generator=torch.Generator().manual_seed(0))
    directions = torch.eye(5, 4)[labels[::2, ::2]].movedim(-1, 0).roll(1, 0)
    sure = torch.where(discs[2], 1.0, 4.0)
    logits = torch.where(labels > 0, sure, -sure)
    touching = torch.where(discs[0] & (x > 46), 4.0, -4.0)[None]
    return MapPrediction(
        {
            "embedding": normalise(directions + 0.3 * noise, dim=0),
            "semantic": torch.stack([-logits / 2, logits / 2, logits / 4]),
            "boundary": touching,
            "touching": touching,
        },
        (64, 64),
        stride=2,
    )
