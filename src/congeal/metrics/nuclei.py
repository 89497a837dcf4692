"""Scores of nuclei and cells: aggregated Jaccard index, ensemble Dice, SEG.

AJI and Dice2 are used for nuclear segmentation in histology (Kumar et al. 2017; Vu et al. 2019;
AJI+: Graham et al. 2019), SEG in the Cell Tracking Challenge (Maska et al. 2014). A ratio 0 / 0, as
for an image without objects in either map, is 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from congeal.labels import Contingency, contingency
from congeal.metrics.metric import means, ratio, require_image

__all__ = ["NucleiMetric", "NucleiScores", "nuclei_scores"]

Indices = NDArray[np.int64]
Scores = NDArray[np.float64]


@dataclass(frozen=True)
class NucleiScores:
    """The scores of one image, all from 0 to 1.

    Attributes:
        aji: aggregated Jaccard index; a predicted object may match several ground-truth objects.
        aji_plus: aggregated Jaccard index with one-to-one assignment.
        dice2: ensemble Dice, over all overlapping pairs of objects.
        dice1: Dice of the foreground.
        seg_sum: sum of the SEG scores of the ground-truth objects.
        n_true: number of ground-truth objects.
        n_pred: number of predicted objects.

    Example:
        >>> NucleiScores(1.0, 1.0, 1.0, 1.0, seg_sum=1.5, n_true=2, n_pred=2).seg
        0.75
    """

    aji: float
    aji_plus: float
    dice2: float
    dice1: float
    seg_sum: float
    n_true: int
    n_pred: int

    @property
    def seg(self) -> float:
        """SEG: mean IoU of ground-truth objects with the predicted object covering most of them."""
        return _ratio(self.seg_sum, self.n_true)


class NucleiMetric:
    """AJI, AJI+ and both Dice averaged over images, and SEG over all ground-truth objects.

    Images without objects in either map are excluded from means.

    Example:
        >>> metric = NucleiMetric()
        >>> _ = metric.update(prediction=[[1, 1, 0, 0]], truth=[[1, 1, 0, 2]])
        >>> metric.compute()["seg"]
        0.5
    """

    def __init__(self) -> None:
        self.images = 0
        self._scored = 0
        self._sums = np.zeros(4)  # aji, aji_plus, dice2, dice1
        self._seg_sum = 0.0
        self._objects = np.zeros(2, np.int64)  # true, predicted

    def update(self, *, prediction: ArrayLike, truth: ArrayLike) -> NucleiScores:
        """Add label maps of one image; return its scores.

        Raises:
            CongealError: an argument is not a label map, or the shapes differ.

        Example:
            >>> NucleiMetric().update(prediction=[[2, 2, 0]], truth=[[1, 1, 1]]).n_pred
            1
        """
        require_image(truth)
        found = nuclei_scores(prediction=prediction, truth=truth)
        self.images += 1
        self._scored += bool(found.n_true or found.n_pred)
        self._sums += [found.aji, found.aji_plus, found.dice2, found.dice1]
        self._seg_sum += found.seg_sum
        self._objects += [found.n_true, found.n_pred]
        return found

    def merge(self, other: NucleiMetric) -> NucleiMetric:
        """Add the counts of another metric.

        Example:
            >>> one, two = NucleiMetric(), NucleiMetric()
            >>> _ = two.update(prediction=[[1]], truth=[[1]])
            >>> one.merge(two).images
            1
        """
        self.images += other.images
        self._scored += other._scored
        self._sums += other._sums
        self._seg_sum += other._seg_sum
        self._objects += other._objects
        return self

    def compute(self) -> dict[str, float]:
        """Return ``aji``, ``aji_plus``, ``dice2``, ``dice1``, ``seg`` and the counts.

        Scores without any object are NaN.

        Example:
            >>> NucleiMetric().compute()["aji"]
            nan
        """
        found = means(self._sums, self._scored)
        scores = dict(zip(("aji", "aji_plus", "dice2", "dice1"), found, strict=True))
        n_true, n_pred = self._objects.tolist()
        scores["seg"] = ratio(self._seg_sum, n_true)
        return {**scores, "images": self.images, "objects": n_true, "predicted": n_pred}


def nuclei_scores(*, prediction: ArrayLike, truth: ArrayLike) -> NucleiScores:
    """Compute AJI, AJI+, Dice2, foreground Dice and SEG of one image.

    - AJI: each ground-truth object is paired with the predicted object of largest IoU. AJI is the
      sum of intersections over the sum of unions and of the areas of unpaired objects.
    - AJI+: the same with the one-to-one assignment of largest total IoU.
    - Dice2: ``2 sum |A n B| / sum (|A| + |B|)`` over all overlapping pairs (A, B).
    - SEG: the IoU of a ground-truth object with the predicted object that covers more than half of
      it, else 0; averaged over ground-truth objects.

    Pixels that are void (-1) in the ground truth are removed from both maps; void in the prediction
    is background.

    Args:
        prediction: predicted label map.
        truth: ground-truth label map of the same shape, 0 background, -1 void.

    Raises:
        CongealError: an argument is not a label map, or the shapes differ.

    Source:
        Kumar et al., A dataset and a technique for generalized nuclear segmentation, 2017,
        algorithm 1; Vu et al., Methods for segmentation and classification of digital microscopy
        tissue images, 2019; Graham et al., HoVer-Net, 2019; Maska et al., A benchmark for
        comparison of cell tracking algorithms, 2014.

    Example:
        >>> found = nuclei_scores(prediction=[[5, 5, 0, 0]], truth=[[1, 1, 0, 2]])
        >>> round(found.aji, 3), found.dice2, found.dice1, found.seg
        (0.667, 1.0, 0.8, 0.5)
    """
    table = contingency(truth, prediction).objects()
    both = table.true_areas[table.rows] + table.pred_areas[table.cols]
    shared = int(table.counts.sum())
    union = both - table.counts
    iou = table.counts / union
    covering = 2 * table.counts > table.true_areas[table.rows]
    return NucleiScores(
        aji=_aggregated(table, union, _first_choices(table, iou)),
        aji_plus=_aggregated(table, union, _one_to_one(table, iou)),
        dice2=_ratio(2 * shared, int(both.sum())),
        dice1=_ratio(2 * shared, int(table.true_areas.sum() + table.pred_areas.sum())),
        seg_sum=float(iou[covering].sum()),
        n_true=len(table.true_ids),
        n_pred=len(table.pred_ids),
    )


def _aggregated(table: Contingency, union: Indices, chosen: Indices) -> float:
    """Intersections of the chosen pairs over their unions and the areas of unpaired objects."""
    true_left, pred_left = table.true_areas.copy(), table.pred_areas.copy()
    true_left[table.rows[chosen]] = 0
    pred_left[table.cols[chosen]] = 0
    denominator = union[chosen].sum() + true_left.sum() + pred_left.sum()
    return _ratio(int(table.counts[chosen].sum()), int(denominator))


def _first_choices(table: Contingency, iou: Scores) -> Indices:
    """The pair of largest IoU of each overlapping ground-truth object, the first in a tie."""
    order = np.lexsort((table.cols, -iou, table.rows))
    _, first = np.unique(table.rows[order], return_index=True)
    chosen: Indices = order[first]
    return chosen


def _one_to_one(table: Contingency, iou: Scores) -> Indices:
    """Choose the one-to-one pairs of largest total IoU.

    Each ground-truth object has a dummy partner with the cost of no match, so that a full matching
    exists. Costs are positive, since 0 means no edge.
    """
    n_true, n_pred = len(table.true_ids), len(table.pred_ids)
    if not len(iou):
        return np.zeros(0, np.int64)
    dummies = np.arange(n_true)
    costs = np.concatenate([2 - iou, np.full(n_true, 2.0)])
    rows = np.concatenate([table.rows, dummies])
    cols = np.concatenate([table.cols, n_pred + dummies])
    where = (rows.astype(np.int32), cols.astype(np.int32))  # required by scipy's solver
    graph = sparse.csr_array((costs, where), shape=(n_true, n_pred + n_true))
    by_row, by_col = min_weight_full_bipartite_matching(graph)
    partner = np.full(n_true, -1, dtype=np.int64)
    partner[by_row] = by_col
    return np.flatnonzero(table.cols == partner[table.rows])


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator else 0.0
