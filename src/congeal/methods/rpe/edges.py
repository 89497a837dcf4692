"""Edge non-maximum suppression: a boundary map thinned to its ridges."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from congeal.errors import CongealError

__all__ = ["suppress_non_maxima"]

DIRECTION_SIGMA = 2.0  # px over which the direction of a ridge is averaged
TIE = 1e-9  # differences below it are those of rounding

Values = NDArray[np.float64]


def suppress_non_maxima(boundary: ArrayLike, *, sigma: float = DIRECTION_SIGMA) -> Values:
    """Keep a boundary map where it is highest across the boundary, and clear it elsewhere.

    The direction across is that in which the smoothed map curves down most: the eigenvector of the
    lowest eigenvalue of its second derivatives. A pixel stays if it is higher than the map a pixel
    further that way, and not lower than a pixel back, both by bilinear interpolation (Canny, 1986).
    The cost is linear in the pixels.

    Args:
        boundary: ``(H, W)``, finite.
        sigma: of the smoothing before the derivatives, in pixels.

    Returns:
        ``(H, W)``: the strength on the ridges, 0 elsewhere.

    Raises:
        CongealError: the map has not two dimensions, or is not finite.

    Example:
        >>> soft = np.exp(-((np.arange(7) - 3.0) ** 2) / 2).round(2) * np.ones((5, 1))
        >>> suppress_non_maxima(soft)[2].tolist()
        [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]
    """
    strength = np.asarray(boundary, np.float64)
    if strength.ndim != 2:
        raise CongealError(f"expected a boundary map (H, W), got shape {strength.shape}")
    if not np.isfinite(strength).all():
        raise CongealError("expected a finite boundary map, got NaN or infinity")
    if not strength.size:
        return strength.copy()
    margin = math.ceil(4 * sigma) + 2
    # What lies beyond the border goes on as it came, so that no border pixel is highest for that.
    wider = np.pad(strength, margin, mode="reflect", reflect_type="odd")
    inside = np.s_[margin:-margin, margin:-margin]
    across = _across(wider, sigma)[:, *inside]
    place = np.indices(strength.shape) + margin
    ahead, behind = (
        map_coordinates(wider, place + sign * across, order=1, mode="nearest") for sign in (1, -1)
    )
    return np.where((strength > ahead + TIE) & (strength >= behind - TIE), strength, 0.0)


def _across(strength: Values, sigma: float) -> Values:
    """``(2, H, W)`` unit steps in rows and columns, in the direction of the strongest fall."""
    yy, xx, yx = (
        gaussian_filter(strength, sigma, order=order, mode="nearest")
        for order in ((2, 0), (0, 2), (1, 1))
    )
    along = 0.5 * np.arctan2(2 * yx, xx - yy)  # of the highest eigenvalue, from the x axis
    return np.stack([np.cos(along), -np.sin(along)])  # a quarter turn further
