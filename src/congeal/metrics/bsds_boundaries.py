"""Boundaries against several annotators: ODS, OIS and AP of the Berkeley benchmark (BSDS500).

A boundary map is cut at many thresholds and thinned; what is left is matched to each annotator
within 0.0075 of the diagonal. Recall is the share of annotated pixels that are matched, over all
annotators; precision the share of predicted pixels that some annotator has. ODS is the best F
over the pooled counts of all images at one threshold, OIS the F of the pooled counts where each
image has its own best threshold, AP the area under the curve of pooled precision and recall.

The benchmark's data has no void. Where segmentations have some, a predicted pixel that nobody has
does not count if it lies in what is void for all annotators, or within reach of it: edges against
void are not known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import distance_transform_edt
from skimage.morphology import thin

from congeal.errors import CongealError
from congeal.labels import VOID
from congeal.metrics.boundary_matching import MAX_DISTANCE, corner_boundaries, match_boundaries
from congeal.metrics.bsds_curves import (
    FULL,
    BoundaryScores,
    boundary_scores,
    boundary_thresholds,
    f_measure,
    rates,
)

__all__ = [
    "BsdsBoundaryMetric",
    "HumanAgreementMetric",
    "boundary_counts",
    "human_counts",
]

Counts = NDArray[np.int64]
Mask = NDArray[np.bool_]


class BsdsBoundaryMetric:
    """Collect the counts of image after image and score boundaries as the benchmark does.

    Memory is one table of ``thresholds x 4`` counts for each image.

    Args:
        thresholds: how many, evenly inside 0 to 1, or the values themselves, ascending. With
            fewer than 99 the numbers are a quick estimate: ``quick`` is then True and
            ``compute`` gives ``quick`` as 1.
        max_distance: the largest distance of a match, as a share of the image diagonal.
        seed: as in :func:`congeal.metrics.match_boundaries`.

    Raises:
        CongealError: the thresholds are not ascending numbers.

    Example:
        >>> metric = BsdsBoundaryMetric(thresholds=3)
        >>> drawn = np.zeros((40, 40))
        >>> drawn[10] = 0.6
        >>> _ = metric.update(prediction=drawn, truth=[drawn > 0])
        >>> metric.compute()["ods"], metric.quick
        (1.0, True)
    """

    def __init__(
        self,
        thresholds: int | Sequence[float] = FULL,
        max_distance: float = MAX_DISTANCE,
        seed: int = 0,
    ) -> None:
        self.thresholds = boundary_thresholds(thresholds)
        self.max_distance = max_distance
        self.seed = seed
        self.tables: list[Counts] = []

    @property
    def quick(self) -> bool:
        """Whether there are fewer thresholds than the benchmark's 99."""
        return len(self.thresholds) < FULL

    def update(
        self, *, prediction: ArrayLike | Sequence[ArrayLike], truth: Sequence[ArrayLike]
    ) -> Counts:
        """Add one image; give its table of counts (see :func:`boundary_counts`).

        Raises:
            CongealError: as in :func:`boundary_counts`.

        Example:
            >>> seen = np.eye(30, dtype=bool)
            >>> BsdsBoundaryMetric([0.5]).update(prediction=seen * 1.0, truth=[seen]).tolist()
            [[30, 30, 30, 30]]
        """
        table = boundary_counts(
            prediction=prediction,
            truth=truth,
            thresholds=self.thresholds,
            max_distance=self.max_distance,
            seed=self.seed,
        )
        self.add(table)
        return table

    def add(self, table: ArrayLike) -> None:
        """Add the table of an image that was counted elsewhere, such as in another process.

        Raises:
            CongealError: it does not have four counts for each threshold.

        Example:
            >>> metric = BsdsBoundaryMetric([0.5])
            >>> metric.add([[1, 1, 1, 2]])
            >>> metric.compute()["ods_precision"]
            0.5
        """
        counts = np.asarray(table, np.int64)
        if counts.shape != (len(self.thresholds), 4):
            raise CongealError(
                f"expected counts of shape {(len(self.thresholds), 4)}, got {counts.shape}"
            )
        self.tables.append(counts)

    def merge(self, other: Self) -> Self:
        """Add all that another metric of the same settings has seen.

        Raises:
            CongealError: the settings differ.

        Example:
            >>> one, two = BsdsBoundaryMetric([0.5]), BsdsBoundaryMetric([0.5])
            >>> two.add([[1, 1, 1, 1]])
            >>> len(one.merge(two).tables)
            1
        """
        ours, theirs = ((m.thresholds, m.max_distance, m.seed) for m in (self, other))
        if ours != theirs:
            raise CongealError(
                "expected a metric of the same thresholds, distance and seed, got others"
            )
        self.tables += other.tables
        return self

    def scores(self) -> BoundaryScores:
        """Give curve, best points and those of each image; needs one image at least.

        Raises:
            CongealError: no image was added.
        """
        return boundary_scores(np.array(self.tables), self.thresholds)

    def compute(self) -> dict[str, float]:
        """Give ``ods``, ``ois`` (both F) and ``ap``, the points behind them, and the settings.

        ``quick`` is 1 where fewer than 99 thresholds were used. A metric that saw nothing
        scores 0.

        Example:
            >>> BsdsBoundaryMetric().compute()["thresholds"]
            99
        """
        tables = self.tables or [np.zeros((len(self.thresholds), 4), np.int64)]
        found = boundary_scores(np.array(tables), self.thresholds)
        return {
            "ods": found.ods.f,
            "ois": found.ois.f,
            "ap": found.ap,
            "ods_threshold": found.ods.threshold,
            "ods_recall": found.ods.recall,
            "ods_precision": found.ods.precision,
            "ois_recall": found.ois.recall,
            "ois_precision": found.ois.precision,
            "images": len(self.tables),
            "thresholds": len(self.thresholds),
            "quick": int(self.quick),
        }


