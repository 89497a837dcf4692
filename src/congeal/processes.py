"""Distributed training: ranks, joining, and collective operations on a batch.

Each process computes a part of the batch, and gradients are averaged over the processes. That
equals the gradient of the whole batch only if every part has equal weight. Therefore:

- a loss divides by the number of pixels or objects from :func:`shared_count`,
- a loss that compares images compares with those of all processes, from :func:`gather_rows`,
- batch norm uses the moments of the whole batch (:class:`SharedBatchNorm`).

These act inside :func:`batch_shared` only. With one process they are the plain computation.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import torch
from torch import Tensor
from torch import distributed as dist
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from congeal.errors import CongealError

__all__ = [
    "SharedBatchNorm",
    "are_launched",
    "batch_shared",
    "from_first",
    "gather_rows",
    "is_lost",
    "join",
    "leave",
    "local_rank",
    "mean_of_all",
    "rank",
    "shared_count",
    "world_size",
]

Value = TypeVar("Value")
Environment = Mapping[str, str]


class _Shared:
    """State of this process in a distributed training."""

    # A process group of its own: DDP's gradient collectives run in an order that depends on which
    # parameters a process uses, and must not interleave with those of this module.
    group: Any = None
    joined = False  # between join() and leave()
    active = False  # inside batch_shared()


def are_launched(environment: Environment = os.environ) -> bool:
    """Whether this process is one of several started by torchrun or with the same variables.

    Example:
        >>> are_launched({"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost"})
        True
    """
    return world_size(environment) > 1


def world_size(environment: Environment = os.environ) -> int:
    """Number of processes of the training; 1 outside of torchrun.

    Raises:
        CongealError: ``WORLD_SIZE`` is not a whole number.

    Example:
        >>> world_size({"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost"})
        2
    """
    if not {"RANK", "WORLD_SIZE", "MASTER_ADDR"} <= set(environment):
        return 1
    return _number(environment, "WORLD_SIZE", 1)


def rank(environment: Environment = os.environ) -> int:
    """Rank of this process, from 0; rank 0 writes files and prints.

    Example:
        >>> rank({})
        0
    """
    return _number(environment, "RANK", 0) if are_launched(environment) else 0


def local_rank(environment: Environment = os.environ) -> int:
    """Rank of this process on its machine, from 0."""
    return _number(environment, "LOCAL_RANK", 0) if are_launched(environment) else 0


def local_world_size(environment: Environment = os.environ) -> int:
    """Number of processes of the training on this machine."""
    return _number(environment, "LOCAL_WORLD_SIZE", world_size(environment))


def _number(environment: Environment, name: str, default: int) -> int:
    text = environment.get(name, str(default))
    if not text.isdecimal():
        raise CongealError(
            f"expected a whole number in the environment variable {name}, got {text!r}"
        )
    return int(text)


def join(device: str = "cpu") -> bool:
    """Connect to the other processes of the training; return False if there are none.

    Args:
        device: device of the tensors; NCCL is used beside gloo unless it is ``"cpu"``.

    Raises:
        CongealError: the connection fails or times out.
    """
    if not are_launched():
        return False
    if not dist.is_initialized():
        cuda = device != "cpu" and torch.cuda.is_available()
        try:
            if cuda:
                torch.cuda.set_device(local_rank())
            dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo")
        except (RuntimeError, ValueError) as error:
            line = " ".join(str(error).split())[:200]
            raise CongealError(f"expected {world_size()} processes to connect: {line}") from error
        atexit.register(_destroy)
    if _Shared.group is None:
        _Shared.group = dist.new_group()
    _Shared.joined = True
    return True


def leave() -> None:
    """Stop collective operations until the next :func:`join`; each process continues alone.

    The connection stays open, because a second rendezvous could mix up processes of two trainings.
    """
    _Shared.joined = False


def _destroy() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def is_lost(error: BaseException) -> bool:
    """Whether an error means that another process of the training has ended.

    Example:
        >>> is_lost(RuntimeError("[gloo/tcp/pair.cc] Connection closed by peer [127.0.0.1]:4"))
        True
    """
    text = str(error)
    signs = ("closed by peer", "reset by peer", "Broken pipe", "gloo/transport", "connectFullMesh")
    distributed_error = getattr(dist, "DistError", ())
    return isinstance(error, distributed_error) or (
        isinstance(error, RuntimeError) and any(sign in text for sign in signs)
    )


def from_first(value: Value) -> Value:
    """Broadcast the value of rank 0 to all processes.

    Args:
        value: anything that can be pickled; those of other ranks are ignored.

    Example:
        >>> from_first(3)
        3
    """
    if not _Shared.joined:
        return value
    values = [value]
    dist.broadcast_object_list(values, src=0, group=_Shared.group, device=torch.device("cpu"))
    return values[0]


def mean_of_all(values: Tensor) -> Tensor:
    """Mean over the processes of a tensor of the same shape, without gradient.

    Example:
        >>> mean_of_all(torch.tensor([1.0, 2.0])).tolist()
        [1.0, 2.0]
    """
    if not _Shared.joined:
        return values.detach()
    total = values.detach().clone()
    dist.all_reduce(total, group=_Shared.group)
    return total / dist.get_world_size(_Shared.group)


@contextmanager
def batch_shared() -> Iterator[None]:
    """Treat the parts of all processes as one batch inside the block (forward pass and losses).

    All processes must run the same collective operations in it. Batch norm uses all parts too.
    """
    if not _Shared.joined:
        yield
        return
    _Shared.active = True
    try:
        with SharedBatchNorm():
            yield
    finally:
        _Shared.active = False


def shared_count(count: Tensor, minimum: int = 1) -> Tensor:
    """Divisor of a sum over this process's part so that the mean over processes is the batch mean.

    It is max(total, minimum) / processes, where total is the sum of ``count`` over all processes.

    Args:
        count: number of pixels or objects in this process's part, any shape.
        minimum: lower bound of the total; avoids division by zero.

    Returns:
        A tensor of the shape of ``count``.

    Example:
        >>> shared_count(torch.tensor([0, 3])).tolist()
        [1, 3]
    """
    if not _Shared.active:
        return count.clamp_min(minimum)
    total = count.detach().clone()
    dist.all_reduce(total, group=_Shared.group)
    return total.clamp_min(minimum) / dist.get_world_size(_Shared.group)


def gather_rows(*tables: Tensor) -> tuple[list[Tensor], int]:
    """Concatenate the rows of all processes, in the order of their ranks (a differentiable gather).

    Gradients flow back to the process that the rows came from.

    Args:
        tables: ``(N, ...)`` each, with the same N; N may differ between processes.

    Returns:
        The tables with the rows of all processes, and the index of this process's first row.

    Example:
        >>> tables, start = gather_rows(torch.eye(2))
        >>> len(tables[0]), start
        (2, 0)
    """
    if not _Shared.active:
        return list(tables), 0
    own = torch.tensor([len(tables[0])])
    sizes = [torch.zeros_like(own) for _ in range(dist.get_world_size(_Shared.group))]
    dist.all_gather(sizes, own, group=_Shared.group)
    counts = tuple(int(size) for size in sizes)
    return [_gathered(table, counts) for table in tables], sum(counts[: rank()])


def _gathered(table: Tensor, counts: tuple[int, ...]) -> Tensor:
    return cast(Tensor, _Gather.apply(table, counts))


class _Gather(torch.autograd.Function):
    """All-gather of rows; backward sums the gradients of all processes for this one's rows."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, counts: tuple[int, ...]) -> Tensor:
        ctx.counts = counts
        padded = table.new_zeros(max(counts), *table.shape[1:])
        padded[: len(table)] = table
        parts = [torch.zeros_like(padded) for _ in counts]
        dist.all_gather(parts, padded, group=_Shared.group)
        return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        total = gradients[0].contiguous().clone()
        dist.all_reduce(total, group=_Shared.group)
        return total.split(ctx.counts)[rank()], None


