"""Geometry of the unit sphere on which embeddings live."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from congeal.errors import CongealError, require_tensor

__all__ = [
    "angle_from_margin",
    "calibrated_cosine",
    "concentration_from_margin",
    "normalise",
    "optimise_directions",
    "smallest_margin",
    "smallest_margin_bounds",
    "vmf_kernel",
]


FAINT = 1e-4
"""Length below which the embedding of a pixel is not stretched to one.

The gradient at such a pixel is that of the loss times 1e4 at most, so that clipping the norm of the
gradient leaves something to the others.
"""


def normalise(x: Tensor, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """Scale vectors to length one; a zero vector stays zero, with a finite gradient.

    Args:
        x: any shape, the vectors along ``dim``; half precision is raised to float32.
        dim: the axis of the vectors.
        eps: the length below which a vector is divided by ``eps`` instead.

    Returns:
        The same shape.

    Example:
        >>> normalise(torch.tensor([[3.0, 4.0], [0.0, 0.0]])).tolist()
        [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]
    """
    require_tensor(x, "vectors")
    if x.dtype in (torch.float16, torch.bfloat16):
        x = x.float()
    length = x.square().sum(dim, keepdim=True).clamp_min(eps * eps).sqrt()
    return x / length


def calibrated_cosine(a: Tensor, b: Tensor) -> Tensor:
    """Similarity (1 + a.b) / 2 in [0, 1] of unit vectors (RPE, section 3.1).

    Args:
        a: ``(..., N, D)`` unit vectors.
        b: ``(..., M, D)`` unit vectors.

    Returns:
        ``(..., N, M)``: 1 for the same direction, .5 for a right angle, 0 for the opposite.

    Example:
        >>> x = torch.eye(2)
        >>> calibrated_cosine(x, x).tolist()
        [[1.0, 0.5], [0.5, 1.0]]
    """
    return 0.5 + 0.5 * (a @ b.mT)


def vmf_kernel(a: Tensor, b: Tensor, concentration: float | Tensor) -> Tensor:
    """Von Mises-Fisher kernel exp(kappa (a.b - 1)), scaled to 1 at the same direction.

    The written-out matrix, for figures and tests; grouping uses fused attention instead. The
    constant factor exp(-kappa) against the usual form cancels wherever the kernel is normalised
    and keeps large concentrations from overflowing.

    Args:
        a: ``(..., N, D)`` unit vectors.
        b: ``(..., M, D)`` unit vectors.
        concentration: kappa, at least 0.

    Returns:
        ``(..., N, M)`` in (0, 1].

    Example:
        >>> vmf_kernel(torch.eye(2), torch.eye(2), 1.0).diagonal().tolist()
        [1.0, 1.0]
    """
    return ((a @ b.mT - 1) * concentration).exp()


def concentration_from_margin(margin: float) -> float:
    """Concentration kappa = 9 / (1 - alpha)^2 that makes the margin three standard deviations.

    RPE (section 3.2) sets the bandwidth 1/delta = (1 - alpha) / 3. A von Mises-Fisher density of
    concentration kappa has a standard deviation of about 1 / sqrt(kappa), hence kappa = delta^2:
    36 at alpha = .5. Other readings in use: kappa = delta (6), and the authors' released code,
    which works out to kappa = 25 or 100.

    Args:
        margin: alpha in [0, 1).

    Raises:
        CongealError: the margin is outside [0, 1).

    Example:
        >>> concentration_from_margin(0.5)
        36.0
    """
    if not 0 <= margin < 1:
        raise CongealError(f"expected a margin in [0, 1), got {margin}")
    return 9.0 / (1.0 - margin) ** 2


def angle_from_margin(margin: float) -> float:
    """Angle in radians at which the calibrated cosine equals the margin.

    Example:
        >>> round(angle_from_margin(0.5), 4)
        1.5708
    """
    return math.acos(2 * margin - 1)


def smallest_margin_bounds(groups: int, constant: float = 1.0) -> tuple[float, float]:
    """Bounds on the smallest margin for n groups on the 3-D sphere (RPE, proposition 2).

    Args:
        groups: n, at least 2.
        constant: C of the proposition (it only says that one exists).

    Returns:
        A margin that cannot be reached, and one for which an embedding without loss exists; both
        clipped to [0, 1]. For n = 4..7 the first is .0931, .2745, .3954, .4818.

    Example:
        >>> [round(smallest_margin_bounds(n)[0], 4) for n in (4, 5, 6, 7)]
        [0.0931, 0.2745, 0.3954, 0.4818]
    """
    if groups < 2:
        raise CongealError(f"expected at least 2 groups, got {groups}")
    lower = 1 - 2 * math.pi / (math.sqrt(3) * groups)
    chord = math.sqrt(8 * math.pi / (math.sqrt(3) * groups)) - constant * groups ** (-2 / 3)
    upper = 1 - 0.25 * max(chord, 0.0) ** 2
    return min(max(lower, 0.0), 1.0), min(max(upper, 0.0), 1.0)


def smallest_margin(groups: int, dimensions: int, *, steps: int = 600, seed: int = 0) -> float:
    """Smallest margin at which n groups fit in D dimensions without loss.

    Exact where it is known: (n - 2) / (2 (n - 1)) up to n = D + 1 (a simplex), .5 up to n = 2 D
    (a cross-polytope). Beyond that the best packing of directions found numerically, which is an
    upper bound on the optimum.

    Args:
        groups: n, at least 1.
        dimensions: D, at least 2 (in the plane: n equal angles).
        steps: steps of the optimisation.
        seed: of its start.

    Raises:
        CongealError: no groups, or fewer than two dimensions.

    Example:
        >>> smallest_margin(128, 64), round(smallest_margin(4, 3), 4)
        (0.5, 0.3333)
    """
    if groups < 1 or dimensions < 2:
        raise CongealError(
            f"expected groups >= 1 and dimensions >= 2, got {groups} and {dimensions}"
        )
    if groups == 1:
        return 0.0
    if groups <= dimensions + 1:
        return (groups - 2) / (2 * (groups - 1))
    if dimensions == 2:
        return 0.5 + 0.5 * math.cos(2 * math.pi / groups)
    if groups <= 2 * dimensions:
        return 0.5
    directions = optimise_directions(groups, dimensions, steps=steps, seed=seed)
    cosine = directions @ directions.T - 2 * torch.eye(groups, dtype=directions.dtype)
    return float(0.5 + 0.5 * cosine.max())


def optimise_directions(
    groups: int, dimensions: int, *, steps: int = 600, restarts: int = 4, seed: int = 0
) -> Tensor:
    """Spread n directions as far apart as they go (Tammes' problem), by repulsion.

    Gradient descent on the soft maximum of the pairwise cosines, sharpened as it goes, from
    several random starts at once; the best is kept.

    Args:
        groups: n directions.
        dimensions: D.
        steps: of the descent.
        restarts: random starts.
        seed: of the starts.

    Returns:
        ``(n, D)`` float64 unit vectors.

    Example:
        >>> x = optimise_directions(4, 3)
        >>> round(float((x @ x.T).min()), 3)
        -0.333
    """
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(restarts, groups, dimensions, generator=generator, dtype=torch.float64)
    points = normalise(start, dim=2).requires_grad_()
    off = torch.eye(groups, dtype=torch.bool)
    optimiser = torch.optim.Adam([points], lr=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps, eta_min=1e-5)
    for step in range(steps):
        sharpness = 10.0 * 300.0 ** (step / steps)
        unit = normalise(points, dim=2)
        cosine = (unit @ unit.mT).masked_fill(off, -torch.inf)  # (R, n, n)
        loss = (cosine * sharpness).flatten(1).logsumexp(1).sum() / sharpness
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        unit = normalise(points, dim=2)
        worst = (unit @ unit.mT).masked_fill(off, -torch.inf).flatten(1).amax(1)
        return unit[worst.argmin()].detach()
