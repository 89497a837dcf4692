"""Recurrent mean shift on the unit sphere (RPE, section 3.2), without the N x N matrix."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.checkpoint import checkpoint

from congeal.autograd import full_precision, refuse_double_backward
from congeal.errors import CongealError, require_tensor
from congeal.grouping.block_shift import LEAST, LOG2E, block_means, fits_blocks, not_light
from congeal.grouping.groups import Groups
from congeal.grouping.pipeline import group_pixels
from congeal.grouping.pixels import pixel_grid, pixel_mass, take_pixels
from congeal.sphere import MIN_EMBEDDING_NORM, concentration_from_margin, normalise

__all__ = ["MeanShift", "mean_shift_step"]

FAR = -1e4  # a logit that no weight survives
WRITTEN = 512 * 512  # pairs up to which their matrix is written out on a CPU: fewer, smaller calls


def _keys(
    queries: Tensor,
    points: Tensor,
    weights: Tensor | None,
    location: Tensor | None,
    spread: float,
) -> tuple[Tensor, Tensor]:
    """What a query and a key carry beyond the embedding, so that one product gives the logit.

    log m_j - |p_i - p_j|^2 / (2 s^2), less a term of the query alone, which softmax ignores. With
    a location queries and points are the same.

    Returns:
        ``(B, M, E)`` for queries and ``(B, N, E)`` for keys.
    """
    batch, count, _ = points.shape
    bias = points.new_zeros(batch, count, 1)
    query = [points.new_ones(batch, queries.shape[1], 1)]
    key = []
    if weights is not None:
        bias = bias + _log_mass(weights.to(points.dtype))[..., None]
    if location is not None:
        place = location.to(points.dtype)
        place = (place - place.mean(1, keepdim=True)) / spread
        bias = bias - 0.5 * place.square().sum(-1, keepdim=True)
        query.append(place)
        key.append(place)
    return torch.cat(query, -1), torch.cat([bias, *key], -1)


def _log_mass(weights: Tensor) -> Tensor:
    """Logarithm of the mass, and what no weight survives for none."""
    return weights.clamp_min(1e-30).log().clamp_min(FAR).masked_fill(weights <= 0, FAR)


def _few(queries: Tensor, points: Tensor) -> bool:
    """Whether the matrix of all pairs is small, and nothing is to be learnt through it."""
    learning = torch.is_grad_enabled() and (queries.requires_grad or points.requires_grad)
    few = 0 < math.prod(queries.shape[:-1]) * points.shape[-2] <= WRITTEN
    return few and not learning and points.device.type == "cpu"


def _means_written_out(
    queries: Tensor,
    points: Tensor,
    concentration: float | Tensor,
    weights: Tensor | None,
    values: Tensor,
) -> Tensor:
    """The same as :func:`_means_by_attention`, by the matrix of all pairs.

    Those of a sharp kernel are cut off at the bottom: next to the largest they are nothing, and
    products with numbers too small for the exponent of a float take some processors ten times as
    long.
    """
    logit = (queries * concentration) @ points.mT  # (B, M, N)
    if weights is not None:
        logit += _log_mass(weights.to(points.dtype))[..., None, :]
    if _sharp(concentration):
        logit = logit.clamp_min(logit.detach().amax(-1, keepdim=True) + LEAST / LOG2E)
    return logit.softmax(-1) @ values


def _sharp(concentration: float | Tensor) -> bool:
    """Whether opposite vectors weigh next to nothing, where that is known."""
    known = not torch.compiler.is_compiling()
    return known and -2 * float(torch.as_tensor(concentration).detach()) < LEAST / LOG2E


def _many(points: Tensor) -> bool:
    """Whether blocks of the symmetric kernel beat attention, which computes all of it."""
    learning = points.requires_grad and torch.is_grad_enabled()
    return points.shape[1] >= (256 if learning else 1280)


def _means_by_blocks(
    points: Tensor,
    concentration: float | Tensor,
    weights: Tensor | None,
    location: Tensor | None,
    spread: float,
    *,
    long: bool,
) -> Tensor:
    means = [
        block_means(
            one,
            concentration=concentration,
            weights=None if weights is None else weights[index],
            location=None if location is None else location[index],
            spread=spread,
            long=long,
        )
        for index, one in enumerate(points)
    ]
    return torch.stack(means)


def _means_by_attention(
    queries: Tensor,
    points: Tensor,
    concentration: float | Tensor,
    weights: Tensor | None,
    values: Tensor,
    location: Tensor | None = None,
    spread: float = 1.0,
) -> Tensor:
    """Means of ``values (B, N, D)``, those at points nearest to ``(B, M, D)`` first and foremost.

    By PyTorch's fused kernel. A point of mass ``(B, N)`` counts as so many.
    """
    # the kernel is slow on vectors that are not in one piece
    vectors = (queries * concentration, points, values)
    query, key, value = (refuse_double_backward(x.contiguous(), "mean shift") for x in vectors)
    if weights is not None or location is not None:
        query_extra, key_extra = _keys(queries, points, weights, location, spread)
        query = torch.cat([query, query_extra], -1)  # (B, M, D + E)
        key = torch.cat([key, key_extra], -1)
        value = torch.cat([value, torch.zeros_like(key_extra)], -1)
    fused = scaled_dot_product_attention(
        query[:, None], key[:, None], value[:, None], scale=1.0
    )  # (B, 1, M, D + E)
    return fused[:, 0, :, : points.shape[-1]]


def _weigh(points: Tensor, weights: Tensor | None, safe: bool) -> tuple[Tensor, Tensor | None]:
    """Values ``(B, N, D)`` and the mass that is left to weigh pairs with.

    Values of so much mass each are quicker than pairs, but give means of another length. That is
    ``safe`` in a step of length one, if no mass is next to nothing: such a point may be far from
    all others, so that its mean would have no length at all.
    """
    if weights is None or not safe:
        return points, weights
    return points * weights.to(points.dtype)[..., None], None


def _all_heavy(weights: Tensor | None) -> bool:
    """Whether no mass is next to nothing, where that is known without waiting for a GPU."""
    if weights is None or weights.device.type != "cpu" or torch.compiler.is_compiling():
        return False
    return not_light(weights)


def mean_shift_step(
    points: Tensor,
    *,
    concentration: float | Tensor,
    step_size: float = 1.0,
    weights: Tensor | None = None,
    location: Tensor | None = None,
    spread: float = 1.0,
) -> Tensor:
    """Move every point towards the mean of its neighbourhood, then back onto the sphere.

    X <- normalise(eta K D^-1 X + (1 - eta) X) with K_ij = m_j exp(kappa x_i.x_j), which is
    softmax attention with tied queries, keys and values. The N x N matrix is never written, but
    for a few hundred points on a CPU without a gradient, where it is small. Many points on a CPU
    go through :mod:`congeal.grouping.block_shift`, which knows that K is symmetric; otherwise
    PyTorch's fused attention kernel runs.
    With ``location`` the kernel also falls off with distance in the image, as in mean shift over
    the joint domain (Comaniciu & Meer, 2002); the location itself does not move.

    Args:
        points: ``(B, N, D)`` unit vectors.
        concentration: kappa of the von Mises-Fisher kernel, a number or a scalar tensor.
        step_size: eta in (0, 1].
        weights: ``(B, N)`` mass of each point, at least 0; a point of mass 0 attracts nobody.
        location: ``(B, N, n)`` positions in the image.
        spread: standard deviation of the fall-off with distance, in the units of ``location``.

    Returns:
        ``(B, N, D)`` unit vectors.

    Example:
        >>> points = normalise(torch.tensor([[[1.0, 0.1], [1.0, -0.1]]]), dim=-1)
        >>> mean_shift_step(points, concentration=4.0)[0, :, 1].abs().max().item() < 0.01
        True
    """
    if _many(points) and fits_blocks(points, weights, location):
        long = step_size != 1.0
        mean = _means_by_blocks(points, concentration, weights, location, spread, long=long)
    else:
        values, weights = _weigh(points, weights, step_size == 1.0 and _all_heavy(weights))
        if location is None and _few(points, points):
            mean = _means_written_out(points, points, concentration, weights, values)
        else:
            mean = _means_by_attention(
                points, points, concentration, weights, values, location, spread
            )
    if step_size != 1.0:
        mean = step_size * mean + (1 - step_size) * points
    return normalise(mean, dim=-1)


class MeanShift(nn.Module):
    """Recurrent, differentiable mean shift of embeddings on the unit sphere.

    Args:
        concentration: kappa; None derives it from the margin, 9 / (1 - margin)^2.
        margin: alpha of the pairwise loss, in [0, 1).
        steps: how many.
        step_size: eta in (0, 1]; 1 in all experiments of the paper.
        learnable: make log kappa a parameter.
        reach: if given, pixels attract each other only nearby: the kernel falls off with distance
            as a Gaussian whose three standard deviations are the reach, in pixels of the map.
        recompute: recompute each step in the backward pass, so that of a step nothing is kept but
            the points it starts from.
        tolerance: a step that moves no coordinate further ends the shifting; the steps that are
            left repeat its result.
        anchors: for :meth:`group` without a reach, points that shift; smaller maps shift whole.
        smallest: for :meth:`group`, pixels under which a group is given up.

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
        step_size: float = 1.0,
        *,
        learnable: bool = False,
        reach: float | None = None,
        recompute: bool = False,
        tolerance: float = 0.0,
        anchors: int = 1024,
        smallest: float = 8.0,
    ) -> None:
        super().__init__()
        kappa = concentration_from_margin(margin) if concentration is None else concentration
        far = reach is None or 0 < reach < math.inf
        if not (0 < kappa < math.inf and 0 < step_size <= 1 and steps >= 0 and far):
            raise CongealError(
                "expected concentration > 0, step_size in (0, 1], steps >= 0 and reach > 0, all "
                f"finite, got {kappa}, {step_size}, {steps} and {reach}"
            )
        if not tolerance >= 0:
            raise CongealError(f"expected tolerance >= 0, got {tolerance}")
        self.margin = margin
        self.steps = steps
        self.step_size = step_size
        self.reach = reach
        self.recompute = recompute
        self.tolerance = tolerance
        self.anchors = anchors
        self.smallest = smallest
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
            step_size=self.step_size,
            weights=weights,
            location=location if self.reach else None,
            spread=(self.reach or 3.0) / 3.0,
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
            mass = pixel_mass(points, mask, weights)
            location = pixel_grid(size, points).expand(len(points), -1, -1) if self.reach else None
            trail = self.shift(points.contiguous(), mass, location)
        return [step.mT.unflatten(2, size) for step in trail]

    @full_precision
    def group(
        self, embedding: Tensor, mask: Tensor | None = None, weights: Tensor | None = None
    ) -> Groups:
        """Group the pixels of one image by the modes that they converge to.

        By :func:`congeal.grouping.group_pixels`, at most 20 steps: since all pixels move (blurring
        mean shift), modes attract each other, and would merge further in many more. With a
        ``reach`` the kernel falls off with distance, and far-apart groups may share a direction.

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
            radius=self.reach,
            anchors=self.anchors,
            min_area=self.smallest,
        )


def _at_rest(before: Tensor, after: Tensor, tolerance: float) -> bool:
    return bool((after.detach() - before.detach()).abs().amax() < tolerance) if len(after) else True
