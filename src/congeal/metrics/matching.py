"""One-to-one matching of predicted and ground-truth objects, and the scores based on it.

The protocol is that of ``stardist.matching`` 0.9.2 (Schmidt et al. 2018; Weigert et al. 2020),
common in microscopy: the assignment maximises first the number of pairs that reach the threshold,
then the sum of scores; average precision is TP / (TP + FP + FN). A ratio 0 / 0, as for an image
without objects in either map, is 0 in :class:`Matching`, as in stardist, and NaN in
:meth:`Matching.as_dict`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import overload

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from congeal.errors import CongealError, unknown
from congeal.labels import Contingency, contingency
from congeal.metrics.metric import ratio, require_image

__all__ = ["CRITERIA", "THRESHOLDS", "Matching", "MatchingMetric", "matching"]

CRITERIA = ("iou", "iot", "iop")
THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)

Indices = NDArray[np.int64]
Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Matching:
    """Matching at one threshold, of one image or pooled over many.

    Attributes:
        threshold: minimum score of a match, in (0, 1].
        tp: number of matched pairs.
        fp: number of predicted objects without a match.
        fn: number of ground-truth objects without a match.
        score_sum: sum of the scores of the matches.
        pairs: ground-truth and predicted label of each match, ``(tp, 2)``; empty if pooled.
        scores: score of each match, ``(tp,)``; empty if pooled.

    Example:
        >>> Matching(0.5, tp=3, fp=1, fn=0, score_sum=2.4).ap
        0.75
    """

    threshold: float
    tp: int
    fp: int
    fn: int
    score_sum: float
    pairs: Indices = field(default_factory=lambda: np.zeros((0, 2), np.int64), compare=False)
    scores: Scores = field(default_factory=lambda: np.zeros(0), compare=False)

    @property
    def n_true(self) -> int:
        """Number of ground-truth objects."""
        return self.tp + self.fn

    @property
    def n_pred(self) -> int:
        """Number of predicted objects."""
        return self.tp + self.fp

    @property
    def precision(self) -> float:
        """Fraction of predicted objects that are matched."""
        return _ratio(self.tp, self.n_pred)

    @property
    def recall(self) -> float:
        """Fraction of ground-truth objects that are matched."""
        return _ratio(self.tp, self.n_true)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return _ratio(2 * self.tp, self.n_true + self.n_pred)

    @property
    def ap(self) -> float:
        """Average precision as defined in microscopy: TP / (TP + FP + FN)."""
        return _ratio(self.tp, self.tp + self.fp + self.fn)

    @property
    def pq(self) -> float:
        """Panoptic quality: mean score of the matches times F1."""
        return _ratio(self.score_sum, (self.n_true + self.n_pred) / 2)

    @property
    def mean_matched_score(self) -> float:
        """Mean score over the matches."""
        return _ratio(self.score_sum, self.tp)

    @property
    def mean_true_score(self) -> float:
        """Mean score over the ground-truth objects, 0 for unmatched ones."""
        return _ratio(self.score_sum, self.n_true)

    def as_dict(self) -> dict[str, float]:
        """Return the scores by the names in ``evaluation.json``, such as ``pq@0.5``.

        Ratios 0 / 0 are NaN here, unlike those of the properties, which are 0.

        Example:
            >>> Matching(0.5, tp=1, fp=0, fn=0, score_sum=0.9).as_dict()["pq@0.5"]
            0.9
        """
        both = self.n_true + self.n_pred
        scores = {
            "matching_ap": ratio(self.tp, self.tp + self.fp + self.fn),
            "precision": ratio(self.tp, self.n_pred),
            "recall": ratio(self.tp, self.n_true),
            "f1": ratio(2 * self.tp, both),
            "pq": ratio(self.score_sum, both / 2),
            "mean_matched_score": ratio(self.score_sum, self.tp),
            "mean_true_score": ratio(self.score_sum, self.n_true),
        }
        return {f"{name}@{self.threshold:g}": value for name, value in scores.items()}


class MatchingMetric:
    """Matching scores of all objects of a dataset, accumulated image by image.

    Only counts are kept: memory is independent of the number of images.

    Args:
        thresholds: minimum scores of a match, in (0, 1].
        criterion: as in :func:`matching`.

    Raises:
        CongealError: a threshold is outside (0, 1], or the criterion is unknown.

    Example:
        >>> metric = MatchingMetric(thresholds=(0.5,))
        >>> _ = metric.update(prediction=[[3, 3, 0, 0]], truth=[[1, 1, 0, 2]])
        >>> metric.compute()["matching_ap@0.5"]
        0.5
    """

    def __init__(self, thresholds: Sequence[float] = THRESHOLDS, criterion: str = "iou") -> None:
        self.thresholds = _check_thresholds(thresholds)
        self.criterion = _check_criterion(criterion)
        self.images = 0
        self._pooled = [Matching(threshold, 0, 0, 0, 0.0) for threshold in self.thresholds]

    def __repr__(self) -> str:
        return f"MatchingMetric({self.images} images, thresholds={self.thresholds})"

    def update(self, *, prediction: ArrayLike, truth: ArrayLike) -> list[Matching]:
        """Add label maps of one image; return its matching at each threshold.

        Raises:
            CongealError: an argument is not a label map `(H, W)`, or the shapes differ.

        Example:
            >>> [
            ...     m.tp
            ...     for m in MatchingMetric((0.5, 0.9)).update(
            ...         prediction=[[2, 2, 0]], truth=[[1, 1, 1]]
            ...     )
            ... ]
            [1, 0]
        """
        require_image(truth)
        found = matching(
            prediction=prediction, truth=truth, threshold=self.thresholds, criterion=self.criterion
        )
        self._add(found, images=1)
        return found

    def merge(self, other: MatchingMetric) -> MatchingMetric:
        """Add the counts of another metric with the same settings.

        Raises:
            CongealError: the thresholds or the criteria differ.

        Example:
            >>> one, two = MatchingMetric((0.5,)), MatchingMetric((0.5,))
            >>> _ = two.update(prediction=[[1]], truth=[[1]])
            >>> one.merge(two).images
            1
        """
        ours, theirs = ((m.thresholds, m.criterion) for m in (self, other))
        if ours != theirs:
            raise CongealError(f"expected a metric of the same settings {ours}, got {theirs}")
        self._add(other.pooled(), images=other.images)
        return self

    def pooled(self) -> list[Matching]:
        """Matching over all images so far, at each threshold, without pairs.

        Example:
            >>> MatchingMetric((0.5,)).pooled()[0].tp
            0
        """
        return list(self._pooled)

    def compute(self) -> dict[str, float]:
        """Return all scores by name, and the numbers of images and objects.

        Example:
            >>> metric = MatchingMetric((0.5,))
            >>> _ = metric.update(prediction=[[1, 0, 2]], truth=[[1, 0, 2]])
            >>> scores = metric.compute()
            >>> scores["recall@0.5"], scores["images"], scores["objects"]
            (1.0, 1, 2)
        """
        scores: dict[str, float] = {}
        for pooled in self._pooled:
            scores |= pooled.as_dict()
        first = self._pooled[0]
        return {**scores, "images": self.images, "objects": first.n_true, "predicted": first.n_pred}

    def _add(self, found: Sequence[Matching], images: int) -> None:
        self.images += images
        self._pooled = [
            Matching(a.threshold, a.tp + b.tp, a.fp + b.fp, a.fn + b.fn, a.score_sum + b.score_sum)
            for a, b in zip(self._pooled, found, strict=True)
        ]


@overload
def matching(
    *, prediction: ArrayLike, truth: ArrayLike, threshold: float = ..., criterion: str = ...
) -> Matching: ...
@overload
def matching(
    *, prediction: ArrayLike, truth: ArrayLike, threshold: Sequence[float], criterion: str = ...
) -> list[Matching]: ...
def matching(
    *,
    prediction: ArrayLike,
    truth: ArrayLike,
    threshold: float | Sequence[float] = 0.5,
    criterion: str = "iou",
) -> Matching | list[Matching]:
    """Match predicted and ground-truth objects one to one, at one or several thresholds.

    Pixels that are void (-1) in the ground truth are removed from both maps; a predicted object
    entirely in void is not counted.

    Args:
        prediction: predicted label map.
        truth: ground-truth label map of the same shape, 0 background, -1 void.
        threshold: minimum score of a match, in (0, 1]; or several.
        criterion: score of a pair: intersection over union (``"iou"``), over the ground-truth
            object (``"iot"``), or over the predicted object (``"iop"``).

    Returns:
        One matching, or a list for several thresholds.

    Raises:
        CongealError: an argument is not a label map, the shapes differ, a threshold is outside
            (0, 1], or the criterion is unknown.

    Example:
        >>> found = matching(prediction=[[5, 5, 0, 0]], truth=[[1, 1, 0, 2]])
        >>> found.tp, found.fn, found.pairs.tolist()
        (1, 1, [[1, 5]])
    """
    single = np.ndim(threshold) == 0
    thresholds = _check_thresholds(np.atleast_1d(threshold).tolist())
    table = contingency(truth, prediction).objects()
    scores = _pair_scores(table, _check_criterion(criterion))
    found = [_match(table, scores, value, criterion) for value in thresholds]
    return found[0] if single else found


def _match(table: Contingency, scores: Scores, threshold: float, criterion: str) -> Matching:
    if criterion == "iou" and threshold >= 0.5:
        chosen = _unambiguous_pairs(table, scores, threshold)
    else:
        chosen = _assigned_pairs(table, scores, threshold)
    pairs = np.stack([table.true_ids[table.rows[chosen]], table.pred_ids[table.cols[chosen]]], 1)
    tp, matched = len(chosen), scores[chosen]
    fp, fn = len(table.pred_ids) - tp, len(table.true_ids) - tp
    return Matching(threshold, tp, fp, fn, float(matched.sum()), pairs, matched)


def _unambiguous_pairs(table: Contingency, scores: Scores, threshold: float) -> Indices:
    """Choose the pairs with IoU >= threshold >= 1/2, at most one per object.

    Two pairs of an object are possible only at IoU = 1/2, if two equal halves fill it. Neither half
    overlaps anything else, so choosing the first is optimal too.
    """
    good = np.flatnonzero(scores >= threshold)
    _, first = np.unique(table.rows[good], return_index=True)
    good = good[first]
    _, first = np.unique(table.cols[good], return_index=True)
    return np.sort(good[first])


def _assigned_pairs(table: Contingency, scores: Scores, threshold: float) -> Indices:
    """Choose the optimal assignment among overlapping pairs.

    Each ground-truth object has a dummy partner with the cost of no match, so that a full matching
    of the rows exists. A constant keeps all costs positive, since 0 means no edge. Pairs below the
    threshold are included, as in stardist: they break ties.
    """
    n_true, n_pred = len(table.true_ids), len(table.pred_ids)
    if not len(scores):
        return np.zeros(0, np.int64)
    gain = (scores >= threshold) + scores / (2 * min(n_true, n_pred))
    dummies = np.arange(n_true)
    costs = np.concatenate([2 - gain, np.full(n_true, 2.0)])
    rows = np.concatenate([table.rows, dummies])
    cols = np.concatenate([table.cols, n_pred + dummies])
    where = (rows.astype(np.int32), cols.astype(np.int32))  # required by scipy's solver
    graph = sparse.csr_array((costs, where), shape=(n_true, n_pred + n_true))
    by_row, by_col = min_weight_full_bipartite_matching(graph)
    partner = np.full(n_true, -1, dtype=np.int64)
    partner[by_row] = by_col
    return np.flatnonzero((table.cols == partner[table.rows]) & (scores >= threshold))


def _pair_scores(table: Contingency, criterion: str) -> Scores:
    true_areas, pred_areas = table.true_areas[table.rows], table.pred_areas[table.cols]
    denominators = {
        "iou": true_areas + pred_areas - table.counts,
        "iot": true_areas,
        "iop": pred_areas,
    }[criterion]
    scores: Scores = table.counts / denominators
    return scores


def _check_thresholds(thresholds: Sequence[float]) -> tuple[float, ...]:
    values = tuple(float(value) for value in thresholds)
    if not values or not all(0 < value <= 1 for value in values):
        raise CongealError(f"expected thresholds in (0, 1], got {list(values)}")
    return values


def _check_criterion(criterion: str) -> str:
    if criterion not in CRITERIA:
        raise unknown("matching criterion", criterion, CRITERIA)
    return criterion


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator else 0.0
