"""How each setting of the discriminative method shows."""

from __future__ import annotations

import torch
from cases.effects import INPUT, METHOD, NETWORK, Decoded, Effect, Elsewhere, Trained

from congeal.methods import MapPrediction

__all__ = ["EFFECTS", "SHORT", "made_up_maps"]

# Settings of the short training; an untrained embedding is within the paper's delta_v already.
SHORT = {"network.dimensions": 4, "loss.delta_v": 0.02, "decoding.bandwidth": 0.5}

MODEL = "tests/methods/discriminative/test_model.py::"
ROTARY = {"network.coordinates": "rotary"}
NARROW = {"network.name": "segnet", "network.width_divisor": 16}

EFFECTS: dict[str, Effect] = {
    **METHOD,
    **INPUT,
    **NETWORK,
    "network.pretrained": Elsewhere(MODEL + "test_pretrained_weights_are_asked_of_timm"),
    "network.encoder_weights": Elsewhere(MODEL + "test_weights_of_the_encoder_come_from_a_file"),
    "network.name": Trained("enet"),
    "network.dimensions": Trained(8),
    "network.stride": Trained(4),
    "network.width_divisor": Trained(32, NARROW),
    "network.coordinates": Trained("none"),
    "network.wavelengths": Trained((16.0, 64.0), ROTARY),
    "loss.delta_v": Trained(0.01),
    "loss.delta_d": Trained(3.0),
    "loss.variance_weight": Trained(3.0),
    "loss.distance_weight": Trained(3.0),
    "loss.regularisation_weight": Trained(3.0),
    "loss.semantic_weight": Trained(3.0),
    "decoding.foreground_threshold": Decoded(0.9),
    "decoding.bandwidth": Decoded(30.0),
    "decoding.threshold": Decoded(10.0),
    "decoding.grouping": Decoded("k-means"),
    "decoding.grouping_options": Decoded({"max_instances": 1}),
    "decoding.semantic": Elsewhere(
        "tests/methods/discriminative/test_decoding.py::"
        "test_another_model_may_tell_the_classes_by_name"
    ),
    "decoding.stuff": Decoded(("disc",)),
    "decoding.min_area": Decoded(80.0),
    "decoding.min_score": Decoded(0.6),
    "decoding.split_components": Decoded(True),
    "decoding.fill_holes": Decoded(True),
}


def made_up_maps() -> MapPrediction:
    """Noisy maps of a ring, two discs that share a place, an unsure one and a small one."""
    y, x = torch.meshgrid(*2 * [torch.arange(32.0)], indexing="ij")
    ring = (torch.hypot(y - 8, x - 8) - 4.5).abs() < 2
    discs = [
        torch.hypot(y - row, x - column) < radius
        for row, column, radius in ((8, 23, 4), (23, 8, 4), (23, 22, 4.5), (29, 29, 2))
    ]
    labels = ring + 2 * discs[0] + 2 * discs[1] + 3 * discs[2] + 4 * discs[3]
    noise = torch.randn(4, 32, 32, generator=torch.Generator().manual_seed(0))
    places = 3.0 * torch.eye(5, 4)[labels].movedim(-1, 0).roll(1, 0)  # 2 delta_d apart, or more
    sure = torch.where(discs[2], 1.0, 4.0)
    logits = torch.where(labels > 0, sure, -sure)
    semantic = torch.stack([-logits / 2, logits / 2, logits / 4])
    semantic = semantic.repeat_interleave(2, 1).repeat_interleave(2, 2)
    maps = {"embedding": places + 0.1 * noise, "semantic": semantic}
    return MapPrediction(maps, (64, 64), stride=2)
