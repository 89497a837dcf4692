"""Maps for SegSort's losses, and either loss by name."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from cases.labelled_maps import labelled_maps

from congeal.losses import vmf_loss, vmf_n_loss

BOTH = pytest.mark.parametrize("name", ["vmf", "vmf_n"])


drawn = partial(labelled_maps, scale=3)


def same(loss, expected, tolerance=1e-12):
    torch.testing.assert_close(loss, torch.as_tensor(expected), atol=tolerance, rtol=tolerance)


def loss_of(name, embedding, segments, semantic, **how):
    """Either loss by name."""
    if name == "vmf":
        return vmf_loss(embedding, segments, **how)
    return vmf_n_loss(embedding, segments, semantic, **how)
