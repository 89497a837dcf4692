"""Geometry of the unit sphere: normalisation, cosine, von Mises-Fisher kernel, margins."""

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


MIN_EMBEDDING_NORM = 1e-4
"""``eps`` of :func:`normalise` for the pixel embeddings of a network.

Normalising a vector of norm r scales its gradient by 1 / r. The bound limits this factor to 1e4, so
that a few near-zero vectors do not use up the gradient norm that clipping allows.
"""


def normalise(x: Tensor, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """Scale vectors to unit length, ``x / max(|x|, eps)``; a zero vector stays zero.

    Args:
        x: any shape, vectors along ``dim``; half precision is cast to float32.
        dim: the axis of the vectors.
        eps: lower bound of the divisor, which keeps the gradient at zero finite.

    Returns:
        A tensor of the same shape.

    Raises:
        CongealError: ``x`` is not a tensor.

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
    """Similarity (1 + a.b) / 2 of unit vectors, in [0, 1] (Kong & Fowlkes 2018, section 3.1).

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
    """Von Mises-Fisher kernel exp(kappa (a.b - 1)) of unit vectors; 1 where a = b.

    Materialises the whole matrix, for figures and tests; grouping uses fused attention instead.
    The usual form exp(kappa a.b) differs by the constant factor exp(kappa), which overflows for
    large kappa and cancels wherever the kernel is normalised.

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
    """Concentration kappa = 9 / (1 - alpha)^2, for which the margin is three standard deviations.

    Kong & Fowlkes 2018 (section 3.2) set the bandwidth 1/delta = (1 - alpha) / 3. A von
    Mises-Fisher density of concentration kappa has a standard deviation of about 1 / sqrt(kappa),
    hence kappa = delta^2: 36 at alpha = .5. Two other interpretations are in use: kappa = delta
    (6 at alpha = .5), and the authors' released code, equivalent to kappa = 25 or 100.

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
    """Angle arccos(2 alpha - 1) in radians, at which the calibrated cosine equals the margin.

    Args:
        margin: alpha in [0, 1].

    Example:
        >>> round(angle_from_margin(0.5), 4)
        1.5708
    """
    return math.acos(2 * margin - 1)


def smallest_margin_bounds(groups: int, constant: float = 1.0) -> tuple[float, float]:
    """Bounds on the smallest margin alpha for n groups in 3-D (Kong & Fowlkes, proposition 2).

    Args:
        groups: n, at least 2.
        constant: C of the proposition, which states only that such a constant exists.

    Returns:
        Lower bound (no embedding has zero loss at a smaller margin) and upper bound (an embedding
        with zero loss exists), both clipped to [0, 1]. The lower bounds for n = 4..7 are .0931,
        .2745, .3954, .4818.

    Raises:
        CongealError: fewer than two groups.

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
    """Smallest margin alpha at which n groups fit in D dimensions with zero loss.

    Closed form: (n - 2) / (2 (n - 1)) up to n = D + 1 (simplex), .5 up to n = 2 D
    (cross-polytope), and any n at D = 2 (equal angles). Otherwise the best numerical packing of
    :func:`optimise_directions`, which is an upper bound.

    Args:
        groups: n, at least 1.
        dimensions: D, at least 2.
        steps: optimisation steps.
        seed: of the random start.

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
    """Maximise the smallest angle between n directions (Tammes' problem), numerically.

    Adam on logsumexp(beta cosines) / beta over all pairs, with beta rising from 10 to 3,000, from
    several random starts in parallel; the start with the smallest largest cosine wins.

    Args:
        groups: n directions.
        dimensions: D.
        steps: optimisation steps.
        restarts: number of random starts.
        seed: of the random starts.

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
    diagonal = torch.eye(groups, dtype=torch.bool)
    optimiser = torch.optim.Adam([points], lr=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps, eta_min=1e-5)
    for step in range(steps):
        sharpness = 10.0 * 300.0 ** (step / steps)
        unit = normalise(points, dim=2)
        cosine = (unit @ unit.mT).masked_fill(diagonal, -torch.inf)  # (R, n, n)
        loss = (cosine * sharpness).flatten(1).logsumexp(1).sum() / sharpness
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        unit = normalise(points, dim=2)
        largest = (unit @ unit.mT).masked_fill(diagonal, -torch.inf).flatten(1).amax(1)
        return unit[largest.argmin()].detach()
