"""Values for one-dimensional mean shift."""

from __future__ import annotations

import torch


def mixture(seed=0, count=200, centres=(2.0, 3.1, 4.4, 6.0), spread=0.1):
    """Values around whole-ish numbers, float32 as a network gives them."""
    generator = torch.Generator().manual_seed(seed)
    index = torch.randint(len(centres), (count,), generator=generator)
    noise = spread * torch.randn(count, generator=generator)
    return torch.tensor(centres)[index] + noise, index
