"""Logistic loss of maps with rare positive pixels, such as boundaries, with class balancing."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from congeal.errors import CongealError

__all__ = ["BalancedLogisticLoss", "balanced_logistic_loss"]


def balanced_logistic_loss(logits: Tensor, target: Tensor, *, balance: float = 1.0) -> Tensor:
    """Logistic loss with balanced weights of positive and negative pixels of an image.

    With n1 positive and n0 negative pixels in an image, a positive one weighs
    ``(n0 / n1) ** balance`` times a negative one, and the mean is that of the weights. At 1 both
    kinds have half of the weight, as in HED (Xie & Tu, ICCV 2015, equation 2); at 0 it is the plain
    logistic loss. An image without one of the two kinds has the plain loss.

    Args:
        logits: ``(B, *S)``.
        target: ``(B, *S)`` int64: 1 positive, 0 negative, -1 void.
        balance: 0 to 1.

    Returns:
        A scalar: the mean over the images that have any pixel not void; 0 without one.

    Raises:
        CongealError: the shapes differ, or the balance is out of range.

    Example:
        >>> logits, target = torch.full((1, 4), -4.0), torch.tensor([[1, 0, 0, 0]])
        >>> [round(float(balanced_logistic_loss(logits, target, balance=b)), 2) for b in (0, 1)]
        [1.02, 2.02]
    """
    if logits.shape != target.shape:
        raise CongealError(
            f"expected logits and target of one shape, got {tuple(logits.shape)} and "
            f"{tuple(target.shape)}"
        )
    if not 0 <= balance <= 1:
        raise CongealError(f"expected a balance in [0, 1], got {balance}")
    x = logits.flatten(1)
    x = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    flat = target.flatten(1)
    positive, known = (flat > 0).to(x.dtype), (flat >= 0).to(x.dtype)  # (B, N)
    ones = positive.sum(1, keepdim=True)
    zeros = known.sum(1, keepdim=True) - ones
    ratio = torch.where((ones > 0) & (zeros > 0), zeros / ones.clamp_min(1), torch.ones_like(ones))
    weight = known * torch.where(positive > 0, ratio**balance, torch.ones_like(ratio))
    with torch.autocast(x.device.type, enabled=False):
        loss = functional.binary_cross_entropy_with_logits(x, positive, reduction="none")
    total = weight.sum(1)
    images = (loss * weight).sum(1) / total.clamp_min(1)
    mean: Tensor = images.sum() / (total > 0).sum().clamp_min(1)
    return mean


class BalancedLogisticLoss(nn.Module):
    """:func:`balanced_logistic_loss` as a Module; see there for the arguments.

    Example:
        >>> loss = BalancedLogisticLoss()(torch.zeros(1, 2, 2), torch.tensor([[[1, 0], [0, -1]]]))
        >>> round(float(loss), 3)
        0.693
    """

    def __init__(self, *, balance: float = 1.0) -> None:
        super().__init__()
        self.balance = balance

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of ``(B, *S)`` logits and targets, a scalar."""
        return balanced_logistic_loss(logits, target, balance=self.balance)
