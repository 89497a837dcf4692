"""How each setting of SegSort shows."""

from __future__ import annotations

import torch
from cases.effects import INPUT, METHOD, NETWORK, Decoded, Effect, Elsewhere, Trained

from congeal.methods import MapPrediction
from congeal.sphere import normalise

__all__ = ["EFFECTS", "SHORT", "made_up_maps"]

# Settings of the short training.
SHORT = {"network.dimensions": 4, "loss.samples": 128}

HERE = "tests/methods/segsort/test_model.py::"

EFFECTS: dict[str, Effect] = {
    **METHOD,
    # Retrieval has no weights for classes.
    "class_names": Elsewhere(HERE + "test_a_class_without_a_prototype_has_no_votes"),
    **{path: effect for path, effect in INPUT.items() if path != "input.min_object_area"},
    "input.percentiles": Trained((20.0, 60.0)),  # the index is of images shown so
    **NETWORK,
    "network.pretrained": Elsewhere(HERE + "test_pretrained_weights_are_asked_for"),
    "network.encoder_weights": Elsewhere(HERE + "test_weights_of_the_encoder_come_from_a_file"),
    "network.dimensions": Trained(8),
    "network.stride": Trained(4),
    "network.pyramid_pooling": Trained(True),
    "loss.unsupervised": Trained(True),
    "loss.contours": Elsewhere(
        "tests/methods/segsort/test_unsupervised.py::"
        "test_boundary_maps_of_a_folder_make_other_segments"
    ),
    "loss.contour_threshold": Trained(0.95, {"loss.unsupervised": True}),
    "loss.grid": Trained(3),
    "loss.iterations": Trained(1),
    "loss.location_weight": Trained(0.2),
    "loss.concentration": Trained(20.0),
    "loss.memory": Trained(0),
    "loss.samples": Trained(64),
    "decoding.k": Decoded(1, {"decoding.k": 15}),
    "decoding.cells": Decoded(2),
    "decoding.hierarchy": Elsewhere(
        "tests/methods/segsort/test_hierarchy.py::test_regions_come_on_request_from_the_command_line"
    ),
}


def made_up_maps() -> MapPrediction:
    """A noisy embedding of two discs and a square on ground, each with a direction of its own."""
    y, x = torch.meshgrid(*2 * [torch.arange(0.0, 64.0, 2.0)], indexing="ij")
    labels = torch.zeros(32, 32, dtype=torch.int64)
    labels[torch.hypot(y - 16, x - 16) < 10] = 1
    labels[torch.hypot(y - 46, x - 16) < 8] = 2
    labels[((y - 40).abs() < 12) & ((x - 46).abs() < 12)] = 3
    noise = torch.randn(4, 32, 32, generator=torch.Generator().manual_seed(0))
    embedding = normalise(torch.eye(4)[labels].movedim(-1, 0) + 0.3 * noise, dim=0)
    return MapPrediction({"embedding": embedding}, (64, 64), stride=2, extra={"shown": (64, 64)})
