"""Recurrent mean shift on the unit sphere (RPE, section 3.2), by fused attention."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.checkpoint import checkpoint

from congeal.autograd import full_precision, refuse_double_backward
from congeal.errors import CongealError, require_tensor
from congeal.grouping.groups import Groups, take_pixels
from congeal.grouping.pipeline import group_pixels
from congeal.sphere import MIN_EMBEDDING_NORM, concentration_from_margin, normalise

__all__ = ["MeanShift", "mean_shift_step"]

MASKED_LOGIT = -1e4  # logit of a point of mass 0: its weight underflows to 0


class _FlushInBackward(torch.autograd.Function):
    """Identity; its backward pass switches the flushing of denormals on or off."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, flush: bool) -> Tensor:
        ctx.flush = flush
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        torch.set_flush_denormal(ctx.flush)
        return grads[0], None


def _attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention of ``(B, N, E)``, forward and backward without denormal numbers on a CPU.

    Weights of far pairs are smaller than the exponent of a float holds. Sums with such denormal
    numbers take 2 to 4 times as long, and 0 gives the same result.
    """
    if query.device.type != "cpu" or torch.compiler.is_compiling():
        return _fused(query, key, value)
    before = float(torch.tensor(1e-40) * 1.0) == 0  # PyTorch has no function that tells
    learning = torch.is_grad_enabled() and query.requires_grad
    if learning:
        query, key, value = (_FlushInBackward.apply(x, before) for x in (query, key, value))
    torch.set_flush_denormal(True)
    try:
        attended = _fused(query, key, value)
    finally:
        torch.set_flush_denormal(before)
    found: Tensor = _FlushInBackward.apply(attended, True) if learning else attended
    return found


def _fused(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    q, k, v = (x[:, None].contiguous() for x in (query, key, value))  # slow where they are not
    return scaled_dot_product_attention(q, k, v, scale=1.0)[:, 0]


def _log_kernel_factors(
    points: Tensor, weights: Tensor | None, location: Tensor | None, sigma: float
) -> tuple[list[Tensor], list[Tensor]]:
    """What query and key carry beside the embedding, so that their product is the log kernel.

    log m_j - |p_i - p_j|^2 / (2 sigma^2), up to a term of the query alone, which softmax ignores.
    """
    if weights is None and location is None:
        return [], []
    ones = torch.ones_like(points[..., :1])  # (B, N, 1)
    bias, query, key = torch.zeros_like(ones), [ones], []
    if weights is not None:
        mass = weights.to(points.dtype)
        log_mass = mass.clamp_min(1e-30).log().masked_fill(mass <= 0, MASKED_LOGIT)
        bias = bias + log_mass[..., None]
    if location is not None:
        place = location.to(points.dtype)
        place = (place - place.mean(1, keepdim=True)) / sigma
        bias = bias - 0.5 * place.square().sum(-1, keepdim=True)
        query, key = [ones, place], [place]
    return query, [bias, *key]


def mean_shift_step(
    points: Tensor,
    *,
    concentration: float | Tensor,
    eta: float = 1.0,
    weights: Tensor | None = None,
    location: Tensor | None = None,
    sigma: float = 1.0,
) -> Tensor:
    """Move every point towards the mean of its neighbourhood, then back onto the sphere.

    X <- normalise(eta K D^-1 X + (1 - eta) X) with K_ij = m_j exp(kappa x_i.x_j), which is
    softmax attention with tied queries, keys and values: PyTorch's fused kernel takes the step in
    O(N^2 D) time and O(N D) memory, forward and backward.
    With ``location`` the kernel also falls off with distance in the image, as in mean shift over
    the joint domain (Comaniciu & Meer, 2002); the location itself does not move.

    Args:
        points: ``(B, N, D)`` unit vectors.
        concentration: kappa of the von Mises-Fisher kernel, a number or a scalar tensor.
        eta: step length in (0, 1].
        weights: ``(B, N)`` mass of each point, at least 0; a point of mass 0 attracts nobody.
        location: ``(B, N, n)`` positions in the image.
        sigma: standard deviation of the fall-off with distance, in the units of ``location``.

    Returns:
        ``(B, N, D)`` unit vectors.

    Example:
        >>> points = normalise(torch.tensor([[[1.0, 0.1], [1.0, -0.1]]]), dim=-1)
        >>> mean_shift_step(points, concentration=4.0)[0, :, 1].abs().max().item() < 0.01
        True
    """
    once = [
        refuse_double_backward(x, "mean shift") for x in (points * concentration, points, points)
    ]
    query_factors, key_factors = _log_kernel_factors(points, weights, location, sigma)
    query = torch.cat([once[0], *query_factors], -1)  # (B, N, D + E)
    key = torch.cat([once[1], *key_factors], -1)
    value = torch.cat([once[2], *(torch.zeros_like(x) for x in key_factors)], -1)
    mean = _attend(query, key, value)[..., : points.shape[-1]]
    if eta != 1.0:
        mean = eta * mean + (1 - eta) * points
    return normalise(mean, dim=-1)


class MeanShift(nn.Module):
    """Recurrent, differentiable mean shift of embeddings on the unit sphere.

    Args:
        concentration: kappa; None derives it from the margin, 9 / (1 - margin)^2.
        margin: alpha of the pairwise loss, in [0, 1).
        steps: how many.
        eta: step length in (0, 1]; 1 in all experiments of the paper.
        learnable: make log kappa a parameter.
        kernel_radius: three standard deviations of a Gaussian in space by which the kernel falls
            off, in pixels of the map; None: the kernel does not depend on the distance.
        recompute: recompute each step in the backward pass, so that of a step nothing is kept but
            the points it starts from.
        tolerance: once a step changes no coordinate by more, the steps that are left repeat its
            result.
        anchors: for :meth:`group` without a kernel radius: points that shift; a map of fewer pixels
            shifts whole.
        min_area: for :meth:`group`: groups of fewer pixels are dissolved into their neighbours.

    Raises:
        CongealError: a value is out of range.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> steps = MeanShift(steps=10)(torch.randn(1, 3, 8, 8))
        >>> len(steps), tuple(steps[-1].shape)
        (10, (1, 3, 8, 8))
    """

    def __init__(
        self,
        concentration: float | None = None,
        margin: float = 0.5,
        steps: int = 10,
        eta: float = 1.0,
        *,
        learnable: bool = False,
        kernel_radius: float | None = None,
        recompute: bool = False,
        tolerance: float = 0.0,
        anchors: int = 1024,
        min_area: float = 8.0,
    ) -> None:
        super().__init__()
        kappa = concentration_from_margin(margin) if concentration is None else concentration
        radius_fits = kernel_radius is None or 0 < kernel_radius < math.inf
        if not (0 < kappa < math.inf and 0 < eta <= 1 and steps >= 0 and radius_fits):
            raise CongealError(
                "expected concentration > 0, eta in (0, 1], steps >= 0 and kernel_radius > 0, all "
                f"finite, got {kappa}, {eta}, {steps} and {kernel_radius}"
            )
        if not tolerance >= 0:
            raise CongealError(f"expected tolerance >= 0, got {tolerance}")
        self.margin = margin
        self.steps = steps
        self.eta = eta
        self.kernel_radius = kernel_radius
        self.recompute = recompute
        self.tolerance = tolerance
        self.anchors = anchors
        self.min_area = min_area
        log_kappa = torch.tensor(math.log(kappa), dtype=torch.float64)
        self.log_concentration = (
            nn.Parameter(log_kappa.float()) if learnable else nn.Buffer(log_kappa, persistent=False)
        )

    @property
    def concentration(self) -> Tensor:
        """Kappa, a scalar tensor."""
        return self.log_concentration.exp()

    def step(
        self, points: Tensor, weights: Tensor | None = None, location: Tensor | None = None
    ) -> Tensor:
        """One step on ``(B, N, D)`` unit vectors; see :func:`mean_shift_step`."""
        return mean_shift_step(
            points,
            concentration=self.concentration.to(points.dtype),
            eta=self.eta,
            weights=weights,
            location=location if self.kernel_radius else None,
            sigma=(self.kernel_radius or 3.0) / 3.0,
        )

    def shift(
        self, points: Tensor, weights: Tensor | None = None, location: Tensor | None = None
    ) -> list[Tensor]:
        """Take all steps on ``(B, N, D)`` unit vectors and return the points after each."""
        trail: list[Tensor] = []
        for _ in range(self.steps):
            if self.recompute and torch.is_grad_enabled():
                moved = checkpoint(self.step, points, weights, location, use_reentrant=False)
            else:
                moved = self.step(points, weights, location)
            trail.append(moved)
            if self.tolerance and _at_rest(points, moved, self.tolerance):
                break
            points = moved
        return trail + trail[-1:] * (self.steps - len(trail))

    def forward(
        self, embedding: Tensor, mask: Tensor | None = None, weights: Tensor | None = None
    ) -> list[Tensor]:
        """Shift the embeddings of images.

        Args:
            embedding: ``(B, D, *S)``, normalised here.
            mask: ``(B, *S)`` bool, the pixels that take part; the others attract nobody.
            weights: ``(B, *S)`` mass of each pixel, at least 0.

        Returns:
            ``steps`` tensors ``(B, D, *S)``, the embeddings after each step.
        """
        require_tensor(embedding, "embedding")
        size = embedding.shape[2:]
        with torch.autocast(embedding.device.type, enabled=False):
            points = normalise(embedding, dim=1, eps=MIN_EMBEDDING_NORM).flatten(2).mT  # (B, N, D)
            mass = _pixel_mass(points, mask, weights)
            location = None
            if self.kernel_radius:
                location = _pixel_grid(size, points).expand(len(points), -1, -1)
            trail = self.shift(points.contiguous(), mass, location)
        return [step.mT.unflatten(2, size) for step in trail]

    @full_precision
    def group(
        self, embedding: Tensor, mask: Tensor | None = None, weights: Tensor | None = None
    ) -> Groups:
        """Group the pixels of one image by the modes that they converge to.

        By :func:`congeal.grouping.group_pixels` in at most 20 steps: all pixels move (blurring mean
        shift), so modes attract each other and would merge in many more. With a ``kernel_radius``
        groups that are far apart in the image may share a direction.

        Args:
            embedding: ``(D, *S)``, normalised here.
            mask: ``(*S)`` bool, the pixels to group.
            weights: ``(*S)`` mass of each pixel, at least 0.

        Example:
            >>> MeanShift().group(torch.eye(2)[:, :, None].expand(2, 2, 9)).labels[:, 0].tolist()
            [1, 2]
        """
        embedding, inside, mass = take_pixels(embedding, mask, weights)
        return group_pixels(
            embedding,
            inside,
            mass,
            shift=self,
            margin=self.margin,
            kernel_radius=self.kernel_radius,
            anchors=self.anchors,
            min_area=self.min_area,
        )


def _pixel_mass(points: Tensor, mask: Tensor | None, weights: Tensor | None) -> Tensor | None:
    """Mass ``(B, N)`` of each pixel, 0 outside the mask; None where all are alike."""
    mass = None if weights is None else weights.flatten(1).to(points.dtype)
    if mask is None:
        return mass
    kept = mask.flatten(1).to(points.dtype)
    return kept if mass is None else mass * kept


def _pixel_grid(size: torch.Size, like: Tensor) -> Tensor:
    """``(N, n)`` positions of the pixels of a map of this size."""
    axes = [torch.arange(side, dtype=like.dtype, device=like.device) for side in size]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(size))


def _at_rest(before: Tensor, after: Tensor, tolerance: float) -> bool:
    return bool((after.detach() - before.detach()).abs().amax() < tolerance) if len(after) else True
