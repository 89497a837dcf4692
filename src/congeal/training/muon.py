"""Muon: momentum whose matrices are made orthogonal, beside AdamW for all that is no matrix."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Muon", "is_matrix", "orthogonalised"]

# Of x (a + b x^2 + c x^4), which drives singular values towards 1 (Jordan et al. 2024).
QUINTIC = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5
RMS = 0.2  # of an update of AdamW, about (Liu et al. 2025), so that rates mean the same
LEAST_NORM = 1e-7  # norm of a matrix


def is_matrix(weight: Tensor) -> bool:
    """Whether a weight mixes several inputs into several outputs, as no depthwise filter does.

    Example:
        >>> is_matrix(torch.zeros(8, 4, 3, 3)), is_matrix(torch.zeros(8, 1, 3, 3))
        (True, False)
    """
    return weight.ndim > 1 and min(weight.shape[:2]) > 1


def orthogonalised(matrices: Sequence[Tensor], rounds: int = ITERATIONS) -> list[Tensor]:
    """Matrices with the same singular vectors and singular values near 1 (about .7 to 1.2).

    By Newton-Schulz iteration with the coefficients of Jordan et al. 2024, in the type given.
    Singular values far below the norm of a matrix stay smaller. All that multiplies a matrix X
    is a polynomial of X X^T, so the rounds work on that, which is far smaller, and for all
    matrices with as many rows at once.

    Args:
        matrices: ``(n, m)`` each.
        rounds: of the iteration.

    Returns:
        As many, of the same shapes.

    Example:
        >>> turned = orthogonalised([torch.diag(torch.tensor([3.0, -1.0]))])[0]
        >>> turned.sign().tolist()
        [[1.0, 0.0], [0.0, -1.0]]
    """
    wide = [matrix.mT if matrix.shape[0] > matrix.shape[1] else matrix for matrix in matrices]
    wide = [matrix / matrix.norm().clamp_min(LEAST_NORM) for matrix in wide]  # (n, m), n <= m
    alike: dict[int, list[int]] = {}
    for index, matrix in enumerate(wide):
        alike.setdefault(len(matrix), []).append(index)
    for members in alike.values():
        factors = _factors(torch.stack([wide[i] @ wide[i].mT for i in members]), rounds)
        for i, factor in zip(members, factors, strict=True):
            wide[i] = factor @ wide[i]
    pairs = zip(wide, matrices, strict=True)
    return [turned if turned.shape == like.shape else turned.mT for turned, like in pairs]


def _factors(gram: Tensor, rounds: int) -> Tensor:
    """``(B, n, n)`` by which to multiply X, from X X^T."""
    a, b, c = QUINTIC
    one = torch.eye(gram.shape[1], dtype=gram.dtype, device=gram.device)
    total = one.expand_as(gram)
    for _ in range(rounds):
        factor = torch.baddbmm(gram, gram, gram, beta=b, alpha=c).add_(one, alpha=a)
        total = factor @ total
        gram = factor @ gram @ factor
    return total


class Muon(torch.optim.AdamW):
    """AdamW, but for weights that are matrices, whose momentum is made orthogonal.

    A convolution's weight is the matrix of its outputs by all that enters them. The update is
    scaled to the size that AdamW's has, so that learning rates carry over (Liu et al. 2025,
    "Muon is Scalable for LLM Training"; the method: Jordan et al. 2024). It computes in the type
    of the weights, since bfloat16 is slow on many CPUs.

    Args:
        groups: of parameters, as optimisers take them.
        lr: learning rate.
        momentum: of the matrices (Nesterov's).
        options: of :class:`torch.optim.AdamW`, for all else; ``weight_decay`` for both.

    Example:
        >>> layer = nn.Linear(4, 3)
        >>> optimiser = Muon([{"params": layer.parameters()}], lr=0.1, weight_decay=0.0)
        >>> before = layer.weight.detach().clone()
        >>> layer(torch.ones(4)).sum().backward()
        >>> optimiser.step()
        >>> bool((layer.weight < before).all())
        True
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        lr: float = 2e-3,
        *,
        momentum: float = 0.95,
        **options: Any,
    ) -> None:
        split = [part for group in groups for part in _split(group)]
        super().__init__(split, lr=lr, **options)
        self.momentum = momentum

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all parameters that have a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        held: list[tuple[nn.Parameter, Tensor]] = []
        for group in self.param_groups:
            if group["orthogonal"]:
                held += self._step_matrices(group)
        super().step()
        for weight, gradient in held:
            weight.grad = gradient
        return loss

    def _step_matrices(self, group: dict[str, Any]) -> list[tuple[nn.Parameter, Tensor]]:
        """Update matrices; gives their gradients, taken from them so that AdamW passes by."""
        weights = [weight for weight in group["params"] if weight.grad is not None]
        if not weights:
            return []
        held = [(weight, weight.grad) for weight in weights]
        updates = [self._with_momentum(weight, gradient) for weight, gradient in held]
        turned = orthogonalised([update.flatten(1) for update in updates])
        steps = [
            (RMS * max(step.shape) ** 0.5 * step).view_as(weight)
            for step, weight in zip(turned, weights, strict=True)
        ]
        torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(weights, steps, alpha=-group["lr"])
        for weight in weights:
            weight.grad = None
        return held

    def _with_momentum(self, weight: nn.Parameter, gradient: Tensor) -> Tensor:
        state = self.state[weight]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(weight)
            state["step"] = torch.zeros(())  # AdamW looks for it when a state is loaded
        state["step"] += 1
        mean: Tensor = state["momentum"].lerp_(gradient, 1 - self.momentum)
        return gradient.lerp(mean, self.momentum)


def _split(group: dict[str, Any]) -> list[dict[str, Any]]:
    parts: dict[bool, list[nn.Parameter]] = {}
    for weight in group["params"]:
        parts.setdefault(is_matrix(weight), []).append(weight)
    return [
        {**group, "params": weights, "orthogonal": matrices} for matrices, weights in parts.items()
    ]
