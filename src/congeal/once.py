"""Gradients that were gathered in the forward pass and cannot be differentiated again."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from congeal.errors import CongealError

__all__ = ["once"]


class _Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gradient: Tensor, loss: str) -> Tensor:
        ctx.loss = loss
        return gradient.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, None]:
        raise CongealError(
            f"expected to be differentiated once, got a second derivative of the {ctx.loss}"
        )


def once(gradient: Tensor, loss: str) -> Tensor:
    """Let a gradient say so where it is to be differentiated again, being held constant here.

    Args:
        gradient: any shape, as a backward pass returns it.
        loss: what it is the gradient of, for the message.

    Returns:
        The same numbers; taking their gradient raises ``CongealError``. Outside of
        ``create_graph=True`` it is the tensor itself.

    Example:
        >>> with torch.no_grad():
        ...     once(torch.ones(2), "loss").tolist()
        [1.0, 1.0]
    """
    if not torch.is_grad_enabled():  # no second derivative can follow
        return gradient
    held: Tensor = _Once.apply(gradient.detach().requires_grad_(), loss)
    return held