class HumanAgreementMetric:
    """How well annotators agree: each in turn is the prediction, all others are the truth.

    An image with a single annotator says nothing and is left out.

    Args:
        max_distance: as in :class:`BsdsBoundaryMetric`.
        seed: likewise.

    Example:
        >>> metric = HumanAgreementMetric()
        >>> line = np.eye(30, dtype=bool)
        >>> _ = metric.update(truth=[line, line])
        >>> metric.compute()["f"]
        1.0
    """

    def __init__(self, max_distance: float = MAX_DISTANCE, seed: int = 0) -> None:
        self.max_distance = max_distance
        self.seed = seed
        self.images = 0
        self._counts = np.zeros(4, np.int64)

    def update(self, *, truth: Sequence[ArrayLike]) -> Counts:
        """Add one image; give the counts of each annotator (see :func:`human_counts`)."""
        table = human_counts(truth=truth, max_distance=self.max_distance, seed=self.seed)
        self.images += bool(len(table))
        self._counts += table.sum(axis=0)
        return table

    def merge(self, other: Self) -> Self:
        """Add all that another metric of the same settings has seen.

        Raises:
            CongealError: the settings differ.
        """
        if (self.max_distance, self.seed) != (other.max_distance, other.seed):
            raise CongealError("expected a metric of the same distance and seed, got others")
        self.images += other.images
        self._counts += other._counts
        return self

    def compute(self) -> dict[str, float]:
        """Give pooled ``recall``, ``precision`` and ``f``; 0 where nothing was seen."""
        recall, precision = rates(self._counts)
        scores = {"recall": recall, "precision": precision, "f": f_measure(recall, precision)}
        return {name: float(value) for name, value in scores.items()} | {"images": self.images}


def boundary_counts(
    *,
    prediction: ArrayLike | Sequence[ArrayLike],
    truth: Sequence[ArrayLike],
    thresholds: int | Sequence[float] = FULL,
    max_distance: float = MAX_DISTANCE,
    seed: int = 0,
) -> Counts:
    """Count matched and all boundary pixels of one image at each threshold.

    Args:
        prediction: strength of the boundary ``(H, W)``, 0 to 1, kept where at least the
            threshold; or a list of segmentations (integer label maps ``(H, W)``), one for each
            threshold. Either is thinned.
        truth: one map for each annotator: booleans ``(H, W)`` are its boundaries, used as they are,
            and integers its segmentation, 0 among the labels and -1 void, of which
            :func:`congeal.metrics.corner_boundaries` are taken. What all leave void takes no part.
        thresholds: as in :class:`BsdsBoundaryMetric`; for segmentations their names only.
        max_distance: the largest distance of a match, as a share of the image diagonal.
        seed: of the random outliers in the matching.

    Returns:
        Integers ``(T, 4)``: annotated pixels matched and in all, summed over annotators;
        predicted pixels matched by any annotator and in all.

    Raises:
        CongealError: there is no annotator, sizes differ, the strength is NaN or outside 0 to
            1, or there is not one segmentation for each threshold.

    Source:
        Arbelaez, Maire, Fowlkes, Malik, TPAMI 2011, section 3, and its benchmark.

    Example:
        >>> drawn = np.zeros((40, 40))
        >>> drawn[10, :20] = 0.6
        >>> boundary_counts(
        ...     prediction=drawn, truth=[drawn > 0, drawn > 1], thresholds=[0.5, 0.7]
        ... ).tolist()
        [[20, 20, 20, 20], [0, 20, 0, 0]]
    """
    values = boundary_thresholds(thresholds)
    truths, known = _annotated(truth), _known(truth, max_distance)
    table = np.zeros((len(values), 4), np.int64)
    before: Mask | None = None
    for rank, cut in enumerate(_cuts(prediction, values)):
        if cut.shape != truths[0].shape:
            raise CongealError(
                f"expected prediction and annotations of one size, "
                f"got {cut.shape} and {truths[0].shape}"
            )
        if before is not None and np.array_equal(cut, before):
            table[rank] = table[rank - 1]
            continue
        table[rank] = _count(np.asarray(thin(cut), np.bool_), truths, known, max_distance, seed)
        before = cut
    return table


