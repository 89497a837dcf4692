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

CACHED = 2**16  # pixels compared at once; the dozen maps this takes fit a core's cache
EXACT = 2**24  # whole numbers below it are float32


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
    half = window // 2
    close = min(centre, half)
    near = (
        step
        for step in product(range(-close, close + 1), repeat=dimensions)
        if sum(map(abs, step)) < centre
    )
    ticks = range(-(half // dilation) * dilation, half + 1, dilation)
    grid = product(ticks, repeat=dimensions)
    axes = (
        tuple(length * (axis == other) for other in range(dimensions))
        for axis in range(dimensions)
        for length in range(1, half + 1)
    )
    start = (0,) * dimensions
    return tuple(sorted({step for step in chain(near, grid, axes) if step > start}))


def _ends(step: Offset, size: torch.Size) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Views of a ``(B, *S)`` map that pair each pixel with the one a step further on."""
    first = [slice(max(0, -d), side - max(0, d)) for d, side in zip(step, size, strict=True)]
    second = [slice(max(0, d), side - max(0, -d)) for d, side in zip(step, size, strict=True)]
    return (slice(None), *first), (slice(None), *second)


def _distance(difference: Tensor, spatial: int) -> tuple[Tensor, Tensor]:
    """Distance ``(B, *S)`` of two maps by their difference, and its direction."""
    if difference.ndim == spatial + 1:
        return difference.abs(), difference.sign_()
    gap = difference.square().sum(1).sqrt_()  # (B, *S) of (B, C, *S)
    tiny = torch.finfo(gap.dtype).tiny
    return gap, difference.div_(gap.clamp_min(tiny)[:, None])


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
    steps = window_offsets(labels.ndim - 1, window=window, centre=centre, dilation=dilation)
    steps = tuple(
        step
        for step in steps
        if all(abs(d) < side for d, side in zip(step, labels.shape[1:], strict=True))
    )
    together = max(1, CACHED // max(labels[0].numel(), 1)) if len(labels) else 1
    if labels.is_cuda:
        together = max(len(labels), 1)  # launches count there, not the cache
    parts = [
        _Window(some, its, margin, theta, different_weight, repulsion_radius).compare(steps)
        for some, its in zip(values.split(together), labels.split(together), strict=True)
    ]
    costs, gradients = zip(*parts, strict=True)
    return torch.cat(costs), torch.cat(gradients)


class _Window:
    """The pairs of a few images, compared one step after another.

    What is done 298 times is done in few passes over memory: truth values are 0 and 1 in the type
    of the values, since mixed types are slow, and choices are made by arithmetic that is exact.
    """

    def __init__(
        self,
        values: Tensor,
        labels: Tensor,
        margin: float,
        theta: float,
        different_weight: float,
        radius: float | None,
    ) -> None:
        self.values = values
        self.names = _numbered(labels, values.dtype)
        self.foreground = (labels > 0).to(values.dtype)
        self.margin, self.theta, self.radius = margin, theta, radius
        self.different = different_weight
        self.gradient = torch.zeros_like(values)
        self.cost = values.new_zeros(len(values))
        self.count = values.new_zeros(len(values), dtype=torch.float64)

    def compare(self, steps: tuple[Offset, ...]) -> tuple[Tensor, Tensor]:
        """Cost ``(B,)`` and gradient, both of the mean over the pairs."""
        for step in steps:
            self._add(step)
        count = self.count.clamp_min(1).to(self.cost.dtype)
        each = count.reshape(-1, *[1] * (self.values.ndim - 1))
        return self.cost / count, self.gradient.mul_(2).div_(each)

    def _add(self, step: Offset) -> None:
        """Add the pairs a step apart."""
        a, b = _ends(step, self.names.shape[1:])
        both = self.foreground[a] * self.foreground[b]  # (B, *S')
        same = torch.eq(self.names[a], self.names[b], out=torch.empty_like(both))
        if not _within(step, self.radius):
            both *= same
        at_a: Any = (Ellipsis, *a[1:])
        at_b: Any = (Ellipsis, *b[1:])
        gap, direction = _distance(self.values[at_a] - self.values[at_b], both.ndim - 1)
        # lerp gives exactly its first where same is 0, exactly its second where it is 1
        excess = (self.margin - gap).relu_().lerp_(gap, same)
        slope = (excess * (1 / self.theta)).clamp_(max=1.0)
        # Huber: v^2 / (2 theta) while the slope v / theta is below 1, v - theta / 2 from there on
        huber = excess.sub_(slope, alpha=0.5 * self.theta)
        strength = slope.mul_(both)
        if self.different != 1:
            strength *= same + (1 - same) * self.different
        self.cost += huber.mul_(strength).flatten(1).sum(1)
        self.count += both.flatten(1).sum(1)
        strength *= same.sub_(0.5)  # +-1/2: objects pull together, or push apart
        pull = direction.mul_(strength if direction.ndim == both.ndim else strength[:, None])
        self.gradient[at_a] += pull
        self.gradient[at_b] -= pull


def _numbered(labels: Tensor, dtype: torch.dtype) -> Tensor:
    """Labels ``(B, *S)`` as floats, exactly: numbered anew where they are too large."""
    if labels.numel() and int(labels.max()) >= EXACT:
        labels = torch.unique(labels, return_inverse=True)[1]
    return labels.clamp_min(0).to(dtype)


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
        centre: pixels closer than this are all paired.
        dilation: stride of paired pixels outside of the centre.
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
