"""What gradients and mixed precision ask of losses and groupings."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

from congeal.errors import CongealError

__all__ = ["full_precision", "once_differentiable", "once_through"]

P = ParamSpec("P")
R = TypeVar("R")


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


def once_differentiable(gradient: Tensor, loss: str) -> Tensor:
    """Make the second derivative of a loss an error instead of a wrong number.

    Args:
        gradient: any shape, as a backward pass returns it; treated as a constant.
        loss: name of the loss, for the message.

    Returns:
        The same numbers; differentiating them raises ``CongealError``. Outside of
        ``create_graph=True`` it is the tensor itself.

    Example:
        >>> with torch.no_grad():
        ...     once_differentiable(torch.ones(2), "loss").tolist()
        [1.0, 1.0]
    """
    if not torch.is_grad_enabled():  # no second derivative can follow
        return gradient
    held: Tensor = _Once.apply(gradient.detach().requires_grad_(), loss)
    return held


class _OnceThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, what: str) -> Tensor:
        ctx.what = what
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return once_differentiable(grads[0], ctx.what), None


def once_through(values: Tensor, what: str) -> Tensor:
    """Give the same numbers; the second derivative of what is made of them is refused.

    For what PyTorch differentiates once only, whose own message names none of our functions.

    Args:
        values: any shape.
        what: is made of them, for the message.

    Example:
        >>> once_through(torch.ones(2), "mean shift").tolist()
        [1.0, 1.0]
    """
    if not (torch.is_grad_enabled() and values.requires_grad) or torch.compiler.is_compiling():
        return values
    through: Tensor = _OnceThrough.apply(values, what)
    return through


def full_precision(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function so that autocast is off inside and half-precision arguments are float32.

    Float64 arguments stay float64. The device is that of the first tensor among the arguments.

    Example:
        >>> @full_precision
        ... def product(a: Tensor, b: Tensor) -> Tensor:
        ...     return a @ b
        >>> with torch.autocast("cpu", torch.bfloat16):
        ...     product(torch.ones(2, 2), torch.ones(2, 2, dtype=torch.float16)).dtype
        torch.float32
    """

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        given = [*args, *kwargs.values()]
        device = next((value.device.type for value in given if isinstance(value, Tensor)), "cpu")
        whole = [_widened(value) for value in args]
        named = {name: _widened(value) for name, value in kwargs.items()}
        with torch.autocast(device, enabled=False):
            return function(*whole, **named)

    return wrapped


def _widened(value: Any) -> Any:
    half = isinstance(value, Tensor) and value.dtype in (torch.float16, torch.bfloat16)
    return value.float() if half else value
