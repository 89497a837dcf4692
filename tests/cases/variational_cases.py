"""Maps for the variational loss."""

from __future__ import annotations

import torch

SMALL = {"window": 5, "centre": 2, "dilation": 2}


def drawn(seed=0, size=(5, 6), objects=3, batch=2):
    """Random values from -1 to 4 and labels from -1 up."""
    generator = torch.Generator().manual_seed(seed)
    values = 5 * torch.rand(batch, 1, *size, generator=generator, dtype=torch.float64) - 1
    return values, torch.randint(-1, objects + 1, (batch, *size), generator=generator)


def same(loss, expected):
    expected = torch.as_tensor(expected, dtype=loss.dtype)
    torch.testing.assert_close(loss, expected, atol=1e-12, rtol=1e-10)
