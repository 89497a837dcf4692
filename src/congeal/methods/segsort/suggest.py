"""Settings of SegSort that follow from the sizes and classes of the training images."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from congeal.data.measures import TrainingSurvey

__all__ = ["suggest_settings"]

LEAST_CELLS, MOST_CELLS = 5, 8  # along a side: the paper's, and as many as a CPU clusters quickly
CELL = 2.0  # side of a cell in widths of the median region; a disc is two widths across
MANY = 32  # classes beyond which segments of a rare one need a longer memory to meet each other
SUGGESTED_K = (1, 3, 5, 9, 15)  # k, up to the paper's


def suggest_settings(survey: TrainingSurvey) -> dict[str, Any]:
    """Choose the grid, the dimensions of the embedding, kappa, the memory and k.

    - ``loss.grid``: cells of about the size of the median region, 5 to 8 along a side.
    - ``loss.iterations``: 10 for up to 6 x 6 cells, as in the paper, 15 for more.
    - ``network.dimensions``: room for twice as many directions as classes, 16 to 64.
    - ``loss.concentration``, ``loss.memory``: the paper's, for 32 classes and fewer; more classes
      leave fewer segments of each, and more that are near.
    - ``decoding.k``: a tenth of the segments that an average class has in all training images, at
      most the paper's 15.

    Args:
        survey: of the training images.

    Returns:
        Settings of :class:`congeal.methods.segsort.SegSortConfig` by path.

    Example:
        >>> from congeal.data import open_dataset
        >>> from congeal.data.measures import survey_training
        >>> shapes = open_dataset("shapes", "train", count=8)
        >>> found = suggest_settings(survey_training(shapes, "semantic"))
        >>> found["network.dimensions"], found["decoding.k"]
        (16, 5)
    """
    classes = max(len(survey.class_names), 2)
    grid = _grid(survey)
    chosen = {
        "loss.grid": grid,
        "loss.iterations": 10 if grid <= 6 else 15,
        "network.dimensions": min(max(2 ** math.ceil(math.log2(2 * classes)), 16), 64),
        "loss.concentration": 10.0 if classes <= MANY else 15.0,
        "loss.memory": 2 if classes <= MANY else 4,
        "decoding.k": _largest_k(survey.count * grid**2 / classes / 10),
    }
    return chosen if survey.labelled else {**chosen, "loss.unsupervised": True}


def _grid(survey: TrainingSurvey) -> int:
    """Cells along a side, each about as large as a region."""
    widths = survey.pooled("widths")
    if not len(widths):
        return LEAST_CELLS
    side = float(np.median([max(one.size) for one in survey.images]))
    cells = round(side / (CELL * float(np.median(widths))))
    return int(np.clip(cells, LEAST_CELLS, MOST_CELLS))


def _largest_k(wanted: float) -> int:
    return max(k for k in SUGGESTED_K if k <= max(wanted, 1))
