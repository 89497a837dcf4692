"""Edge non-maximum suppression: a boundary map thinned to its ridges."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from congeal.errors import CongealError

__all__ = ["suppress_non_maxima"]

DIRECTION_SIGMA = 2.0  # px, smoothing before the direction of a ridge is estimated
TIE = 1e-9  # smaller differences are rounding errors

Values = NDArray[np.float64]


def suppress_non_maxima(boundary: ArrayLike, *, sigma: float = DIRECTION_SIGMA) -> Values:
    """Keep a boundary map at its maxima across the boundary, and set it to 0 elsewhere.

    The direction across the boundary is the eigenvector of the lowest eigenvalue of the Hessian of
    the smoothed map. A pixel is kept if its value is above that one pixel ahead and not below that
    one pixel behind in this direction, by bilinear interpolation (Canny, 1986). Linear in pixels.

    Args:
        boundary: ``(H, W)``, finite.
        sigma: standard deviation in pixels of the smoothing before the derivatives.

    Returns:
        ``(H, W)``: the boundary strength on ridges, 0 elsewhere.

    Raises:
        CongealError: the map is not two-dimensional, or not finite.

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
    # Odd reflection continues slopes beyond the border, so that the border is no artificial ridge.
    wider = np.pad(strength, margin, mode="reflect", reflect_type="odd")
    inside = np.s_[margin:-margin, margin:-margin]
    across = _across(wider, sigma)[:, *inside]
    place = np.indices(strength.shape) + margin
    ahead, behind = (
        map_coordinates(wider, place + sign * across, order=1, mode="nearest") for sign in (1, -1)
    )
    return np.where((strength > ahead + TIE) & (strength >= behind - TIE), strength, 0.0)


def _across(strength: Values, sigma: float) -> Values:
    """``(2, H, W)`` unit vectors (row, column) across the ridge."""
    yy, xx, yx = (
        gaussian_filter(strength, sigma, order=order, mode="nearest")
        for order in ((2, 0), (0, 2), (1, 1))
    )
    along = 0.5 * np.arctan2(2 * yx, xx - yy)  # angle of the highest eigenvalue to the x axis
    return np.stack([np.cos(along), -np.sin(along)])  # perpendicular to it
