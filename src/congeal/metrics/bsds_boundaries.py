"""Boundary detection against several annotators: ODS, OIS and AP of BSDS500.

A boundary map is thresholded, thinned, and matched to each annotator within 0.0075 of the image
diagonal. Recall is the fraction of annotated pixels that are matched, summed over
annotators; precision is the fraction of predicted pixels matched by any annotator. ODS is the best
F of counts pooled over images at one threshold, OIS the F of counts pooled at the best threshold of
each image, AP the area under the pooled precision-recall curve.

The benchmark's data has no void. Where segmentations have some, a predicted pixel that is not
matched is not counted if it lies in what is void for all annotators, or within the matching
distance of it: edges against void are not known.
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
    """Boundary scores of BSDS500, accumulated image by image.

    Memory: ``thresholds x 4`` counts per image.

    Args:
        thresholds: their number, evenly spaced in (0, 1), or the values, ascending. With fewer than
            99 the scores are an estimate, marked by ``quick``.
        max_distance: largest distance of a match, as a fraction of the image diagonal.
        seed: as in :func:`congeal.metrics.match_boundaries`.

    Raises:
        CongealError: the thresholds are not ascending.

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
        """Add one image; return its counts (see :func:`boundary_counts`).

        Raises:
            CongealError: as in :func:`boundary_counts`.

        Example:
            >>> line = np.eye(30, dtype=bool)
            >>> BsdsBoundaryMetric([0.5]).update(prediction=line * 1.0, truth=[line]).tolist()
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
        """Add the counts of an image that were computed elsewhere, such as in another process.

        Raises:
            CongealError: the shape is not ``(thresholds, 4)``.

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
        """Add the counts of another metric with the same settings.

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
        """Return curve and best points of all images; requires at least one image.

        Raises:
            CongealError: no image was added.
        """
        return boundary_scores(np.array(self.tables), self.thresholds)

    def compute(self) -> dict[str, float]:
        """Return ``ods``, ``ois`` (both F) and ``ap``, their points, and the settings.

        ``quick`` is 1 if fewer than 99 thresholds were used. Without images all scores are 0.

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
    """Agreement of annotators: each in turn is the prediction, the others are the ground truth.

    Images with a single annotator are ignored.

    Args:
        max_distance: as in :class:`BsdsBoundaryMetric`.
        seed: as in :class:`BsdsBoundaryMetric`.

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
        """Add one image; return the counts of each annotator (see :func:`human_counts`)."""
        table = human_counts(truth=truth, max_distance=self.max_distance, seed=self.seed)
        self.images += bool(len(table))
        self._counts += table.sum(axis=0)
        return table

    def merge(self, other: Self) -> Self:
        """Add the counts of another metric with the same settings.

        Raises:
            CongealError: the settings differ.
        """
        if (self.max_distance, self.seed) != (other.max_distance, other.seed):
            raise CongealError("expected a metric of the same distance and seed, got others")
        self.images += other.images
        self._counts += other._counts
        return self

    def compute(self) -> dict[str, float]:
        """Return pooled ``recall``, ``precision`` and ``f``; 0 without images."""
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
    """Count matched and total boundary pixels of one image at each threshold.

    Args:
        prediction: boundary strength ``(H, W)`` in [0, 1], thresholded by >=; or a list of
            segmentations (integer label maps ``(H, W)``), one per threshold. Both are thinned.
        truth: one map per annotator: boundaries (booleans ``(H, W)``, used as given), or a
            segmentation (integers with -1 void, 0 is an ordinary label), of which
            :func:`congeal.metrics.corner_boundaries` are used. What all leave void is ignored.
        thresholds: as in :class:`BsdsBoundaryMetric`; only the names of given segmentations.
        max_distance: largest distance of a match, as a fraction of the image diagonal.
        seed: of the random outliers in the matching.

    Returns:
        Integers ``(T, 4)``: matched and total annotated pixels, summed over annotators; predicted
        pixels matched by any annotator, and in total.

    Raises:
        CongealError: there is no annotator, sizes differ, the strength is NaN or outside [0, 1], or
            the number of segmentations is not that of thresholds.

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
    truths, known = _boundaries_of(truth), _known(truth, max_distance)
    table = np.zeros((len(values), 4), np.int64)
    previous: Mask | None = None
    for rank, binary in enumerate(_binary_maps(prediction, values)):
        if binary.shape != truths[0].shape:
            raise CongealError(
                f"expected prediction and annotations of the same size, "
                f"got {binary.shape} and {truths[0].shape}"
            )
        if previous is not None and np.array_equal(binary, previous):
            table[rank] = table[rank - 1]
            continue
        thinned = np.asarray(thin(binary), np.bool_)
        table[rank] = _count(thinned, truths, known, max_distance, seed)
        previous = binary
    return table


def human_counts(
    *, truth: Sequence[ArrayLike], max_distance: float = MAX_DISTANCE, seed: int = 0
) -> Counts:
    """Counts with each annotator as prediction and all others as ground truth.

    Returns:
        Integers ``(A, 4)`` as of :func:`boundary_counts`; no rows for a single annotator.

    Raises:
        CongealError: there is no annotator, or sizes differ.

    Example:
        >>> human_counts(truth=[np.eye(9, dtype=bool), np.zeros((9, 9), bool)]).tolist()
        [[0, 0, 0, 9], [0, 9, 0, 0]]
    """
    truths = _boundaries_of(truth)
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
    matched_true, matched_any = 0, np.zeros_like(pred)
    for truth in truths:
        matched, _ = match_boundaries(
            prediction=pred, truth=truth, max_distance=max_distance, seed=seed
        )
        matched_true += int(matched.sum())
        matched_any |= matched
    annotated = sum(int(truth.sum()) for truth in truths)
    counted = pred if known is None else pred & (matched_any | known)
    return [matched_true, annotated, int(matched_any.sum()), int(counted.sum())]


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


def _binary_maps(
    prediction: ArrayLike | Sequence[ArrayLike], thresholds: Sequence[float]
) -> list[Mask]:
    """The binary boundary map at each threshold, before thinning."""
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


def _boundaries_of(annotators: Sequence[ArrayLike]) -> list[Mask]:
    maps = [np.asarray(annotation) for annotation in annotators]
    if not maps:
        raise CongealError("expected at least one annotator, got none")
    boundaries = [m if m.dtype == np.bool_ else corner_boundaries(m) for m in maps]
    shapes = sorted({b.shape for b in boundaries})
    if len(shapes) > 1 or len(shapes[0]) != 2:
        raise CongealError(f"expected annotations (H, W) of the same size, got {shapes}")
    return boundaries
