"""Confidence intervals of means over seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

__all__ = ["half_width"]


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
