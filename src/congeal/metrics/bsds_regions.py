"""Segmentation against several annotators: covering, PRI and VOI of BSDS500.

For an annotation S and a segmentation S', covering is sum_R |R| max_R' IoU(R, R') / |S| over the
regions R of S. The probabilistic Rand index (PRI) is the fraction of pixel pairs that are in the
same region in both or in neither. Variation of information (VOI) is H(S | S') + H(S' | S) in bits.
PRI and VOI are averaged over annotators. Labels start at 1: every pixel belongs to a region.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import label

from congeal.errors import CongealError
from congeal.labels import BACKGROUND, Contingency, contingency

__all__ = ["BsdsRegionMetric", "RegionScores", "region_scores", "segments_from_contours"]

Labels = NDArray[np.int64]
Values = NDArray[np.float64]


@dataclass(frozen=True)
class RegionScores:
    """Scores of a segmentation of one image against all its annotators.

    Attributes:
        pri: probabilistic Rand index, 0 to 1.
        voi: variation of information in bits, 0 for equal partitions.
        covered: largest IoU times area, for each region of each annotator.
        pixels: total number of pixels of all annotations.

    Example:
        >>> region_scores(prediction=[[1, 1, 2, 2]], truth=[[[7, 7, 7, 7]]]).covering
        0.5
    """

    pri: float
    voi: float
    covered: Values
    pixels: int

    @property
    def covering(self) -> float:
        """Covering of the annotations by the segmentation, 0 to 1; 0 if all is void."""
        return float(self.covered.sum()) / self.pixels if self.pixels else 0.0


class BsdsRegionMetric:
    """Region scores of segmentations at several thresholds, accumulated image by image.

    ODS uses one threshold for all images, OIS the best threshold of each image, and ``best`` (of
    covering) the best threshold of each annotated region. Covering is pooled over the pixels of all
    images; PRI and VOI are means over images.

    Args:
        thresholds: threshold of each segmentation of an image, in the order of ``update``.

    Raises:
        CongealError: there is no threshold.

    Example:
        >>> metric = BsdsRegionMetric([0.2, 0.8])
        >>> _ = metric.update(prediction=[[[1, 1, 2, 2]], [[1, 1, 1, 1]]], truth=[[[1, 1, 2, 2]]])
        >>> metric.compute()["covering_ods"], metric.compute()["covering_threshold"]
        (1.0, 0.2)
    """

    def __init__(self, thresholds: Sequence[float]) -> None:
        self.thresholds = tuple(float(value) for value in thresholds)
        if not self.thresholds:
            raise CongealError("expected at least one threshold, got none")
        self.images = 0
        self._pixels = 0
        self._best = np.zeros(4)  # best covering of regions, of images; sums of best PRI and VOI
        self._sums = np.zeros((3, len(self.thresholds)))  # covered pixels, PRI, VOI

    def update(
        self, *, prediction: Sequence[ArrayLike], truth: Sequence[ArrayLike]
    ) -> list[RegionScores]:
        """Add one image; return the scores of each of its segmentations.

        Raises:
            CongealError: the number of segmentations is not that of thresholds, or as of
                :func:`region_scores`.

        Example:
            >>> BsdsRegionMetric([1]).update(prediction=[[[1, 2]]], truth=[[[1, 1]]])[0].pri
            0.0
        """
        if len(prediction) != len(self.thresholds):
            raise CongealError(
                f"expected {len(self.thresholds)} segmentations, one for each threshold, "
                f"got {len(prediction)}"
            )
        scores: list[RegionScores] = []
        for k, segmentation in enumerate(prediction):
            repeated = k and segmentation is prediction[k - 1]  # the same at all thresholds
            scores.append(
                scores[-1] if repeated else region_scores(prediction=segmentation, truth=truth)
            )
        self.images += 1
        self._pixels += scores[0].pixels
        covered = np.stack([s.covered for s in scores])  # (T, regions)
        rows = np.array([covered.sum(axis=1), [s.pri for s in scores], [s.voi for s in scores]])
        self._sums += rows
        self._best += [covered.max(axis=0).sum(), rows[0].max(), rows[1].max(), rows[2].min()]
        return scores

    def merge(self, other: Self) -> Self:
        """Add the counts of another metric with the same thresholds.

        Raises:
            CongealError: the thresholds differ.

        Example:
            >>> BsdsRegionMetric([1]).merge(BsdsRegionMetric([1])).images
            0
        """
        if self.thresholds != other.thresholds:
            raise CongealError("expected a metric of the same thresholds, got others")
        self.images += other.images
        self._pixels += other._pixels
        self._best += other._best
        self._sums += other._sums
        return self

    def compute(self) -> dict[str, float]:
        """Return covering, PRI and VOI at ODS and OIS, the ODS thresholds and ``images``.

        Without images all scores are NaN.

        Example:
            >>> sorted(BsdsRegionMetric([1]).compute())[:3]
            ['covering_best', 'covering_ods', 'covering_ois']
        """
        denominators = self._denominators()
        covering, pri, voi = self._sums / np.array(denominators)[:, None]
        best = self._best / np.array([denominators[0], *denominators])
        return {
            "covering_ods": float(covering.max()),
            "covering_ois": float(best[1]),
            "covering_best": float(best[0]),
            "covering_threshold": self.thresholds[covering.argmax()],
            "pri_ods": float(pri.max()),
            "pri_ois": float(best[2]),
            "pri_threshold": self.thresholds[pri.argmax()],
            "voi_ods": float(voi.min()),
            "voi_ois": float(best[3]),
            "voi_threshold": self.thresholds[voi.argmin()],
            "images": self.images,
        }

    def _denominators(self) -> list[float]:
        """Denominators of covering, PRI and VOI; NaN instead of 0."""
        return [count or math.nan for count in (self._pixels, self.images, self.images)]

    def curves(self) -> dict[str, list[float]]:
        """Return ``threshold``, ``covering``, ``pri`` and ``voi`` at each threshold.

        Example:
            >>> BsdsRegionMetric([1, 2]).curves()["threshold"]
            [1.0, 2.0]
        """
        denominators = self._denominators()
        rows = (self._sums / np.array(denominators)[:, None]).tolist()
        return {"threshold": list(self.thresholds)} | dict(
            zip(("covering", "pri", "voi"), rows, strict=True)
        )


def region_scores(*, prediction: ArrayLike, truth: Sequence[ArrayLike]) -> RegionScores:
    """Score one segmentation against all annotations of an image.

    Pixels that are void (-1) in an annotation are excluded from that comparison on both sides.
    Where an annotation is void everywhere, the partitions count as equal (PRI 1, VOI 0) and it
    has no region to cover.

    Args:
        prediction: segmentation ``(H, W)``, labels from 1 in any numbering.
        truth: one label map ``(H, W)`` per annotator, labels from 1, -1 void.

    Raises:
        CongealError: there is no annotator, sizes differ, or a label is 0.

    Source:
        Arbelaez, Maire, Fowlkes, Malik, TPAMI 2011, sections 2.3 and 3.

    Example:
        >>> found = region_scores(prediction=[[1, 1, 2, 2]], truth=[[[1, 1, 2, 2]], [[1, 1, 1, 2]]])
        >>> found.pri, round(found.covering, 3)
        (0.75, 0.812)
    """
    if not len(truth):
        raise CongealError("expected at least one annotator, got none")
    tables = [_check_regions(contingency(true, prediction)) for true in truth]
    return RegionScores(
        pri=float(np.mean([_rand_index(table) for table in tables])),
        voi=float(np.mean([_variation(table) for table in tables])),
        covered=np.concatenate([_covered(table) for table in tables]),
        pixels=sum(int(table.counts.sum()) for table in tables),
    )


def segments_from_contours(contours: ArrayLike, thresholds: Sequence[float]) -> Iterator[Labels]:
    """Threshold an ultrametric contour map of double size to segmentations.

    Pixels are at odd positions of the doubled map, contours between them. Segments are the
    8-connected components of values <= threshold.

    Args:
        contours: boundary strengths ``(2 H + 1, 2 W + 1)``.
        thresholds: one per segmentation.

    Yields:
        Label maps ``(H, W)``, labels from 1.

    Raises:
        CongealError: the sizes of the map are not odd, or it contains NaN.

    Example:
        >>> [s.tolist() for s in segments_from_contours([[0] * 5, [0, 0, 0.5, 0, 0], [0] * 5], [1])]
        [[[1, 1]]]
    """
    array = np.asarray(contours, np.float64)
    if array.ndim != 2 or not all(side % 2 for side in array.shape):
        raise CongealError(f"expected contours (2 H + 1, 2 W + 1), got shape {array.shape}")
    if np.isnan(array).any():
        raise CongealError("expected contours without NaN, got some")
    for threshold in thresholds:
        joined, _ = label(array <= threshold, structure=np.ones((3, 3)))
        yield joined[1::2, 1::2].astype(np.int64)


def _check_regions(table: Contingency) -> Contingency:
    for ids, name in ((table.true_ids, "annotation"), (table.pred_ids, "segmentation")):
        if BACKGROUND in ids:
            raise CongealError(
                f"expected every pixel of the {name} in a region, labels from 1, "
                "got label 0 or void; add 1 to make the background a region"
            )
    return table


def _rand_index(table: Contingency) -> float:
    """Fraction of pixel pairs that are in the same region in both partitions or in neither."""
    pixels = int(table.counts.sum())
    pairs = pixels * (pixels - 1) // 2
    areas = (table.true_areas, table.pred_areas)
    together = sum(int((area**2).sum()) for area in areas)
    both = int((table.counts**2).sum())
    return 1 - (together / 2 - both) / pairs if pairs else 1.0


def _variation(table: Contingency) -> float:
    """Sum of both conditional entropies in bits; 0 without pixels."""
    joint = table.counts / max(int(table.counts.sum()), 1)
    conditionals = table.counts**2 / (table.true_areas[table.rows] * table.pred_areas[table.cols])
    return float(-(joint * np.log2(conditionals)).sum()) + 0.0


def _covered(table: Contingency) -> Values:
    """Largest IoU times area, for each annotated region."""
    union = table.true_areas[table.rows] + table.pred_areas[table.cols] - table.counts
    best = np.zeros(len(table.true_ids))
    np.maximum.at(best, table.rows, table.counts / union)
    covered: Values = best * table.true_areas
    return covered
