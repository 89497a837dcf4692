"""Pixels where objects touch, as a training target, and their loss."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from congeal.processes import shared_count

__all__ = ["touching", "touching_loss"]

TOUCHING_WEIGHT = 3.0  # of a touching pixel in the loss: they are the fewer
EXACT = 2**24  # float32 represents integers exactly up to here


def touching(labels: Tensor, distance: int = 2) -> Tensor:
    """Pixels of objects that have another object within ``distance`` (Chebyshev).

    Args:
        labels: ``(B, H, W)`` int64; 0 and -1 are no objects.
        distance: in pixels.

    Returns:
        ``(B, H, W)`` bool.

    Example:
        >>> touching(torch.tensor([[[1, 1, 1, 1, 2, 2, 0]]])).int().tolist()
        [[[0, 0, 1, 1, 1, 1, 0]]]
    """
    inside = labels > 0
    # float32 has a wider choice of quick kernels than integers, but would merge large labels
    exact = labels.numel() == 0 or int(labels.max()) < EXACT
    ends = torch.stack([labels, -labels], 1).to(torch.float32 if exact else torch.float64)
    ends = ends.masked_fill(~inside[:, None], -torch.inf)  # highest, and lowest turned round
    for axis in (2, 3):
        ends = _widened(ends, distance, axis)
    return inside & (ends[:, 0] != -ends[:, 1])


def touching_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Binary cross-entropy of touching pixels, over the pixels of objects.

    Args:
        logits: ``(B, H, W)``.
        labels: ``(B, H, W)`` int64; 0 and -1 are no objects.

    Returns:
        The mean; 0 if there is no object.

    Example:
        >>> touching_loss(torch.zeros(1, 1, 3), torch.tensor([[[1, 1, 0]]])).round(decimals=3)
        tensor(0.6930)
    """
    inside = labels > 0
    loss = functional.binary_cross_entropy_with_logits(
        logits,
        touching(labels).to(logits.dtype),
        pos_weight=logits.new_tensor(TOUCHING_WEIGHT),
        reduction="none",
    )
    return (loss * inside).sum() / shared_count(inside.sum())


def _widened(values: Tensor, distance: int, axis: int) -> Tensor:
    """The largest value within a distance along an axis."""
    length, largest = values.shape[axis], values.clone()
    for step in range(1, min(distance, length - 1) + 1):
        before, after = (values.narrow(axis, start, length - step) for start in (0, step))
        for start, other in ((step, before), (0, after)):
            part = largest.narrow(axis, start, length - step)
            torch.maximum(part, other, out=part)
    return largest
