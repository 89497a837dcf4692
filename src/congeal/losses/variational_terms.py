"""The four terms of the functional of Deep Variational Instance Segmentation (section 3).

One real number f per pixel: near 0 on background, at least m_1 on objects, constant within an
object and m_2 apart between objects. A final ReLU belongs to the functional: `values` are what
the network gives before it. The binary term sees them as they are, so that background below zero
costs nothing and objects below zero are still pulled up; all other terms see max(f, 0), the map
that is grouped in the end.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from congeal.errors import CongealError, require_tensor, unknown
from congeal.losses.window_pairs import random_pairs, window_pair_cost
from congeal.randomness import image_generator

__all__ = [
    "Pairs",
    "binary_term",
    "check_values",
    "huber",
    "mumford_shah_term",
    "permutation_term",
    "quantisation_term",
]

Pairs = Literal["window", "random"]


def huber(v: Tensor, theta: float = 0.1) -> Tensor:
    """Huber loss v^2 / (2 theta) below theta, v - theta / 2 from there on.

    Args:
        v: any shape, at least 0.
        theta: above 0, in the units of ``v``.

    Example:
        >>> huber(torch.tensor([0.0, 0.1, 1.0])).tolist()
        [0.0, 0.05000000074505806, 0.949999988079071]
    """
    return torch.where(v < theta, v.square() / (2 * theta), v - 0.5 * theta)


def check_values(values: Tensor, labels: Tensor) -> None:
    """Check a map of numbers, and labels of its size.

    Raises:
        CongealError: shapes do not fit, values are no floats, or labels no integers from -1 up.

    Example:
        >>> check_values(torch.zeros(2, 1, 4, 5), torch.zeros(2, 4, 5, dtype=torch.int64))
    """
    require_tensor(values, "values")
    require_tensor(labels, "labels")
    expected = (len(values), *values.shape[2:]) if values.ndim >= 3 else None
    if expected != tuple(labels.shape) or values.shape[1] < 1:
        raise CongealError(
            "expected values (B, C, *S) and labels (B, *S), "
            f"got {tuple(values.shape)} and {tuple(labels.shape)}"
        )
    if not values.is_floating_point():
        raise CongealError(f"expected float values, got {values.dtype}")
    if labels.is_floating_point() or labels.dtype == torch.bool:
        raise CongealError(f"expected labels of an integer type, got {labels.dtype}")
    if labels.numel() and int(labels.min()) < -1:
        raise CongealError(f"expected labels of at least -1 (void), got {int(labels.min())}")


def _prepare(values: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """``(B, C, *S)`` values in float32 or better, 0 in void; ``(B, *S)`` where there is none."""
    check_values(values, labels)
    if values.dtype in (torch.float16, torch.bfloat16):
        values = values.float()
    known = labels >= 0
    return values.masked_fill(~known[:, None], 0.0), known


def _mean(cost: Tensor, counted: Tensor) -> Tensor:
    """Mean over the counted pixels of each image (0 where there is none), then over images."""
    total = cost.masked_fill(~counted, 0.0).flatten(1).sum(1)  # (B,)
    return (total / counted.flatten(1).sum(1).clamp_min(1)).sum() / max(len(cost), 1)


def binary_term(
    values: Tensor, labels: Tensor, *, margin: float = 2.0, theta: float = 0.1
) -> Tensor:
    """Background at most 0, objects at least m_1: mean Huber loss over all pixels but void.

    Of several numbers per pixel each has to: one that stays below 0 on objects is 0 after the
    ReLU, alike for all of them, and no term would ever raise it. The cost is their mean.

    Args:
        values: ``(B, C, *S)`` f before the ReLU.
        labels: ``(B, *S)`` integers: -1 void, 0 background, 1..K objects.
        margin: m_1.
        theta: of the Huber loss.

    Returns:
        A scalar: the mean over the images of the batch.

    Raises:
        CongealError: shapes or types do not fit.

    Example:
        >>> binary_term(torch.tensor([[[-3.0, 1.0]]]), torch.tensor([[0, 1]])).item()
        0.4749999940395355
    """
    f, known = _prepare(values, labels)
    wrong = torch.where((labels > 0)[:, None], margin - f, f).relu()
    return _mean(huber(wrong, theta).mean(1), known)


def mumford_shah_term(values: Tensor, labels: Tensor) -> Tensor:
    """Few and sharp edges: mean of log(dx^2 + dy^2 + 1) over all pixels but void (Cauchy).

    Differences are taken to the next pixel along each axis; one that leaves the image or touches
    void counts as 0.

    Args:
        values: ``(B, C, *S)`` f before the ReLU.
        labels: ``(B, *S)`` integers; only void matters.

    Returns:
        A scalar: the mean over the images of the batch.

    Raises:
        CongealError: shapes or types do not fit.

    Example:
        >>> mumford_shah_term(torch.tensor([[[0.0, 0.0, 2.0]]]), torch.zeros(1, 3).long()).item()
        0.5364792943000793
    """
    f, known = _prepare(values, labels)
    f = f.relu()
    square = torch.zeros_like(f[:, 0])
    for axis in range(1, known.ndim):
        last = known.shape[axis] - 1
        if last < 1:
            continue
        together = known.narrow(axis, 0, last) & known.narrow(axis, 1, last)
        step = f.diff(dim=axis + 1).square().sum(1).masked_fill(~together, 0.0)
        square = square + torch.cat([step, torch.zeros_like(square.narrow(axis, last, 1))], axis)
    return _mean(square.log1p(), known)


def quantisation_term(values: Tensor, labels: Tensor) -> Tensor:
    """Whole numbers: mean ``|f - round(f)|`` where f > 0; 0 where nothing is positive.

    Args:
        values: ``(B, C, *S)`` f before the ReLU.
        labels: ``(B, *S)`` integers; only void matters.

    Returns:
        A scalar: the mean over the images of the batch.

    Raises:
        CongealError: shapes or types do not fit.

    Example:
        >>> quantisation_term(torch.tensor([[[-1.3, 1.75]]]), torch.zeros(1, 2).long()).item()
        0.25
    """
    f, known = _prepare(values, labels)
    counted = known[:, None] & (f > 0)
    return _mean((f - f.detach().round()).abs(), counted)


def permutation_term(
    values: Tensor,
    labels: Tensor,
    *,
    margin: float = 1.0,
    theta: float = 0.1,
    pairs: Pairs = "window",
    window: int = 129,
    centre: int = 8,
    dilation: int = 8,
    count: int = 65536,
    different_weight: float = 1.0,
    repulsion_radius: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """One value per object and m_2 between objects, invariant to permutations of labels.

    Of several numbers per pixel the Euclidean distance counts.

    The mean over pairs of foreground pixels of the Huber loss of ``|f_1 - f_2|`` within an object,
    and of ``max(m_2 - |f_1 - f_2|, 0)`` between two. Where two objects have exactly the same
    value the slope is taken as 0.

    Args:
        values: ``(B, C, *S)`` f before the ReLU.
        labels: ``(B, *S)`` integers: -1 void, 0 background, 1..K objects.
        margin: m_2.
        theta: of the Huber loss.
        pairs: ``"window"`` takes all pairs of the stratified window; ``"random"`` draws them from
            the whole image, for large ones.
        window: side of the window in pixels, odd.
        centre: pixels closer than this are all paired.
        dilation: stride of paired pixels outside of the centre.
        count: random pairs drawn from each image.
        different_weight: weight of pairs of different objects (1 in the paper, 3 in its code).
        repulsion_radius: pixels beyond which different objects may share a value; None: never.
        generator: CPU generator of the draw.

    Returns:
        A scalar: the mean over the images of the batch. It can be differentiated once.

    Raises:
        CongealError: shapes or types do not fit, or a value is out of range.

    Example:
        >>> values, labels = torch.tensor([[[2.0, 2.0, 2.5]]]), torch.tensor([[1, 1, 2]])
        >>> permutation_term(values, labels, window=3).item()
        0.22499999403953552
    """
    f, _ = _prepare(values, labels)
    f = f.relu()
    if pairs == "window":
        cost = window_pair_cost(
            f[:, 0] if f.shape[1] == 1 else f,
            labels,
            window=window,
            centre=centre,
            dilation=dilation,
            margin=margin,
            theta=theta,
            different_weight=different_weight,
            repulsion_radius=repulsion_radius,
        )
        return cost.sum() / max(len(f), 1)
    if pairs != "random":
        raise unknown("kind of pairs", pairs, ("window", "random"))
    total = f.sum() * 0.0
    for image, (one, its_labels) in enumerate(zip(f, labels, strict=True)):
        first, second = random_pairs(its_labels, count, image_generator(generator, image))
        flat = its_labels.flatten()
        same = flat[first] == flat[second]  # (count,)
        counted = same | _near(first, second, its_labels.shape, repulsion_radius)
        values_of = one.flatten(1)  # (C, N)
        gap = _distance(values_of[:, first] - values_of[:, second])
        cost = huber(torch.where(same, gap, (margin - gap).relu()), theta)
        cost = torch.where(same, cost, different_weight * cost).masked_fill(~counted, 0.0)
        total = total + cost.sum() / counted.sum().clamp_min(1)
    return total / max(len(f), 1)


def _distance(difference: Tensor) -> Tensor:
    """``(N,)`` lengths of ``(C, N)`` differences; the slope at 0 is 0."""
    if len(difference) == 1:
        return difference[0].abs()
    length: Tensor = torch.linalg.vector_norm(difference, dim=0)
    return length


def _near(first: Tensor, second: Tensor, size: torch.Size, radius: float | None) -> Tensor:
    """``(N,)`` whether the pixels of flat indices lie within the radius of each other."""
    if radius is None:
        return torch.ones_like(first, dtype=torch.bool)
    square = torch.zeros_like(first)
    for side in reversed(size):
        square += (first % side - second % side).square()
        first, second = first // side, second // side
    return square <= radius**2
