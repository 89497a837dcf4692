"""Random embeddings with labels and classes, for losses that take both."""

from __future__ import annotations

import torch


def labelled_maps(seed=0, batch=2, size=(3, 4), dimensions=3, labels=4, classes=3, *, scale=1):
    """Embeddings of any length, about as long as the scale, labels and classes from -1 up."""
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, *size)
    embedding = torch.randn(batch, dimensions, *size, generator=generator, dtype=torch.float64)
    objects = torch.randint(-1, labels, shape, generator=generator)
    return embedding * scale, objects, torch.randint(-1, classes, shape, generator=generator)
