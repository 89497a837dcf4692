"""From pixels of any depth to what a network is fed."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from congeal.data.sample import Pixels
from congeal.errors import CongealError

__all__ = ["scale_intensity"]

_SAMPLED_VALUES = 1_000_000
_CEILING = 1.5


def scale_intensity(image: Pixels, low: float = 1.0, high: float = 99.8) -> Tensor:
    """Scale an image so that its low percentile becomes 0 and its high one 1, clipped to [0, 1.5].

    The percentiles are taken over all channels together, from a regular subsample when the
    image is large. Microscopy images are often very dark, so fixed ranges do not do.

    A burnt-in scale bar, a saturated rim or a dead row that covers more than ``100 - high`` percent
    of the values takes the upper bound for itself, and the objects become dark: lower ``high``
    below the share that the objects and darker pixels have, such as 98 for a bar of 1.6 percent.
    Raise ``low`` likewise above the share of a black rim.

    Args:
        image: `(H, W, C)` or `(H, W)`, C from 1 to 3, any real type.
        low: lower percentile, 0 to 100.
        high: upper percentile, above ``low``.

    Returns:
        Float32 `(3, H, W)`; gray is repeated, two channels get a third of zeros, a constant image
        gives zeros.

    Raises:
        CongealError: there are more than three channels, a value is NaN or infinite, or the
            percentiles are out of order.

    Example:
        >>> ramp = np.linspace(0, 65535, 10_000).astype(np.uint16).reshape(100, 100)
        >>> scaled = scale_intensity(ramp)
        >>> scaled.shape, round(scaled.max().item(), 3)
        (torch.Size([3, 100, 100]), 1.002)
    """
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or 0 in image.shape:
        raise CongealError(f"expected an image (H, W, 1 to 3), got {image.shape}")
    if image.shape[2] > 3:
        raise CongealError(
            f"expected 1 to 3 channels for the network, got {image.shape[2]}; choose with "
            "--channels (channels= in Python)"
        )
    if not 0 <= low < high <= 100:
        raise CongealError(f"expected percentiles 0 <= low < high <= 100, got {low} and {high}")
    if image.dtype.kind == "f" and not bool(np.isfinite(image).all()):
        raise CongealError("expected an image of finite values, got NaN or infinity")
    bottom, top = _bounds(image, low, high)
    if not top > bottom:
        return torch.zeros(3, *image.shape[:2])
    scaled = (image.astype(np.float32) - np.float32(bottom)) * np.float32(1 / (top - bottom))
    np.clip(scaled, 0, _CEILING, out=scaled)
    planes = torch.from_numpy(np.ascontiguousarray(scaled.transpose(2, 0, 1)))
    if len(planes) == 2:
        return torch.cat([planes, torch.zeros_like(planes[:1])])
    return planes.expand(3, -1, -1).contiguous()


def _bounds(image: Pixels, low: float, high: float) -> tuple[float, float]:
    step = max(1, math.ceil(math.sqrt(image.size / _SAMPLED_VALUES)))
    bottom, top = np.percentile(image[::step, ::step], (low, high)).tolist()
    if top > bottom:
        return bottom, top
    # A few bright points on an even ground: the percentiles miss them, the extremes do not.
    return float(image.min()), float(image.max())