class SharedBatchNorm(TorchFunctionMode):
    """Context in which batch norm in training mode uses the moments of the whole batch.

    It intercepts the function ``torch.nn.functional.batch_norm`` instead of replacing layers, so it
    works for layers of any library, on CPU and GPU. Moments are computed in float32 or float64.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Replace ``batch_norm``; call every other function unchanged."""
        del types
        if func is functional.batch_norm:
            return _batch_norm(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    if not training:
        return functional.batch_norm(
            input, running_mean, running_var, weight, bias, False, momentum, eps
        )
    values = input if input.dtype == torch.float64 else input.float()
    mean, variance, count = _moments(values)
    if running_mean is not None and running_var is not None:
        with torch.no_grad():
            running_mean.lerp_(mean.to(running_mean), momentum)
            unbiased = variance * (count / (count - 1).clamp_min(1))
            running_var.lerp_(unbiased.to(running_var), momentum)
    scale = (variance + eps).rsqrt()
    scale = scale if weight is None else scale * weight
    shift = -mean * scale if bias is None else bias - mean * scale
    per_channel = (1, -1, *[1] * (input.ndim - 2))
    return torch.addcmul(shift.view(per_channel), values, scale.view(per_channel)).to(input.dtype)


def _moments(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, variance and count, ``(C,)`` each, of ``(B, C, *S)`` over all processes."""
    dims = [axis for axis in range(values.ndim) if axis != 1]
    variance, mean = torch.var_mean(values, dims, correction=0)
    count = torch.full_like(mean, values.numel() / max(values.shape[1], 1))
    own = torch.stack([mean, variance, count])[None]  # (1, 3, C)
    means, variances, counts = _gathered(own, (1,) * dist.get_world_size(_Shared.group)).unbind(1)
    shares = counts / counts.sum(0)
    total_mean = (shares * means).sum(0)
    total_variance = (shares * (variances + (means - total_mean).square())).sum(0)
    return total_mean, total_variance, counts.sum(0).detach()
