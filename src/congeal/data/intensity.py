"""From pixels of any depth to what a network is fed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from congeal.data.sample import Pixels
from congeal.errors import CongealError

__all__ = ["Bounds", "intensity_bounds", "scale_intensity"]

Bounds = Sequence[tuple[float, float]]
"""Intensities that become 0 and 1: one pair for up to three channels, else one for each."""

_SAMPLED_VALUES = 1_000_000
_CEILING = 1.5
_MOST_BURNT = 0.05  # share of the values that a burnt-in bar or a saturated rim has at most
_TAIL = 8.0  # median deviations from the median to the high percentile, where there are objects


def scale_intensity(
    image: Pixels, low: float = 1.0, high: float = 99.8, bounds: Bounds | None = None
) -> Tensor:
    """Scale an image so that its low percentile becomes 0 and its high one 1, clipped to [0, 1.5].

    The percentiles are taken over up to three channels together, over each by itself where there
    are more, from a regular subsample when the image is large. Microscopy images are often very
    dark, so fixed ranges do not do.

    A burnt-in scale bar or a saturated rim (one value far above all others, in at most 5 % of the
    image, above a rest that has bright parts of its own) does not count for the upper percentile.
    One of several values does: lower ``high`` below the share that all else has, such as 98 for a
    bar of 1.6 percent. Raise ``low`` likewise above the share of a black rim.

    Args:
        image: `(H, W, C)` or `(H, W)`, any real type.
        low: lower percentile, 0 to 100.
        high: upper percentile, above ``low``.
        bounds: of :func:`intensity_bounds`, in place of the percentiles of this image: a part of
            an image is scaled as the whole image is.

    Returns:
        Float32 `(max(C, 3), H, W)`; gray is repeated, two channels get a third of zeros, a
        constant image gives zeros.

    Raises:
        CongealError: it is no image, a value is NaN or infinite, the percentiles are out of
            order, or there are not as many bounds as channels scaled by themselves.

    Example:
        >>> ramp = np.linspace(0, 65535, 10_000).astype(np.uint16).reshape(100, 100)
        >>> scaled = scale_intensity(ramp)
        >>> scaled.shape, round(scaled.max().item(), 3)
        (torch.Size([3, 100, 100]), 1.002)
    """
    image = _checked(image, low, high)
    if image.dtype.kind == "f" and not bool(np.isfinite(image).all()):
        raise CongealError("expected an image of finite values, got NaN or infinity")
    groups = _channel_groups(image)
    if bounds is not None and len(bounds) != len(groups):
        raise CongealError(f"expected bounds of {len(groups)} channels, got {len(bounds)}")
    known = [_bounds(group, low, high) for group in groups] if bounds is None else bounds
    planes = torch.cat([_scale(group, *one) for group, one in zip(groups, known, strict=True)])
    if len(planes) == 2:
        return torch.cat([planes, torch.zeros_like(planes[:1])])
    return planes if len(planes) > 1 else planes.expand(3, -1, -1).contiguous()


def intensity_bounds(image: Pixels, low: float = 1.0, high: float = 99.8) -> Bounds:
    """Find the intensities of an image that :func:`scale_intensity` makes 0 and 1.

    Args:
        image: `(H, W, C)` or `(H, W)`, any real type.
        low: lower percentile, 0 to 100.
        high: upper percentile, above ``low``.

    Raises:
        CongealError: it is no image, or the percentiles are out of order.

    Example:
        >>> intensity_bounds(np.arange(101.0).reshape(1, 101), 10, 90)
        [(10.0, 90.0)]
    """
    image = _checked(image, low, high)
    return [_bounds(group, low, high) for group in _channel_groups(image)]


def _checked(image: Pixels, low: float, high: float) -> Pixels:
    """An image as `(H, W, C)`."""
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or 0 in image.shape:
        raise CongealError(f"expected an image (H, W) or (H, W, C), got {image.shape}")
    if not 0 <= low < high <= 100:
        raise CongealError(f"expected percentiles 0 <= low < high <= 100, got {low} and {high}")
    return image


def _channel_groups(image: Pixels) -> list[Pixels]:
    """The channels that share their percentiles: up to three do."""
    if image.shape[2] <= 3:
        return [image]
    return [image[..., c, None] for c in range(image.shape[2])]


def _scale(image: Pixels, bottom: float, top: float) -> Tensor:
    """Scale `(H, W, C)` so that two values become 0 and 1, to `(C, H, W)`."""
    if not top > bottom:
        return torch.zeros(image.shape[2], *image.shape[:2])
    scaled = (image.astype(np.float32) - np.float32(bottom)) * np.float32(1 / (top - bottom))
    np.clip(scaled, 0, _CEILING, out=scaled)
    return torch.from_numpy(np.ascontiguousarray(scaled.transpose(2, 0, 1)))


def _bounds(image: Pixels, low: float, high: float) -> tuple[float, float]:
    step = max(1, math.ceil(math.sqrt(image.size / _SAMPLED_VALUES)))
    values = image[::step, ::step]
    bottom, top = np.percentile(values, (low, high)).tolist()
    if top > bottom:
        return bottom, _without_burnt(values, bottom, top, high)
    # A few bright points on an even ground: the percentiles miss them, the extremes do not.
    return float(image.min()), float(image.max())


def _without_burnt(values: Pixels, bottom: float, top: float, high: float) -> float:
    """The high percentile without what is burnt in or saturated, where that has it for itself."""
    if top < values.max():
        return top
    rest = values[values < top].astype(np.float64)
    few = 0 < values.size - rest.size <= _MOST_BURNT * values.size
    if not few or rest.max() - bottom > 0.5 * (top - bottom):
        return top
    middle, below = np.percentile(rest, (50, high)).tolist()
    deviation = float(np.median(np.abs(rest - middle)))
    return below if below > max(bottom, middle + _TAIL * deviation) else top
