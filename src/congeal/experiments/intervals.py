"""Confidence intervals of means over seeds, and of scores over test images."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

__all__ = ["half_width", "half_width_over_images"]

REDRAWS = 1000  # times that the test images are drawn again


def half_width(values: Sequence[float]) -> float:
    """Half of the 95 % interval of a mean by Student's t; 0 for a single value.

    Example:
        >>> half_width([1.0]), round(half_width([1.0, 2.0, 3.0]), 3)
        (0.0, 2.484)
    """
    from scipy.stats import t

    count = len(values)
    if count < 2:
        return 0.0
    return float(t.ppf(0.975, count - 1) * np.std(values, ddof=1) / math.sqrt(count))


def half_width_over_images(counts: Sequence[Sequence[int]], *, seed: int = 0) -> float:
    """Half of the 95 % interval of a matching AP, over the test images drawn again (bootstrap).

    Args:
        counts: true positives, false positives and false negatives of each image.
        seed: of the draws.

    Example:
        >>> half_width_over_images([(3, 1, 0)] * 5)
        0.0
        >>> half_width_over_images([(4, 0, 0), (0, 4, 4)]) > 0.3
        True
    """
    each = np.asarray(counts, np.float64)  # (images, 3)
    drawn = np.random.default_rng(seed).integers(0, len(each), (REDRAWS, len(each)))
    sums = each[drawn].sum(1)  # (redraws, 3)
    total = sums.sum(1)
    low, high = np.quantile(sums[:, 0] / np.maximum(total, 1), (0.025, 0.975))
    return float(high - low) / 2
