"""Data parallelism on a CPU: a batch split over replicas of the model, each in its own thread."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Replicas", "uses_dropout"]


class Replicas:
    """Computes the parts of a batch in parallel on a CPU and sums their gradients.

    Threads that share one small operation wait for each other at its end, hundreds of times a
    step. Here each thread computes its part of the batch from the first layer to the last
    gradient, so they synchronise once a step. A replica shares the memory of the model's
    parameters and has gradients, batch statistics and buffers of its own.

    Args:
        model: model to train; its parameters must not move in memory.
        count: number of replicas, the model included. They divide the threads of PyTorch.

    Example:
        >>> model, image = nn.Linear(2, 1, bias=False), torch.tensor([[1.0, 0.0], [0.0, 3.0]])
        >>> replicas = Replicas(model, 2)
        >>> def mean(model, image):
        ...     return {"mean": model(image).mean()}
        >>> terms = replicas.forward(mean, [(image[:1],), (image[1:],)])
        >>> terms["mean"].backward()
        >>> model.weight.grad.tolist()
        [[0.5, 1.5]]
        >>> replicas.close()
    """

    def __init__(self, model: nn.Module, count: int) -> None:
        self.copies = [model, *(_tied_copy(model) for _ in range(count - 1))]
        threads = max(1, torch.get_num_threads() // count)
        self.pool = ThreadPoolExecutor(count, "congeal-replica", torch.set_num_threads, (threads,))

    def forward(
        self, terms: Callable[..., dict[str, Tensor]], parts: Sequence[tuple[Any, ...]]
    ) -> dict[str, Tensor]:
        """Mean over the parts of the loss terms.

        Args:
            terms: ``terms(model, *part)`` returns scalar loss terms by name.
            parts: arguments for each replica.

        Returns:
            The mean of each term. ``backward`` on a sum of them sets the gradients of the model.
        """
        for copy_ in self.copies[1:]:
            if copy_.training != self.copies[0].training:
                copy_.train(self.copies[0].training)
        futures = [
            self.pool.submit(terms, model, *part)
            for model, part in zip(self.copies, parts, strict=True)
        ]
        results = [future.result() for future in futures]
        names = list(results[0])
        start = torch.zeros((), requires_grad=True)
        rows = [[result[name] for name in names] for result in results]
        return dict(zip(names, _Joined.apply(start, self, rows), strict=True))

    def backward(self, rows: list[list[Tensor]], gradients: Sequence[Tensor]) -> None:
        """Backpropagate through all parts, then add the gradients of the replicas to the model's.

        Args:
            rows: terms of each part.
            gradients: gradient of each mean.
        """
        scaled = [gradient / len(rows) for gradient in gradients]
        futures = [self.pool.submit(_backward, row, scaled) for row in rows]
        for future in futures:
            future.result()
        for replica in self.copies[1:]:  # in a fixed order, so that sums are reproducible
            _move_gradients(replica, self.copies[0])

    def close(self) -> None:
        """End the threads."""
        self.pool.shutdown(cancel_futures=True)


class _Joined(torch.autograd.Function):
    """Means of the terms over the parts; backward calls :meth:`Replicas.backward`."""

    @staticmethod
    def forward(ctx: Any, start: Tensor, replicas: Replicas, rows: list[list[Tensor]]) -> Any:
        del start  # an input that requires a gradient, so that backward is called
        ctx.replicas, ctx.rows = replicas, rows
        columns = zip(*rows, strict=True)
        return tuple(torch.stack([term.detach() for term in column]).mean() for column in columns)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, None, None]:
        ctx.replicas.backward(ctx.rows, gradients)
        return None, None, None


def _backward(row: list[Tensor], gradients: list[Tensor]) -> None:
    pairs = [pair for pair in zip(row, gradients, strict=True) if pair[0].requires_grad]
    torch.autograd.backward([term for term, _ in pairs], [gradient for _, gradient in pairs])


def _tied_copy(model: nn.Module) -> nn.Module:
    """A copy of a model that shares the memory of its parameters."""
    replica = copy.deepcopy(model)
    for original, copied in zip(model.parameters(), replica.parameters(), strict=True):
        copied.data = original.data
        copied.grad = None
    return replica


def _move_gradients(source: nn.Module, target: nn.Module) -> None:
    """Add the gradients of one model to those of another, and clear them."""
    for given, received in zip(source.parameters(), target.parameters(), strict=True):
        if given.grad is not None:
            received.grad = given.grad if received.grad is None else received.grad.add_(given.grad)
            given.grad = None


def uses_dropout(model: nn.Module) -> bool:
    """Whether a layer drops units at random (dropout, drop path).

    In several threads the random numbers would be drawn in an order that no seed fixes.

    Args:
        model: any module.

    Example:
        >>> uses_dropout(nn.Dropout(0.5)), uses_dropout(nn.Dropout(0.0))
        (True, False)
    """
    rates = ("p", "drop_prob")
    return any(
        float(getattr(layer, rate, 0) or 0) > 0
        for layer in model.modules()
        if "drop" in type(layer).__name__.lower()
        for rate in rates
    )
