"""Several processes that train one model: who they are, and what of a batch they share.

Each process has a part of the batch. A mean over the processes of means over their parts is the
mean over the batch only where all parts count the same: so whatever is divided by a number of
pixels or objects is divided by :func:`shared_count`, what compares images compares them with those
of :func:`gather_rows`, and batch norm takes its moments over all parts (:class:`SharedBatchNorm`).
All three do so inside of :func:`batch_shared` only, and nothing where there is one process.
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
    """What the processes of this training have in common; one object per process."""

    # Collectives of a step have a group of their own: gradients are added in another order on
    # processes that leave out other parameters, and would come between.
    group: Any = None
    joined = False  # a training goes on that all take part in
    active = False  # in a step of it


def are_launched(environment: Environment = os.environ) -> bool:
    """Whether torchrun, or what sets the same variables, started this process among several.

    Example:
        >>> are_launched({"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost"})
        True
    """
    return world_size(environment) > 1


def world_size(environment: Environment = os.environ) -> int:
    """Number of processes that were started together; 1 for one alone.

    Raises:
        CongealError: the environment has no number for it.
    """
    if not {"RANK", "WORLD_SIZE", "MASTER_ADDR"} <= set(environment):
        return 1
    return _number(environment, "WORLD_SIZE", 1)


def rank(environment: Environment = os.environ) -> int:
    """Number of this process, from 0; the first writes and speaks.

    Example:
        >>> rank({})
        0
    """
    return _number(environment, "RANK", 0) if are_launched(environment) else 0


def local_rank(environment: Environment = os.environ) -> int:
    """Number of this process on its machine, from 0."""
    return _number(environment, "LOCAL_RANK", 0) if are_launched(environment) else 0


def local_world_size(environment: Environment = os.environ) -> int:
    """Number of processes on this machine."""
    return _number(environment, "LOCAL_WORLD_SIZE", world_size(environment))


def _number(environment: Environment, name: str, usual: int) -> int:
    text = environment.get(name, str(usual))
    if not text.isdecimal():
        raise CongealError(
            f"expected a whole number in the environment variable {name}, got {text!r}"
        )
    return int(text)


def join(device: str = "cpu") -> bool:
    """Meet the other processes, if there are any; whether there are.

    Args:
        device: where tensors are; ``"cpu"`` needs nothing but the network of the machines.

    Raises:
        CongealError: the others do not come.
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
            raise CongealError(f"expected {world_size()} processes to meet: {line}") from error
        atexit.register(_destroy)
    if _Shared.group is None:
        _Shared.group = dist.new_group()
    _Shared.joined = True
    return True


def leave() -> None:
    """Part from the other processes until :func:`join`; each goes on by itself.

    The connection stays: processes that meet a second time would not know whom they meet.
    """
    _Shared.joined = False


def _destroy() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def is_lost(error: BaseException) -> bool:
    """Whether an error says that another process is gone.

    Example:
        >>> is_lost(RuntimeError("[gloo/tcp/pair.cc] Connection closed by peer [127.0.0.1]:4"))
        True
    """
    text = str(error)
    told = ("closed by peer", "reset by peer", "Broken pipe", "gloo/transport", "connectFullMesh")
    known = getattr(dist, "DistError", ())
    return isinstance(error, known) or (
        isinstance(error, RuntimeError) and any(part in text for part in told)
    )


def from_first(value: Value) -> Value:
    """The value of the first process, on all of them.

    Example:
        >>> from_first(3)
        3
    """
    if not _Shared.joined:
        return value
    held = [value]
    dist.broadcast_object_list(held, src=0, group=_Shared.group, device=torch.device("cpu"))
    return held[0]


def mean_of_all(values: Tensor) -> Tensor:
    """Mean over the processes, without a gradient, of a tensor that has one shape on all.

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
    """Take the parts of the processes for one batch while the block runs, backward left out.

    All processes have to run it alike. Batch norm is taken over all parts as well.
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


def shared_count(count: Tensor, least: int = 1) -> Tensor:
    """What a sum over a part is divided by, so that means over processes are over the batch.

    That is the count of all parts, at least ``least``, by the number of processes.

    Args:
        count: pixels or objects of this process's part, any shape.
        least: what is taken for fewer in all.

    Example:
        >>> shared_count(torch.tensor([0, 3])).tolist()
        [1, 3]
    """
    if not _Shared.active:
        return count.clamp_min(least)
    total = count.detach().clone()
    dist.all_reduce(total, group=_Shared.group)
    return total.clamp_min(least) / dist.get_world_size(_Shared.group)


def gather_rows(*tables: Tensor) -> tuple[list[Tensor], int]:
    """Rows of all processes, in the order of their ranks, and where this process's own begin.

    The gradient of another process's rows finds its way there.

    Args:
        tables: ``(N, ...)`` each, with one N, which may differ between processes.

    Returns:
        The tables with the rows of all, and the number of rows before one's own.

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
    """Rows of all; backward adds up what all processes have for one's own."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, counts: tuple[int, ...]) -> Tensor:
        ctx.counts = counts
        padded = table.new_zeros(max(counts), *table.shape[1:])
        padded[: len(table)] = table
        every = [torch.zeros_like(padded) for _ in counts]
        dist.all_gather(every, padded, group=_Shared.group)
        return torch.cat([one[:count] for one, count in zip(every, counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        total = gradients[0].contiguous().clone()
        dist.all_reduce(total, group=_Shared.group)
        return total.split(ctx.counts)[rank()], None


class SharedBatchNorm(TorchFunctionMode):
    """While it is in force, batch norm in training mode takes the moments of all processes' parts.

    Layers stay as they are, of whatever library: it is the function that they all call which is
    computed in another way. It runs on CPU and GPU alike, in float32 at least.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Compute batch norm; let everything else be."""
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
    raised = input if input.dtype == torch.float64 else input.float()
    mean, variance, count = _moments(raised)
    if running_mean is not None and running_var is not None:
        with torch.no_grad():
            running_mean.lerp_(mean.to(running_mean), momentum)
            unbiased = variance * (count / (count - 1).clamp_min(1))
            running_var.lerp_(unbiased.to(running_var), momentum)
    scale = (variance + eps).rsqrt()
    scale = scale if weight is None else scale * weight
    shift = -mean * scale if bias is None else bias - mean * scale
    wide = (1, -1, *[1] * (input.ndim - 2))
    return torch.addcmul(shift.view(wide), raised, scale.view(wide)).to(input.dtype)


def _moments(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean ``(C,)`` and variance ``(C,)`` of ``(B, C, *S)`` over all processes, and the count."""
    dims = [axis for axis in range(values.ndim) if axis != 1]
    variance, mean = torch.var_mean(values, dims, correction=0)
    count = torch.full_like(mean, values.numel() / max(values.shape[1], 1))
    own = torch.stack([mean, variance, count])[None]  # (1, 3, C)
    means, variances, counts = _gathered(own, (1,) * dist.get_world_size(_Shared.group)).unbind(1)
    shares = counts / counts.sum(0)
    whole = (shares * means).sum(0)
    spread = (shares * (variances + (means - whole).square())).sum(0)
    return whole, spread, counts.sum(0).detach()
