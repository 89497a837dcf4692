"""Leaf segmentation scores of the CVPPP challenge: symmetric best Dice, DiC, foreground Dice.

The protocol is that of the Leaf Segmentation Challenge (Scharr et al. 2016). Best Dice of A in B is
the mean, over the objects of A, of the largest Dice with an object of B. Symmetric best Dice is the
minimum of both directions per image, averaged over images. If neither map has objects all scores
are 0, as in the official script.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from congeal.errors import CongealError, unknown
from congeal.labels import Contingency, contingency
from congeal.metrics.metric import means, require_image

__all__ = ["NUMBERINGS", "LeafMetric", "LeafScores", "leaf_scores"]

NUMBERINGS = ("present", "official")


@dataclass(frozen=True)
class LeafScores:
    """The leaf scores of one image.

    Attributes:
        bd_pred: best Dice of the predicted objects in the ground-truth objects, 0 to 1.
        bd_true: best Dice of the ground-truth objects in the predicted objects, 0 to 1.
        dic: difference in count, predicted minus ground-truth objects.
        fbd: Dice of the foreground, 0 to 1.

    Example:
        >>> LeafScores(bd_pred=0.9, bd_true=0.8, dic=-1, fbd=0.95).sbd
        0.8
    """

    bd_pred: float
    bd_true: float
    dic: int
    fbd: float

    @property
    def sbd(self) -> float:
        """Symmetric best Dice: the minimum of both directions."""
        return min(self.bd_pred, self.bd_true)


class LeafMetric:
    """Leaf scores averaged over images.

    Args:
        numbering: as in :func:`leaf_scores`.

    Raises:
        CongealError: the numbering is unknown.

    Example:
        >>> metric = LeafMetric()
        >>> _ = metric.update(prediction=[[1, 1, 0, 0]], truth=[[1, 1, 0, 2]])
        >>> metric.compute()["sbd"], metric.compute()["abs_dic"]
        (0.5, 1.0)
    """

    def __init__(self, numbering: str = "present") -> None:
        self.numbering = _check_numbering(numbering)
        self.images = 0
        self._sums = np.zeros(6)  # the order of _NAMES

    def update(self, *, prediction: ArrayLike, truth: ArrayLike) -> LeafScores:
        """Add label maps of one image; return its scores.

        Raises:
            CongealError: an argument is not a label map, or the shapes differ.

        Example:
            >>> LeafMetric().update(prediction=[[1, 1]], truth=[[1, 2]]).dic
            -1
        """
        require_image(truth)
        found = leaf_scores(prediction=prediction, truth=truth, numbering=self.numbering)
        self.images += 1
        self._sums += [
            found.sbd,
            found.fbd,
            found.dic,
            abs(found.dic),
            found.bd_pred,
            found.bd_true,
        ]
        return found

    def merge(self, other: LeafMetric) -> LeafMetric:
        """Add the counts of another metric with the same settings.

        Raises:
            CongealError: the numberings differ.

        Example:
            >>> one, two = LeafMetric(), LeafMetric()
            >>> _ = two.update(prediction=[[1]], truth=[[1]])
            >>> one.merge(two).images
            1
        """
        if self.numbering != other.numbering:
            raise CongealError(
                f"expected a metric of the same settings {self.numbering!r}, "
                f"got {other.numbering!r}"
            )
        self.images += other.images
        self._sums += other._sums
        return self

    def compute(self) -> dict[str, float]:
        """Return means over images: ``sbd``, ``fbd``, ``dic`` (signed), ``abs_dic``.

        ``bd_pred`` and ``bd_true`` are the two directions of the best Dice. Without images all are
        NaN.

        Example:
            >>> LeafMetric().compute()["sbd"]
            nan
        """
        found = means(self._sums, self.images)
        return {**dict(zip(_NAMES, found, strict=True)), "images": self.images}


def leaf_scores(
    *, prediction: ArrayLike, truth: ArrayLike, numbering: str = "present"
) -> LeafScores:
    """Compute best Dice in both directions, difference in count and foreground Dice of one image.

    Pixels that are void (-1) in the ground truth are removed from both maps; void in the prediction
    is background. A map without objects has a best Dice of 0 in both directions.

    Args:
        prediction: predicted label map.
        truth: ground-truth label map of the same shape, 0 background, -1 void.
        numbering: ``"present"``: objects are the labels above 0 that occur. ``"official"``: as in
            the script of the challenge, the lowest label of a map is background and all integers
            above it up to the largest label are objects; those that do not occur have a Dice of 0.
            Both agree for maps with background and without gaps.

    Raises:
        CongealError: an argument is not a label map, shapes differ, or the numbering is unknown.

    Source:
        Scharr et al., Leaf segmentation in plant phenotyping: a collation study, 2016, the
        measures of the challenge.

    Example:
        >>> leaf_scores(prediction=[[5, 5, 0, 0]], truth=[[1, 1, 0, 2]])
        LeafScores(bd_pred=1.0, bd_true=0.5, dic=-1, fbd=0.8)
    """
    table = contingency(truth, prediction)
    if _check_numbering(numbering) == "official":
        table = replace(
            table,
            true_ids=table.true_ids - table.true_ids[:1],
            pred_ids=table.pred_ids - table.pred_ids[:1],
        )
    table = table.objects()
    n_true, n_pred = len(table.true_ids), len(table.pred_ids)
    if numbering == "official":
        n_true, n_pred = (int(ids.max(initial=0)) for ids in (table.true_ids, table.pred_ids))
    bd_pred, bd_true = _best_dice(table, n_true, n_pred)
    total = int(table.true_areas.sum() + table.pred_areas.sum())
    fbd = 2 * int(table.counts.sum()) / total if total else 0.0
    return LeafScores(bd_pred, bd_true, n_pred - n_true, fbd)


def _best_dice(table: Contingency, n_true: int, n_pred: int) -> tuple[float, float]:
    """Best Dice of the prediction in the ground truth, and vice versa."""
    dice = 2 * table.counts / (table.true_areas[table.rows] + table.pred_areas[table.cols])
    best_true, best_pred = np.zeros(len(table.true_ids)), np.zeros(len(table.pred_ids))
    np.maximum.at(best_true, table.rows, dice)
    np.maximum.at(best_pred, table.cols, dice)
    return float(best_pred.sum()) / max(n_pred, 1), float(best_true.sum()) / max(n_true, 1)


def _check_numbering(numbering: str) -> str:
    if numbering not in NUMBERINGS:
        raise unknown("numbering of leaves", numbering, NUMBERINGS)
    return numbering


_NAMES = ("sbd", "fbd", "dic", "abs_dic", "bd_pred", "bd_true")
