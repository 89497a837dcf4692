"""Retrieval scores: segments are classified by their nearest prototypes in a memory bank.

The protocol of SegSort (Hwang et al., ICCV 2019): nearest is the largest inner product, which on
the unit sphere is the smallest angle; of k neighbours the most frequent class wins, in a tie the
smallest.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from congeal.errors import CongealError
from congeal.metrics.metric import ratio
from congeal.metrics.semantic import class_iou, mean_iou

__all__ = ["RetrievalMetric", "majority_labels", "nearest_labels"]

Labels = NDArray[np.int64]


class RetrievalMetric:
    """Retrieval scores, accumulated over segments; only counts are kept.

    Args:
        classes: number of classes; ids are 0 to ``classes - 1``.
        k: number of neighbours.

    Raises:
        CongealError: there is no class or no neighbour.

    Example:
        >>> metric = RetrievalMetric(classes=2, k=3)
        >>> metric.update(prediction=[[0, 0, 1], [1, 1, 1]], truth=[0, 0])
        >>> metric.compute()["retrieval_accuracy@3"]
        0.5
    """

    def __init__(self, classes: int, k: int) -> None:
        if min(classes, k) < 1:
            raise CongealError(f"expected at least one class and neighbour, got {classes} and {k}")
        self.classes, self.k = classes, k
        self.segments = self._right = self._neighbours_right = 0
        self._pixels = np.zeros((classes, classes))

    def update(
        self, *, prediction: ArrayLike, truth: ArrayLike, areas: ArrayLike | None = None
    ) -> None:
        """Add segments, of one image or several.

        Args:
            prediction: classes of the k nearest prototypes, nearest first, ``(N, k)``, as of
                :func:`nearest_labels`.
            truth: class of each segment, ``(N,)``; segments of -1 (void) are ignored.
            areas: pixels of each segment for ``retrieval_miou``, ``(N,)``; one each when None.

        Raises:
            CongealError: the shapes do not fit, or a class is unknown.

        Example:
            >>> RetrievalMetric(2, k=1).update(prediction=[[1]], truth=[1], areas=[40])
        """
        found, labels = _integers(prediction), _integers(truth)
        weights = np.ones(len(labels)) if areas is None else np.asarray(areas, dtype=np.float64)
        if found.shape != (len(labels), self.k) or weights.shape != labels.shape:
            raise CongealError(
                f"expected {self.k} neighbours and an area for each of {len(labels)} segments, "
                f"got {found.shape} and {weights.shape}"
            )
        known = labels >= 0
        found, labels, weights = found[known], labels[known], weights[known]
        _check_range(found, self.classes)
        _check_range(labels, self.classes)
        chosen = majority_labels(found)
        self.segments += len(labels)
        self._right += int((chosen == labels).sum())
        self._neighbours_right += int((found == labels[:, None]).sum())
        np.add.at(self._pixels, (labels, chosen), weights)

    def merge(self, other: RetrievalMetric) -> RetrievalMetric:
        """Add the counts of another metric with the same settings.

        Raises:
            CongealError: the settings differ.

        Example:
            >>> RetrievalMetric(2, 1).merge(RetrievalMetric(2, 1)).segments
            0
        """
        ours, theirs = ((m.classes, m.k) for m in (self, other))
        if ours != theirs:
            raise CongealError(f"expected a metric of the same settings {ours}, got {theirs}")
        self.segments += other.segments
        self._right += other._right
        self._neighbours_right += other._neighbours_right
        self._pixels += other._pixels
        return self

    def compute(self) -> dict[str, float]:
        """Return the scores by name; NaN without segments.

        ``retrieval_accuracy@K`` is the fraction of segments with a correct majority class,
        ``neighbour_accuracy@K`` the fraction of neighbours with the class of the segment,
        ``retrieval_miou@K`` the mean IoU of the classes after assigning each segment its majority
        class, ignoring classes in neither map.

        Example:
            >>> RetrievalMetric(2, 1).compute()["retrieval_miou@1"]
            nan
        """
        pixels = np.rint(self._pixels).astype(np.int64)
        return {
            f"retrieval_accuracy@{self.k}": ratio(self._right, self.segments),
            f"neighbour_accuracy@{self.k}": ratio(self._neighbours_right, self.segments * self.k),
            f"retrieval_miou@{self.k}": mean_iou(pixels),
            **{f"iou/{label}": value for label, value in enumerate(class_iou(pixels).tolist())},
            "segments": self.segments,
        }


def nearest_labels(query: ArrayLike, memory: ArrayLike, labels: ArrayLike, k: int) -> Labels:
    """Find the classes of the k nearest prototypes of each query.

    Args:
        query: embeddings of segments, ``(N, D)``, on the unit sphere.
        memory: prototypes, ``(M, D)``, on the unit sphere.
        labels: class of each prototype, ``(M,)``.
        k: number of neighbours, 1 to M.

    Returns:
        Classes in descending order of inner product, ``(N, k)``; ties in the order of ``memory``.

    Raises:
        CongealError: the shapes do not fit, k is not 1 to M, or an embedding is not finite.

    Source:
        Hwang et al., SegSort, ICCV 2019, section 3 (inference by k nearest neighbours).

    Example:
        >>> nearest_labels([[1.0, 0.0]], [[0.0, 1.0], [0.8, 0.6], [1.0, 0.0]], [4, 5, 6], k=2)
        array([[6, 5]])
    """
    wanted, stored = np.asarray(query, np.float64), np.asarray(memory, np.float64)
    classes = _integers(labels)
    if wanted.ndim != 2 or stored.shape != (len(classes), wanted.shape[-1]):
        raise CongealError(
            f"expected queries (N, D), prototypes (M, D) and M labels, "
            f"got {wanted.shape}, {stored.shape} and {classes.shape}"
        )
    if not 1 <= k <= len(stored):
        raise CongealError(f"expected k from 1 to {len(stored)}, the prototypes, got {k}")
    if not (np.isfinite(wanted).all() and np.isfinite(stored).all()):
        raise CongealError("expected finite embeddings, got NaN or infinity")
    if not len(wanted):
        return np.zeros((0, k), np.int64)
    import torch  # imported late: listing protocols must not load it

    from congeal.neighbours import nearest_neighbours

    index = nearest_neighbours(torch.from_numpy(wanted), torch.from_numpy(stored), k)[1]
    found: Labels = classes[index.numpy()]
    return found


def majority_labels(neighbours: ArrayLike) -> Labels:
    """The most frequent class of each row, the smallest in a tie.

    Args:
        neighbours: classes, 0 or more, ``(N, k)``.

    Returns:
        One class per row, ``(N,)``.

    Raises:
        CongealError: the argument is not a table of classes.

    Example:
        >>> majority_labels([[2, 1, 2], [3, 1, 0]]).tolist()
        [2, 0]
    """
    found = _integers(neighbours)
    if found.ndim != 2 or (len(found) and not found.shape[1]) or (found < 0).any():
        raise CongealError(f"expected classes of 0 or more (N, k), got {found.shape}")
    if not len(found):
        return np.zeros(0, np.int64)
    import torch  # imported late: listing protocols must not load it

    from congeal.neighbours import majority_vote

    chosen: Labels = majority_vote(torch.from_numpy(found))[0].numpy()
    return chosen


def _integers(values: ArrayLike) -> Labels:
    array = np.asarray(values)
    if array.size and array.dtype.kind not in "iub":
        raise CongealError(f"expected classes as integers, got {array.dtype}")
    return array.astype(np.int64, copy=False)


def _check_range(values: Labels, classes: int) -> None:
    if values.size and not 0 <= values.min() <= values.max() < classes:
        raise CongealError(
            f"expected classes from 0 to {classes - 1}, got {values.min()} to {values.max()}"
        )
