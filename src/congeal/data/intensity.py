"""Intensity normalisation: pixels of any bit depth to float32 network input in about [0, 1]."""

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
"""Intensities that are mapped to 0 and 1: one pair for up to three channels, else one each."""

_SAMPLED_VALUES = 1_000_000  # values from which percentiles are computed
_CEILING = 1.5  # upper clipping bound of the output
_MAX_OUTLIERS = 0.05  # largest fraction of a burnt-in bar or a saturated rim
_MIN_TAIL = 8.0  # distance of the upper percentile from the median, in median deviations


def scale_intensity(
    image: Pixels, low: float = 1.0, high: float = 99.8, bounds: Bounds | None = None
) -> Tensor:
    """Map the lower percentile of an image to 0 and the upper one to 1, clipped to [0, 1.5].

    Percentiles are computed over all channels together for up to three channels, else per channel,
    on a regular subsample of large images. Fixed ranges would not work, since microscopy images are
    often very dark.

    A burnt-in scale bar or saturated rim is excluded from the upper percentile if it has a single
    value far above all others, covers at most 5 % of the image, and the rest has bright parts too.
    Otherwise lower ``high`` below the fraction of other pixels, such as 98 for a bar of 1.6 %, and
    raise ``low`` above the fraction of a black rim.

    Args:
        image: `(H, W, C)` or `(H, W)`, any real type.
        low: lower percentile, 0 to 100.
        high: upper percentile, above ``low``.
        bounds: as of :func:`intensity_bounds`, instead of percentiles of this image, so that a
            tile is scaled like its whole image.

    Returns:
        Float32 `(max(C, 3), H, W)`; gray is repeated, two channels are padded with a third of
        zeros, a constant image becomes zeros.

    Raises:
        CongealError: the array is not an image, a value is NaN or infinite, the percentiles are
            invalid, or the number of bounds does not match the channels.

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
    pairs = [_bounds(group, low, high) for group in groups] if bounds is None else bounds
    planes = torch.cat([_scale(group, *pair) for group, pair in zip(groups, pairs, strict=True)])
    if len(planes) == 2:
        return torch.cat([planes, torch.zeros_like(planes[:1])])
    return planes if len(planes) > 1 else planes.expand(3, -1, -1).contiguous()


def intensity_bounds(image: Pixels, low: float = 1.0, high: float = 99.8) -> Bounds:
    """Compute the intensities of an image that :func:`scale_intensity` maps to 0 and 1.

    Args:
        image: `(H, W, C)` or `(H, W)`, any real type.
        low: lower percentile, 0 to 100.
        high: upper percentile, above ``low``.

    Raises:
        CongealError: the array is not an image, or the percentiles are invalid.

    Example:
        >>> intensity_bounds(np.arange(101.0).reshape(1, 101), 10, 90)
        [(10.0, 90.0)]
    """
    image = _checked(image, low, high)
    return [_bounds(group, low, high) for group in _channel_groups(image)]


def _checked(image: Pixels, low: float, high: float) -> Pixels:
    """The image as `(H, W, C)`, after checks."""
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or 0 in image.shape:
        raise CongealError(f"expected an image (H, W) or (H, W, C), got {image.shape}")
    if not 0 <= low < high <= 100:
        raise CongealError(f"expected percentiles 0 <= low < high <= 100, got {low} and {high}")
    return image


def _channel_groups(image: Pixels) -> list[Pixels]:
    """Groups of channels with common percentiles: all of up to three, else each by itself."""
    if image.shape[2] <= 3:
        return [image]
    return [image[..., c, None] for c in range(image.shape[2])]


def _scale(image: Pixels, bottom: float, top: float) -> Tensor:
    """Map ``bottom`` to 0 and ``top`` to 1, from `(H, W, C)` to `(C, H, W)`."""
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
        return bottom, _exclude_outliers(values, bottom, top, high)
    # A few bright points on a constant background: use the extremes instead of percentiles.
    return float(image.min()), float(image.max())


def _exclude_outliers(values: Pixels, bottom: float, top: float, high: float) -> float:
    """The upper percentile, without burnt-in or saturated pixels if it lies among these."""
    if top < values.max():
        return top
    rest = values[values < top].astype(np.float64)
    few = 0 < values.size - rest.size <= _MAX_OUTLIERS * values.size
    if not few or rest.max() - bottom > 0.5 * (top - bottom):
        return top
    median, percentile = np.percentile(rest, (50, high)).tolist()
    deviation = float(np.median(np.abs(rest - median)))
    return percentile if percentile > max(bottom, median + _MIN_TAIL * deviation) else top
