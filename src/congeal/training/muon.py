"""The optimiser Muon: orthogonalised momentum for weight matrices, AdamW for everything else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Muon", "is_matrix", "orthogonalised"]

# Coefficients of x (a + b x^2 + c x^4), which moves singular values towards 1 (Jordan et al. 2024).
QUINTIC = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5
UPDATE_RMS = 0.2  # about that of AdamW (Liu et al. 2025), so that learning rates carry over
MIN_NORM = 1e-7  # Frobenius norm; avoids division by zero


def is_matrix(weight: Tensor) -> bool:
    """Whether a weight has several inputs and several outputs per input (not depthwise).

    Args:
        weight: of any layer; a convolution's is ``(out, in / groups, *kernel)``.

    Example:
        >>> is_matrix(torch.zeros(8, 4, 3, 3)), is_matrix(torch.zeros(8, 1, 3, 3))
        (True, False)
    """
    return weight.ndim > 1 and min(weight.shape[:2]) > 1


def orthogonalised(matrices: Sequence[Tensor], rounds: int = ITERATIONS) -> list[Tensor]:
    """Set the singular values of matrices to about 1 (.7 to 1.2), keeping the singular vectors.

    Newton-Schulz iteration with the coefficients of Jordan et al. 2024, in the dtype of the input.
    Singular values far below the norm of a matrix stay smaller. The iteration multiplies X by
    polynomials of the Gram matrix X X^T, so it runs on Gram matrices ``(n, n)``, n <= m, and in one
    batch for all matrices with the same n.

    Args:
        matrices: ``(n, m)`` each.
        rounds: number of iterations.

    Returns:
        One matrix per input, of the same shape.

    Example:
        >>> turned = orthogonalised([torch.diag(torch.tensor([3.0, -1.0]))])[0]
        >>> turned.sign().tolist()
        [[1.0, 0.0], [0.0, -1.0]]
    """
    wide = [matrix.mT if matrix.shape[0] > matrix.shape[1] else matrix for matrix in matrices]
    wide = [matrix / matrix.norm().clamp_min(MIN_NORM) for matrix in wide]  # (n, m), n <= m
    by_rows: dict[int, list[int]] = {}
    for index, matrix in enumerate(wide):
        by_rows.setdefault(len(matrix), []).append(index)
    for members in by_rows.values():
        factors = _factors(torch.stack([wide[i] @ wide[i].mT for i in members]), rounds)
        for i, factor in zip(members, factors, strict=True):
            wide[i] = factor @ wide[i]
    pairs = zip(wide, matrices, strict=True)
    return [turned if turned.shape == like.shape else turned.mT for turned, like in pairs]


def _factors(gram: Tensor, rounds: int) -> Tensor:
    """Product of all factors of the iteration, ``(B, n, n)``, from the Gram matrices X X^T."""
    a, b, c = QUINTIC
    identity = torch.eye(gram.shape[1], dtype=gram.dtype, device=gram.device)
    total = identity.expand_as(gram)
    for _ in range(rounds):
        factor = torch.baddbmm(gram, gram, gram, beta=b, alpha=c).add_(identity, alpha=a)
        total = factor @ total
        gram = factor @ gram @ factor
    return total


class Muon(torch.optim.AdamW):
    """Muon for weight matrices, AdamW for all other parameters.

    The weight of a convolution is flattened to ``(out, in * kernel area)``. Updates are scaled to
    the RMS of AdamW's, so that learning rates carry over. Everything is computed in the dtype of
    the weights, because bfloat16 is slow on many CPUs.

    Source: K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024;
    scaling: J. Liu et al., "Muon is Scalable for LLM Training", 2025.

    Args:
        groups: parameter groups, as for any PyTorch optimiser.
        lr: learning rate.
        momentum: Nesterov momentum of the matrices.
        options: options of :class:`torch.optim.AdamW`; ``weight_decay`` applies to matrices too.

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
        """Update all parameters that have a gradient; return the loss of the closure, if any."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        removed: list[tuple[nn.Parameter, Tensor]] = []
        for group in self.param_groups:
            if group["orthogonal"]:
                removed += self._step_matrices(group)
        super().step()
        for weight, gradient in removed:
            weight.grad = gradient
        return loss

    def _step_matrices(self, group: dict[str, Any]) -> list[tuple[nn.Parameter, Tensor]]:
        """Update matrices; remove their gradients, so that AdamW skips them, and return these."""
        weights = [weight for weight in group["params"] if weight.grad is not None]
        if not weights:
            return []
        removed = [(weight, weight.grad) for weight in weights]
        updates = [self._with_momentum(weight, gradient) for weight, gradient in removed]
        turned = orthogonalised([update.flatten(1) for update in updates])
        steps = [
            (UPDATE_RMS * max(step.shape) ** 0.5 * step).view_as(weight)
            for step, weight in zip(turned, weights, strict=True)
        ]
        torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(weights, steps, alpha=-group["lr"])
        for weight in weights:
            weight.grad = None
        return removed

    def _with_momentum(self, weight: nn.Parameter, gradient: Tensor) -> Tensor:
        state = self.state[weight]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(weight)
            state["step"] = torch.zeros(())  # AdamW expects it when a state is loaded
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
