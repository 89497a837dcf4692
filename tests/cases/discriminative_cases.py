"""Maps for the discriminative loss."""

from __future__ import annotations

import torch


def drawn(seed=0, batch=2, size=(3, 4), dimensions=2, labels=4, classes=3):
    """Random embeddings, labels and classes from -1 up."""
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, *size)
    embedding = torch.randn(batch, dimensions, *size, generator=generator, dtype=torch.float64)
    objects = torch.randint(-1, labels, shape, generator=generator)
    return embedding * 2, objects, torch.randint(-1, classes, shape, generator=generator)