def human_counts(
    *, truth: Sequence[ArrayLike], max_distance: float = MAX_DISTANCE, seed: int = 0
) -> Counts:
    """Count each annotator as a prediction for all others, as in :func:`boundary_counts`.

    Returns:
        Integers ``(A, 4)``, no row where there is a single annotator.

    Raises:
        CongealError: there is no annotator, or sizes differ.

    Example:
        >>> human_counts(truth=[np.eye(9, dtype=bool), np.zeros((9, 9), bool)]).tolist()
        [[0, 0, 0, 9], [0, 9, 0, 0]]
    """
    truths = _annotated(truth)
    if len(truths) == 1:
        return np.zeros((0, 4), np.int64)
    rows = []
    for rank, one in enumerate(truths):
        rest = [*range(rank), *range(rank + 1, len(truths))]
        known = _known([truth[other] for other in rest], max_distance)
        rows.append(_count(one, [truths[other] for other in rest], known, max_distance, seed))
    return np.array(rows, np.int64)


def _count(
    pred: Mask, truths: Sequence[Mask], known: Mask | None, max_distance: float, seed: int
) -> list[int]:
    found, anyone = 0, np.zeros_like(pred)
    for truth in truths:
        matched, _ = match_boundaries(
            prediction=pred, truth=truth, max_distance=max_distance, seed=seed
        )
        found += int(matched.sum())
        anyone |= matched
    annotated = sum(int(truth.sum()) for truth in truths)
    counted = pred if known is None else pred & (anyone | known)
    return [found, annotated, int(anyone.sum()), int(counted.sum())]


def _known(annotators: Sequence[ArrayLike], max_distance: float) -> Mask | None:
    """Pixels ``(H, W)`` further from what all leave void than a match reaches; None: all are.

    Example:
        >>> half = np.zeros((30, 40), int)
        >>> half[:, :20] = -1
        >>> int(_known([half], 0.04)[0].sum()), _known([half, half >= 0], 0.04) is None
        (18, True)
    """
    maps = [np.asarray(one) for one in annotators]
    if any(one.dtype == np.bool_ for one in maps):
        return None
    void = np.logical_and.reduce([one == VOID for one in maps])
    if not void.any():
        return None
    known: Mask = distance_transform_edt(~void) > max_distance * math.hypot(*void.shape)
    return known


def _cuts(prediction: ArrayLike | Sequence[ArrayLike], thresholds: Sequence[float]) -> list[Mask]:
    """Give the boundary map at each threshold, not thinned yet."""
    if isinstance(prediction, (list, tuple)) and np.ndim(prediction[0] if prediction else 0) == 2:
        if len(prediction) != len(thresholds):
            raise CongealError(
                f"expected {len(thresholds)} segmentations, one for each threshold, "
                f"got {len(prediction)}"
            )
        return [corner_boundaries(segmentation) for segmentation in prediction]
    strength = np.asarray(prediction, np.float64)
    if strength.ndim != 2:
        raise CongealError(f"expected boundary strengths (H, W), got shape {strength.shape}")
    if not ((strength >= 0) & (strength <= 1)).all():  # NaN fails both
        raise CongealError(
            f"expected boundary strengths in 0 to 1, got {strength.min()} to {strength.max()}"
        )
    return [strength >= threshold for threshold in thresholds]


def _annotated(annotators: Sequence[ArrayLike]) -> list[Mask]:
    maps = [np.asarray(one) for one in annotators]
    if not maps:
        raise CongealError("expected at least one annotator, got none")
    drawn = [one if one.dtype == np.bool_ else corner_boundaries(one) for one in maps]
    if len({one.shape for one in drawn}) > 1 or drawn[0].ndim != 2:
        shapes = sorted({one.shape for one in drawn})
        raise CongealError(f"expected annotations (H, W) of one size, got {shapes}")
    return drawn
