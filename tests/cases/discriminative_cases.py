"""Maps for the discriminative loss."""

from __future__ import annotations

from cases.labelled_maps import labelled_maps


def drawn(seed=0, batch=2, size=(3, 4), dimensions=2, *counts, **more):
    """Random embeddings, labels and classes from -1 up."""
    return labelled_maps(seed, batch, size, dimensions, *counts, **more, scale=2)
