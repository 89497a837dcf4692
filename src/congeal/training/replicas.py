"""A batch split over replicas of the model, each on threads of its own."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Replicas", "draws_by_chance"]


class Replicas:
    """Computes parts of a batch side by side on a CPU and adds their gradients.

    Threads that work on parts of one small operation wait for each other at its end; those that
    have a share of the batch each, from the first layer to the last gradient, meet once in a
    step. Each share is computed by a copy of the model, which has the model's own parameters in
    memory, and gradients, batch statistics and buffers of its own.

    Args:
        model: what is trained; its parameters must stay where they are in memory.
        count: of shares, each computed by its part of the threads that torch uses here.

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
        """Mean over the shares of what ``terms(model, *part)`` gives, each a scalar.

        A call of ``backward`` on any sum of them gives the model's parameters their gradients.
        """
        for twin in self.copies[1:]:
            if twin.training != self.copies[0].training:
                twin.train(self.copies[0].training)
        asked = [
            self.pool.submit(terms, model, *part)
            for model, part in zip(self.copies, parts, strict=True)
        ]
        results = [one.result() for one in asked]
        names = list(results[0])
        start = torch.zeros((), requires_grad=True)
        rows = [[result[name] for name in names] for result in results]
        return dict(zip(names, _Joined.apply(start, self, rows), strict=True))

    def backward(self, rows: list[list[Tensor]], gradients: Sequence[Tensor]) -> None:
        """Go back through every share, then add what the copies got to what the model has."""
        scaled = [gradient / len(rows) for gradient in gradients]
        asked = [self.pool.submit(_backward, row, scaled) for row in rows]
        for one in asked:
            one.result()
        for other in self.copies[1:]:  # in order, so that sums are the same every time
            _hand_over(other, self.copies[0])

    def close(self) -> None:
        """End the threads."""
        self.pool.shutdown(cancel_futures=True)


class _Joined(torch.autograd.Function):
    """Means of the terms of all shares, whose gradients take the way of :class:`Replicas`."""

    @staticmethod
    def forward(ctx: Any, start: Tensor, shares: Replicas, rows: list[list[Tensor]]) -> Any:
        del start  # something to hang the gradient on
        ctx.shares, ctx.rows = shares, rows
        columns = zip(*rows, strict=True)
        return tuple(torch.stack([term.detach() for term in column]).mean() for column in columns)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, None, None]:
        ctx.shares.backward(ctx.rows, gradients)
        return None, None, None


def _backward(row: list[Tensor], gradients: list[Tensor]) -> None:
    pairs = [pair for pair in zip(row, gradients, strict=True) if pair[0].requires_grad]
    torch.autograd.backward([term for term, _ in pairs], [gradient for _, gradient in pairs])


def _tied_copy(model: nn.Module) -> nn.Module:
    twin = copy.deepcopy(model)
    for mine, its in zip(model.parameters(), twin.parameters(), strict=True):
        its.data = mine.data
        its.grad = None
    return twin


def _hand_over(giver: nn.Module, taker: nn.Module) -> None:
    for its, mine in zip(giver.parameters(), taker.parameters(), strict=True):
        if its.grad is not None:
            mine.grad = its.grad if mine.grad is None else mine.grad.add_(its.grad)
            its.grad = None


def draws_by_chance(model: nn.Module) -> bool:
    """Whether layers drop out: threads would take their chances in an order of no seed.

    Example:
        >>> draws_by_chance(nn.Dropout(0.5)), draws_by_chance(nn.Dropout(0.0))
        (True, False)
    """
    rates = ("p", "drop_prob")
    return any(
        float(getattr(layer, rate, 0) or 0) > 0
        for layer in model.modules()
        if "drop" in type(layer).__name__.lower()
        for rate in rates
    )
