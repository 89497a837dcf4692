"""Settings of SegSort derived from sizes and classes in the training images."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from congeal.data.measures import TrainingSurvey

__all__ = ["suggest_settings"]

SUGGESTED_CELLS = 5, 8  # range along a side; 5: as in the paper, 8: still fast on a CPU
CELL = 2.0  # side of a cell / width of the median region; the diameter of a disc is two widths
MANY = 32  # number of classes above which rare classes need a longer memory
SUGGESTED_K = (1, 3, 5, 9, 15)  # up to k of the paper


def suggest_settings(survey: TrainingSurvey) -> dict[str, Any]:
    """Choose the grid, the dimensions of the embedding, kappa, the memory and k.

    - ``loss.grid``: cells of about the size of the median region, 5 to 8 along a side.
    - ``loss.iterations``: 10 for up to 6 x 6 cells, as in the paper, 15 for more.
    - ``network.dimensions``: the power of 2 from 2 * classes on, 16 to 64.
    - ``loss.concentration``, ``loss.memory``: as in the paper for up to 32 classes; larger for
      more, since a batch then has fewer segments per class, and classes are more similar.
    - ``decoding.k``: a tenth of the mean number of training segments per class, at most 15 as in
      the paper.

    Args:
        survey: survey of the training images.

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
    """Cells along a side, each about the size of the median region."""
    widths = survey.pooled("widths")
    if not len(widths):
        return SUGGESTED_CELLS[0]
    side = float(np.median([max(one.size) for one in survey.images]))
    cells = round(side / (CELL * float(np.median(widths))))
    return int(np.clip(cells, *SUGGESTED_CELLS))


def _largest_k(wanted: float) -> int:
    return max(k for k in SUGGESTED_K if k <= max(wanted, 1))
