"""Maps for SegSort's losses, and either loss by name."""

from __future__ import annotations

import pytest
import torch

from congeal.losses import vmf_loss, vmf_n_loss

BOTH = pytest.mark.parametrize("name", ["vmf", "vmf_n"])


def drawn(seed=0, batch=2, size=(3, 4), dimensions=3, labels=4, classes=3):
    """Random embeddings (of any length), segments and classes from -1 up."""
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, *size)
    embedding = torch.randn(batch, dimensions, *size, generator=generator, dtype=torch.float64)
    segments = torch.randint(-1, labels, shape, generator=generator)
    return embedding * 3, segments, torch.randint(-1, classes, shape, generator=generator)


def same(loss, expected, tolerance=1e-12):
    torch.testing.assert_close(loss, torch.as_tensor(expected), atol=tolerance, rtol=tolerance)


def loss_of(name, embedding, segments, semantic, **how):
    """Either loss by name."""
    if name == "vmf":
        return vmf_loss(embedding, segments, **how)
    return vmf_n_loss(embedding, segments, semantic, **how)
