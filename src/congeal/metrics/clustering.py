"""Comparison of label maps as clusterings of pixels: ARI, AMI, NMI, VOI, adapted Rand error.

Scores are computed by scikit-learn and scikit-image. Background is an ordinary cluster unless
excluded; void pixels are ignored.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from skimage.metrics import adapted_rand_error, variation_of_information
from sklearn import metrics as sklearn_metrics

from congeal.errors import CongealError
from congeal.labels import VOID, check_labels
from congeal.metrics.metric import require_image

__all__ = ["ClusteringMetric", "ClusteringScores", "clustering_scores"]

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class ClusteringScores:
    """Agreement of two label maps as clusterings; NaN without pixels to compare.

    Attributes:
        ari: adjusted Rand index, 1 for equal partitions, about 0 by chance.
        ami: adjusted mutual information (arithmetic mean of entropies), 1 for equal partitions.
        nmi: normalised mutual information, 0 to 1; the same as the V-measure.
        rand: Rand index, 0 to 1.
        homogeneity: 1 if each predicted cluster lies within one true cluster.
        completeness: 1 if each true cluster lies within one predicted cluster.
        fmi: Fowlkes-Mallows index, 0 to 1.
        voi: variation of information in bits, voi_merge + voi_split; 0 for equal partitions.
        voi_merge: H(true | pred), false merges.
        voi_split: H(pred | true), false splits.
        are: adapted Rand error, 0 to 1, over pixels whose true label is not background.
        are_precision: precision of the adapted Rand error.
        are_recall: recall of the adapted Rand error.

    Example:
        >>> clustering_scores(prediction=[[5, 5, 5, 5]], truth=[[1, 1, 2, 2]]).voi_merge
        1.0
    """

    ari: float
    ami: float
    nmi: float
    rand: float
    homogeneity: float
    completeness: float
    fmi: float
    voi: float
    voi_merge: float
    voi_split: float
    are: float
    are_precision: float
    are_recall: float


class ClusteringMetric:
    """Clustering scores averaged over images; NaN values are excluded from means.

    Args:
        background: as in :func:`clustering_scores`.

    Example:
        >>> metric = ClusteringMetric()
        >>> _ = metric.update(prediction=[[3, 3, 4]], truth=[[1, 1, 2]])
        >>> metric.compute()["ari"]
        1.0
    """

    def __init__(self, background: bool = True) -> None:
        self.background = background
        self.images = 0
        self._sums = np.zeros(len(fields(ClusteringScores)))
        self._known = np.zeros(len(self._sums), np.int64)

    def update(self, *, prediction: ArrayLike, truth: ArrayLike) -> ClusteringScores:
        """Add one image; return its scores (see :func:`clustering_scores`)."""
        require_image(truth)
        found = clustering_scores(prediction=prediction, truth=truth, background=self.background)
        values = np.array(list(asdict(found).values()))
        self.images += 1
        self._sums += np.nan_to_num(values)
        self._known += ~np.isnan(values)
        return found

    def merge(self, other: Self) -> Self:
        """Add the counts of another metric with the same settings.

        Raises:
            CongealError: the settings differ.
        """
        if self.background != other.background:
            raise CongealError(
                f"expected a metric with background={self.background}, got {other.background}"
            )
        self.images += other.images
        self._sums += other._sums
        self._known += other._known
        return self

    def compute(self) -> dict[str, float]:
        """Return the mean of each field of :class:`ClusteringScores`, and ``images``.

        A mean over no images is NaN.

        Example:
            >>> ClusteringMetric().compute()["images"]
            0
        """
        means = np.where(self._known > 0, self._sums / np.maximum(self._known, 1), np.nan)
        names = [field.name for field in fields(ClusteringScores)]
        return {**dict(zip(names, means.tolist(), strict=True)), "images": self.images}


def clustering_scores(
    *, prediction: ArrayLike, truth: ArrayLike, background: bool = True
) -> ClusteringScores:
    """Compare two label maps as partitions of their pixels.

    Args:
        prediction: predicted label map; void counts as background.
        truth: ground-truth label map of the same shape, 0 background, -1 void.
        background: whether to include background pixels of the ground truth; the adapted Rand error
            never does.

    Returns:
        All scores; NaN without pixels.

    Raises:
        CongealError: an argument is not a label map, or the shapes differ.

    Source:
        Hubert, Arabie 1985 (ARI); Vinh et al. 2010 (AMI); Meila 2007 (VOI); Arganda-Carreras et
        al. 2015 (adapted Rand).

    Example:
        >>> clustering_scores(prediction=[[0, 4, 4]], truth=[[0, 1, 1]]).ari
        1.0
    """
    true, pred = check_labels(truth, "truth"), check_labels(prediction, "prediction")
    if true.shape != pred.shape:
        raise CongealError(
            f"expected ground truth and prediction of the same size, got {true.shape} "
            f"and {pred.shape}"
        )
    valid = true > VOID if background else true > 0
    inside = true[valid] > 0
    codes = _codes(true[valid]), _codes(np.maximum(pred[valid], 0))
    if not len(inside):
        return ClusteringScores(*[float("nan")] * len(fields(ClusteringScores)))
    merge, split = variation_of_information(*codes)[::-1].tolist()
    return ClusteringScores(
        **_sklearn_scores(*codes),
        voi=merge + split,
        voi_merge=merge,
        voi_split=split,
        **_adapted_rand(codes[0][inside], codes[1][inside]),
    )


def _sklearn_scores(true: Labels, pred: Labels) -> dict[str, float]:
    measures = {
        "ari": sklearn_metrics.adjusted_rand_score,
        "ami": sklearn_metrics.adjusted_mutual_info_score,
        "nmi": sklearn_metrics.normalized_mutual_info_score,
        "rand": sklearn_metrics.rand_score,
        "homogeneity": sklearn_metrics.homogeneity_score,
        "completeness": sklearn_metrics.completeness_score,
        "fmi": sklearn_metrics.fowlkes_mallows_score,
    }
    return {name: float(measure(true, pred)) for name, measure in measures.items()}


def _adapted_rand(true: Labels, pred: Labels) -> dict[str, float]:
    """Adapted Rand error of pixels inside objects; NaN without a pair of pixels."""
    names = ("are", "are_precision", "are_recall")
    if not len(true):
        return dict.fromkeys(names, float("nan"))
    with np.errstate(invalid="ignore", divide="ignore"):
        found = adapted_rand_error(true, pred, ignore_labels=())
    return dict(zip(names, (float(value) for value in found), strict=True))


def _codes(labels: Labels) -> Labels:
    """Renumber labels from 0 without gaps, since scikit-image allocates up to the largest label."""
    codes: Labels = np.unique(labels, return_inverse=True)[1].astype(np.int64).ravel()
    return codes
