"""Drawn volumes of ellipsoids, with their true labels."""

import numpy as np

__all__ = ["ellipsoids"]


def ellipsoids(shape=(12, 48, 64), count=9, seed=0):
    """Labels `(Z, H, W)` of ellipsoids that lie apart, each in 3 planes or more."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    labels = np.zeros(shape, np.int64)
    found = 0
    for _ in range(400):
        radii = rng.uniform((1.6, 4, 4), (4, 8, 8))
        centre = rng.uniform(radii, np.array(shape) - radii)
        inside = (((grid - centre) / radii) ** 2).sum(-1) <= 1
        wide = (((grid - centre) / (radii + 1.5)) ** 2).sum(-1) <= 1
        if found < count and inside.any((1, 2)).sum() >= 3 and not labels[wide].any():
            found += 1
            labels[inside] = found
    assert found == count, found
    return labels
