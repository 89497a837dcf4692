"""Memory bank of prototypes with classes, for the retrieval protocol."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from congeal.metrics.retrieval import nearest_labels

__all__ = ["Memory"]


@dataclass(frozen=True, eq=False)
class Memory:
    """Memory bank: prototypes `(M, D)` and their classes `(M,)`.

    Example:
        >>> Memory(np.eye(2), np.array([7, 8])).nearest(np.array([[0.1, 1.0]]), k=1)
        array([[8]])
    """

    prototypes: NDArray[np.float64]
    classes: NDArray[np.int64]

    def nearest(self, prototypes: NDArray[np.float64], k: int) -> NDArray[np.int64]:
        """Classes of the ``k`` nearest prototypes of each query, `(N, k)`."""
        if not len(prototypes):
            return np.zeros((0, k), np.int64)
        return nearest_labels(prototypes, self.prototypes, self.classes, k)
