"""Autograd guards of losses and groupings: no double backward, no half precision inside."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

from congeal.errors import CongealError

__all__ = ["full_precision", "once_differentiable", "refuse_double_backward"]

P = ParamSpec("P")
R = TypeVar("R")


class _SingleBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gradient: Tensor, loss: str) -> Tensor:
        ctx.loss = loss
        return gradient.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, None]:
        raise CongealError(
            f"expected a first derivative only, got a second one: the {ctx.loss} does not support "
            "double backward"
        )


def once_differentiable(gradient: Tensor, loss: str) -> Tensor:
    """Raise an error on double backward through a gradient, instead of a wrong number.

    Args:
        gradient: any shape, the return value of a custom backward pass; treated as a constant.
        loss: name of the loss, for the error message.

    Returns:
        A tensor of the same shape and values; its backward pass raises ``CongealError``. Without
        ``create_graph=True`` it is ``gradient`` itself.

    Example:
        >>> with torch.no_grad():
        ...     once_differentiable(torch.ones(2), "loss").tolist()
        [1.0, 1.0]
    """
    if not torch.is_grad_enabled():  # no second derivative can follow
        return gradient
    guarded: Tensor = _SingleBackward.apply(gradient.detach().requires_grad_(), loss)
    return guarded


class _SingleBackwardIdentity(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, operation: str) -> Tensor:
        ctx.operation = operation
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return once_differentiable(grads[0], ctx.operation), None


def refuse_double_backward(values: Tensor, operation: str) -> Tensor:
    """Return the values unchanged; double backward through the result raises ``CongealError``.

    For operations that PyTorch itself differentiates only once: PyTorch's own error would not
    name the function of congeal that the user called.

    Args:
        values: any shape, the input of the operation.
        operation: its name, for the error message.

    Returns:
        The same values; ``values`` itself where no gradient is recorded.

    Example:
        >>> refuse_double_backward(torch.ones(2), "mean shift").tolist()
        [1.0, 1.0]
    """
    if not (torch.is_grad_enabled() and values.requires_grad) or torch.compiler.is_compiling():
        return values
    guarded: Tensor = _SingleBackwardIdentity.apply(values, operation)
    return guarded


def full_precision(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator: switch autocast off inside and cast half-precision arguments to float32.

    Float64 arguments stay float64. Autocast is switched off for the device of the first tensor.

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
        values = [*args, *kwargs.values()]
        device = next((value.device.type for value in values if isinstance(value, Tensor)), "cpu")
        positional = [_to_float32(value) for value in args]
        named = {name: _to_float32(value) for name, value in kwargs.items()}
        with torch.autocast(device, enabled=False):
            return function(*positional, **named)

    return wrapped


def _to_float32(value: Any) -> Any:
    half = isinstance(value, Tensor) and value.dtype in (torch.float16, torch.bfloat16)
    return value.float() if half else value
