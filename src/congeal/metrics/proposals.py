"""Average recall of the first N object proposals of an image (class-agnostic), AR@N.

Two protocols are implemented. In that of MCG (Pont-Tuset et al. 2017,
https://arxiv.org/abs/1503.00848) each object uses its best proposal, which several objects may
share. That of Hosang et al. (2016, https://arxiv.org/abs/1502.05082, section 4.1) matches objects
and proposals one to one, greedily by IoU, and integrates recall over IoU from .5 to 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from congeal.errors import CongealError
from congeal.metrics.objects import Objects, check_pair, mask_iou
from congeal.metrics.records import Recorded

__all__ = ["ProposalMetric", "ProposalRecall", "proposal_recall"]

Scores = NDArray[np.float64]

COUNTS = (1, 10, 100, 1000)
RECALL_THRESHOLDS = (0.5, 0.7, 0.85)


@dataclass(frozen=True, eq=False)
class ProposalRecall:
    """IoU of each ground-truth object with the first N proposals.

    Attributes:
        counts: the numbers of proposals N, ascending.
        best: IoU with the best proposal, ``(N, G)``; 0 without proposals.
        paired: IoU with the one-to-one matched proposal, ``(N, G)``; 0 without match.
    """

    counts: tuple[int, ...]
    best: Scores
    paired: Scores

    def recall(self, threshold: float, *, one_to_one: bool = False) -> Scores:
        """Fraction of objects with IoU above a threshold, for each N.

        Example:
            >>> one = Objects.from_labels([[1, 1]])
            >>> proposal_recall(prediction=one, truth=one, counts=[1]).recall(0.5)
            array([1.])
        """
        return _share((self.paired if one_to_one else self.best) > threshold)

    def average_recall(self, *, one_to_one: bool = False) -> Scores:
        """Mean recall over IoU thresholds .5, .55 to .95, for each N (MCG).

        Example:
            >>> true, pred = Objects.from_labels([[1, 1, 1]]), Objects.from_labels([[0, 1, 1]])
            >>> proposal_recall(prediction=pred, truth=true, counts=[1]).average_recall()
            array([0.4])
        """
        reached = self.paired if one_to_one else self.best
        steps = np.arange(50, 100, 5) / 100
        return np.asarray(np.mean([_share(reached >= step) for step in steps], axis=0))

    def hosang(self) -> Scores:
        """Twice the integral of one-to-one recall over IoU .5 to 1, for each N.

        As in the official program, the integral is a trapezoidal sum with steps of .001.

        Example:
            >>> one = Objects.from_labels([[1, 1]])
            >>> proposal_recall(prediction=one, truth=one, counts=[1]).hosang().round(6)
            array([1.])
        """
        grid = np.arange(500, 1001) * 0.001
        grid[-1] = 1.0
        recall = np.array([_share(self.paired >= step) for step in grid])
        return np.asarray(0.002 * (recall[1:] + recall[:-1]).sum(0) / 2)

    def as_dict(self) -> dict[str, float]:
        """Return the scores by name and N; NaN without objects.

        ``ar@N`` (MCG), ``recall_0.5@N`` (also .7 and .85; IoU above), ``mean_iou@N`` (mean of the
        best IoU over objects), ``ar_one_to_one@N`` and ``ar_hosang@N``.

        Example:
            >>> one = Objects.from_labels([[1, 1]])
            >>> proposal_recall(prediction=one, truth=one).as_dict()["ar@10"]
            1.0
        """
        columns = {
            "ar": self.average_recall(),
            **{f"recall_{value:g}": self.recall(value) for value in RECALL_THRESHOLDS},
            "mean_iou": _share(self.best),
            "ar_one_to_one": self.average_recall(one_to_one=True),
            "ar_hosang": self.hosang(),
        }
        return {
            f"{name}@{count}": float(value)
            for name, values in columns.items()
            for count, value in zip(self.counts, values, strict=True)
        }


@dataclass(frozen=True, eq=False)
class _ImageProposals:
    best: Scores
    paired: Scores
    predicted: int


class ProposalMetric(Recorded[_ImageProposals]):
    """AR@N, accumulated image by image. Memory: two numbers per object and N.

    Args:
        counts: numbers of proposals N, ascending from 1.

    Raises:
        CongealError: the counts are not ascending from 1.

    Example:
        >>> metric = ProposalMetric(counts=[1, 2])
        >>> one = Objects.from_labels([[1, 1, 2, 2]])
        >>> metric.update(prediction=one, truth=one)
        >>> metric.compute()["ar@1"], metric.compute()["ar@2"]
        (0.5, 1.0)
    """

    def __init__(self, counts: Sequence[int] = COUNTS) -> None:
        super().__init__()
        self.counts = _check_counts(counts)

    def update(
        self, *, prediction: Objects, truth: Objects, image: int | str | None = None
    ) -> None:
        """Add one image, see :func:`proposal_recall`.

        Args:
            prediction: proposals; ranked by score, in a tie by position.
            truth: ground-truth objects.
            image: id of the image.

        Raises:
            CongealError: sizes differ, or the image was added before with a different result.

        Example:
            >>> ProposalMetric().update(
            ...     prediction=Objects.from_labels([[0]]), truth=Objects.from_labels([[1]])
            ... )
        """
        found = proposal_recall(prediction=prediction, truth=truth, counts=self.counts)
        self._records.add(_ImageProposals(found.best, found.paired, len(prediction)), image)

    def compute(self) -> dict[str, float]:
        """Return the scores by name, see :meth:`ProposalRecall.as_dict`; NaN without objects.

        Example:
            >>> ProposalMetric().compute()["ar@10"]
            nan
        """
        result = self.result()
        predicted = sum(one.predicted for one in self._records.ordered())
        counted = {"objects": result.best.shape[1], "predicted": predicted}
        return {**result.as_dict(), "images": len(self._records), **counted}

    def result(self) -> ProposalRecall:
        """IoU of all objects so far.

        Example:
            >>> ProposalMetric(counts=[1]).result().best.shape
            (1, 0)
        """
        images = self._records.ordered()
        none = np.zeros((len(self.counts), 0))
        return ProposalRecall(
            self.counts,
            np.concatenate([none, *(one.best for one in images)], axis=1),
            np.concatenate([none, *(one.paired for one in images)], axis=1),
        )


def proposal_recall(
    *, prediction: Objects, truth: Objects, counts: Sequence[int] = COUNTS
) -> ProposalRecall:
    """Compute the IoU of the objects of one image with its first N proposals.

    Void pixels of the ground truth are removed from objects and proposals first; objects without
    other pixels are ignored. Without proposals each object has an IoU of 0.

    Args:
        prediction: proposals; ranked by score, in a tie by position.
        truth: ground-truth objects; classes are ignored.
        counts: numbers of proposals N, ascending from 1.

    Raises:
        CongealError: the sizes differ, or the counts are not ascending from 1.

    Example:
        >>> true = Objects.from_labels([[1, 1, 0, 2]])
        >>> proposal_recall(
        ...     prediction=Objects.from_labels([[1, 1, 1, 1]]), truth=true, counts=[1]
        ... ).best
        array([[0.5 , 0.25]])
    """
    check_pair(truth, prediction)
    numbers = _check_counts(counts)
    objects = truth.without(truth.void)
    objects = objects.take(objects.pixels() > 0)
    ranked = prediction.take(np.argsort(-prediction.scores, kind="stable")[: numbers[-1]])
    iou = mask_iou(objects, ranked.without(truth.void))
    return ProposalRecall(
        numbers,
        np.stack([iou[:, :count].max(1, initial=0.0) for count in numbers]),
        np.stack([_pair_greedily(iou[:, :count]) for count in numbers]),
    )


def _pair_greedily(iou: Scores) -> Scores:
    """Greedy one-to-one matching by IoU; returns the IoU of each row, 0 without match."""
    paired = np.zeros(len(iou))
    rows, cols = np.nonzero(iou)
    free_rows, free_cols = np.ones(iou.shape[0], np.bool_), np.ones(iou.shape[1], np.bool_)
    for k in np.lexsort((rows, cols, -iou[rows, cols])):
        row, col = rows[k], cols[k]
        if free_rows[row] and free_cols[col]:
            paired[row] = iou[row, col]
            free_rows[row] = free_cols[col] = False
    return paired


def _share(values: NDArray[np.bool_] | Scores) -> Scores:
    if not values.shape[1]:
        return np.full(values.shape[0], np.nan)
    return np.asarray(values.mean(1), np.float64)


def _check_counts(counts: Sequence[int]) -> tuple[int, ...]:
    values = tuple(int(count) for count in counts)
    if not values or values[0] < 1 or tuple(sorted(set(values))) != values:
        raise CongealError(f"expected numbers of proposals ascending from 1, got {list(values)}")
    return values
