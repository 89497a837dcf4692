"""Which pairs of pixels a loss looks at: a stratified window around each, or pairs at random."""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import chain, product
from typing import Any

import torch
from torch import Tensor

from congeal.autograd import once_differentiable
from congeal.errors import CongealError

__all__ = ["random_pairs", "window_offsets", "window_pair_cost"]

Offset = tuple[int, ...]


@lru_cache(maxsize=32)
def window_offsets(
    dimensions: int = 2, *, window: int = 129, centre: int = 8, dilation: int = 8
) -> tuple[Offset, ...]:
    """Steps from a pixel to its partners in the stratified window of DVIS (section 3.3).

    Close by every pixel is a partner: those less than ``centre`` steps away, counted from face to
    face. Further out only a grid of every ``dilation``-th pixel is, and the lines through the
    centre along the axes. Of a step and its opposite one is given, so that no pair comes twice.
    The values of the paper give 298 steps in the plane.

    Args:
        dimensions: n of the image.
        window: side of the window in pixels, odd.
        centre: c of the paper, in pixels; 0 for none.
        dilation: r of the paper, in pixels.

    Returns:
        Steps of n whole numbers each, ascending.

    Raises:
        CongealError: a value is out of range.

    Example:
        >>> len(window_offsets()), window_offsets(1, window=9, centre=2, dilation=4)
        (298, ((1,), (2,), (3,), (4,)))
    """
    if dimensions < 1 or window < 1 or window % 2 == 0 or centre < 0 or dilation < 1:
        raise CongealError(
            "expected dimensions >= 1, an odd window, centre >= 0 and dilation >= 1, got "
            f"{dimensions}, {window}, {centre} and {dilation}"
        )
    reach = window // 2
    close = min(centre, reach)
    near = (
        step
        for step in product(range(-close, close + 1), repeat=dimensions)
        if sum(map(abs, step)) < centre
    )
    ticks = range(-(reach // dilation) * dilation, reach + 1, dilation)
    grid = product(ticks, repeat=dimensions)
    axes = (
        tuple(length * (axis == other) for other in range(dimensions))
        for axis in range(dimensions)
        for length in range(1, reach + 1)
    )
    start = (0,) * dimensions
    return tuple(sorted({step for step in chain(near, grid, axes) if step > start}))


def _ends(step: Offset, size: torch.Size) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Views of a ``(B, *S)`` map that pair each pixel with the one a step further on."""
    first = [slice(max(0, -d), side - max(0, d)) for d, side in zip(step, size, strict=True)]
    second = [slice(max(0, d), side - max(0, -d)) for d, side in zip(step, size, strict=True)]
    return (slice(None), *first), (slice(None), *second)


def _difference(one: Tensor, other: Tensor, spatial: int) -> tuple[Tensor, Tensor]:
    """Distance of two values ``(B, *S)``, and the direction from the other to the one."""
    difference = one - other
    if difference.ndim == spatial + 1:
        return difference.abs(), difference.sign()
    gap = difference.norm(dim=1)  # (B, *S) of (B, C, *S)
    tiny = torch.finfo(gap.dtype).tiny
    return gap, difference / gap.clamp_min(tiny)[:, None]


def _within(step: Offset, radius: float | None) -> bool:
    """Whether different objects repel each other that far apart."""
    return radius is None or math.hypot(*step) <= radius


def _compare(
    values: Tensor,  # (B, *S) or (B, C, *S)
    labels: Tensor,  # (B, *S)
    window: int,
    centre: int,
    dilation: int,
    margin: float,
    theta: float,
    different_weight: float,
    repulsion_radius: float | None = None,
) -> tuple[Tensor, Tensor]:
    """Mean cost ``(B,)`` over the pairs of each image, and its gradient, shaped like the values."""
    size = labels.shape[1:]
    gradient = torch.zeros_like(values)
    cost = values.new_zeros(len(values))
    count = torch.zeros(len(values), dtype=torch.int64, device=values.device)
    foreground = labels > 0
    for step in window_offsets(len(size), window=window, centre=centre, dilation=dilation):
        if any(abs(d) >= side for d, side in zip(step, size, strict=True)):
            continue
        a, b = _ends(step, size)
        both = foreground[a] & foreground[b]
        same = labels[a] == labels[b]
        if not _within(step, repulsion_radius):
            both &= same
        at_a: Any = (Ellipsis, *a[1:])
        at_b: Any = (Ellipsis, *b[1:])
        gap, direction = _difference(values[at_a], values[at_b], len(size))
        excess = torch.where(same, gap, (margin - gap).relu_())
        slope = (excess / theta).clamp_(max=1.0)
        scale = torch.where(same, 1.0, different_weight).to(values.dtype).mul_(both)
        # Huber: v^2 / (2 theta) while the slope v / theta is below 1, v - theta / 2 from there on
        cost += (slope * (excess - 0.5 * theta * slope)).mul_(scale).flatten(1).sum(1)
        count += both.flatten(1).sum(1)
        strength = slope.mul_(scale).mul_(same.to(values.dtype) * 2 - 1)
        pull = direction * (strength if values.ndim == labels.ndim else strength[:, None])
        gradient[at_a] += pull
        gradient[at_b] -= pull
    count = count.clamp_min(1)
    return cost / count, gradient / count.reshape(-1, *[1] * (values.ndim - 1))


def _shapes(values: Tensor, labels: Tensor, *settings: float | None) -> tuple[Tensor, Tensor]:
    """What :func:`_compare` would return, without its numbers."""
    return values.new_empty(len(values)), torch.empty_like(values)


def _keep_gradient(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(output[1])


def _scale_gradient(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
    (gradient,) = ctx.saved_tensors
    towards = grads[0].reshape(-1, *[1] * (gradient.ndim - 1)) * gradient
    return once_differentiable(towards, "window loss"), *[None] * 8


# An operator of its own, so that a compiler takes the loop over the steps as one piece.
_OPERATOR = "congeal::window_pair_cost"
torch.library.define(
    _OPERATOR,
    "(Tensor values, Tensor labels, int window, int centre, int dilation, float margin, "
    "float theta, float different_weight, float? repulsion_radius=None) -> (Tensor, Tensor)",
)
torch.library.impl(_OPERATOR, "default", _compare)
torch.library.register_fake(_OPERATOR, _shapes)
torch.library.register_autograd(_OPERATOR, _scale_gradient, setup_context=_keep_gradient)


def window_pair_cost(
    values: Tensor,
    labels: Tensor,
    *,
    window: int = 129,
    centre: int = 8,
    dilation: int = 8,
    margin: float = 1.0,
    theta: float = 0.1,
    different_weight: float = 1.0,
    repulsion_radius: float | None = None,
) -> Tensor:
    """Mean cost of the pairs of foreground pixels in the stratified window around each other.

    With v = |f_1 - f_2| (Euclidean, where a pixel has several numbers) within an object and
    max(margin - |f_1 - f_2|, 0) between two, a pair costs the Huber loss of v. Shifted views of
    the map are compared one step at a time, and the gradient is gathered on the way, so that
    memory does not grow with the number of steps.

    Args:
        values: ``(B, *S)`` float32 or float64, or ``(B, C, *S)``.
        labels: ``(B, *S)`` integers; pixels of 0 and less make no pairs.
        window: side of the window, see :func:`window_offsets`.
        centre: closer than this every pixel is a partner.
        dilation: further out every so many pixels one is.
        margin: m_2, the difference wanted between objects.
        theta: where the Huber loss turns from a square to a line.
        different_weight: weight of pairs of different objects, in the sum only.
        repulsion_radius: pixels; pairs of different objects further apart are left out. None: none.

    Returns:
        ``(B,)``, 0 where an image has no pair. It can be differentiated once.

    Raises:
        CongealError: there is no such window.

    Example:
        >>> values = torch.tensor([[1.0, 1.0, 3.0]])
        >>> window_pair_cost(values, torch.tensor([[1, 2, 2]]), window=3)
        tensor([1.4500])
    """
    cost: Tensor
    cost, _ = torch.ops.congeal.window_pair_cost(
        values, labels, window, centre, dilation, margin, theta, different_weight, repulsion_radius
    )
    return cost


def random_pairs(
    labels: Tensor, count: int, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Draw pairs of two foreground pixels of one image, all pairs equally likely.

    Args:
        labels: ``(*S)`` integers; pixels of 0 and less are not drawn.
        count: pairs to draw, with replacement.
        generator: a CPU generator, for a draw that can be repeated.

    Returns:
        Flat indices of the first and of the second pixels, ``(count,)`` each, never the same pixel
        twice in a pair; empty where there are fewer than two foreground pixels.

    Raises:
        CongealError: a negative count.

    Example:
        >>> first, second = random_pairs(torch.tensor([[0, 4, -1, 4]]), 3)
        >>> (first + second).tolist()
        [4, 4, 4]
    """
    if count < 0:
        raise CongealError(f"expected a count of at least 0, got {count}")
    pixels = (labels.reshape(-1) > 0).nonzero()[:, 0]
    if len(pixels) < 2:
        return pixels[:0], pixels[:0]
    first = torch.randint(len(pixels), (count,), generator=generator)
    second = (first + torch.randint(1, len(pixels), (count,), generator=generator)) % len(pixels)
    return pixels[first.to(pixels.device)], pixels[second.to(pixels.device)]
