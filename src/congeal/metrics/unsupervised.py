"""Unsupervised segmentation: clusters are assigned to classes and scored as semantic maps.

Clusters are defined on the whole dataset, not per image. Counts are pooled before assignment, so
that merged metrics of parts equal the metric of the whole.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment

from congeal.errors import CongealError, unknown
from congeal.metrics.metric import ratio, require_image
from congeal.metrics.semantic import class_iou, confusion_matrix, mean_iou

__all__ = ["ASSIGNMENTS", "UnsupervisedMetric", "assign_clusters", "relabelled_confusion"]

ASSIGNMENTS = ("auto", "hungarian", "majority", "hungarian_count")

Counts = NDArray[np.int64]


class UnsupervisedMetric:
    """Scores of clusters after the best assignment to classes, pooled over images.

    Args:
        clusters: number of clusters; ids are 0 to ``clusters - 1``.
        classes: number of classes; ids are 0 to ``classes - 1``.
        assignment: as in :func:`assign_clusters`.

    Raises:
        CongealError: there is no cluster or no class, or the assignment is unknown.

    Example:
        >>> metric = UnsupervisedMetric(clusters=2, classes=2)
        >>> metric.update(prediction=[[1, 1, 0, 0]], truth=[[0, 0, 1, -1]])
        >>> metric.compute()["miou"]
        1.0
    """

    def __init__(self, clusters: int, classes: int, assignment: str = "auto") -> None:
        if min(clusters, classes) < 1:
            raise CongealError(
                f"expected at least one cluster and one class, got {clusters} and {classes}"
            )
        self.clusters, self.classes = clusters, classes
        self.assignment = _check_assignment(assignment)
        self.images = 0
        self.table: Counts = np.zeros((clusters, classes), np.int64)

    def update(self, *, prediction: ArrayLike, truth: ArrayLike) -> None:
        """Add one image: the map of clusters and the semantic map (-1 void, ignored).

        Raises:
            CongealError: an argument is no map of these classes or clusters, the prediction is
                void where the truth is not, the shapes differ, or it is a batch.

        Example:
            >>> UnsupervisedMetric(2, 2).update(prediction=[[1, 0]], truth=[[0, 1]])
        """
        require_image(truth)
        size = max(self.clusters, self.classes)
        found = confusion_matrix(prediction=prediction, truth=truth, classes=size)
        if found[self.classes :].any() or found[:, self.clusters :].any():
            raise CongealError(
                f"expected {self.classes} classes in the ground truth and a cluster below "
                f"{self.clusters} on each of their pixels, got others"
            )
        self.table += found[: self.classes, : self.clusters].T
        self.images += 1

    def merge(self, other: UnsupervisedMetric) -> UnsupervisedMetric:
        """Add the counts of another metric with the same settings.

        Raises:
            CongealError: the settings differ.

        Example:
            >>> UnsupervisedMetric(2, 2).merge(UnsupervisedMetric(2, 2)).images
            0
        """
        ours, theirs = ((m.clusters, m.classes, m.assignment) for m in (self, other))
        if ours != theirs:
            raise CongealError(f"expected a metric of the same settings {ours}, got {theirs}")
        self.images += other.images
        self.table += other.table
        return self

    def compute(self) -> dict[str, float]:
        """Return ``miou``, ``miou_absent_zero``, ``pixel_accuracy`` and ``iou/ID`` of each class.

        The two means differ in a class that is neither true nor given to a cluster, as in
        :func:`congeal.metrics.mean_iou`; MaskContrast prints the second.

        Example:
            >>> UnsupervisedMetric(2, 2).compute()["pixel_accuracy"]
            nan
        """
        confusion = relabelled_confusion(self.table, assign_clusters(self.table, self.assignment))
        total, right = int(confusion.sum()), int(np.diagonal(confusion).sum())
        return {
            "miou": mean_iou(confusion),
            "miou_absent_zero": mean_iou(confusion, "zero"),
            "pixel_accuracy": ratio(right, total),
            **{f"iou/{label}": value for label, value in enumerate(class_iou(confusion).tolist())},
            "images": self.images,
        }


def assign_clusters(table: ArrayLike, assignment: str = "auto") -> Counts:
    """Return every cluster a class.

    Args:
        table: pixels by cluster and true class, ``(K, C)``.
        assignment: ``"hungarian"``: one to one, with maximum total IoU; ``"hungarian_count"``: one
            to one, with the maximum number of correct pixels; ``"majority"``: the class of largest
            IoU of each cluster (the smallest in a tie); ``"auto"``: ``"hungarian"`` for equal
            numbers of clusters and classes, else ``"majority"``.

    Returns:
        Class of each cluster, ``(K,)``; -1 for unassigned clusters.

    Raises:
        CongealError: the assignment is unknown.

    Source:
        Van Gansbeke et al., Unsupervised semantic segmentation by contrasting object mask
        proposals, 2021 (MaskContrast), in its published code; accuracy on counts as is usual for
        clustering.

    Example:
        >>> assign_clusters([[0, 5], [4, 1], [3, 0]]).tolist()
        [1, 0, 0]
    """
    counts = np.asarray(table, dtype=np.int64)
    method = _check_assignment(assignment)
    if method == "auto":
        method = "hungarian" if counts.shape[0] == counts.shape[1] else "majority"
    if method == "majority":
        largest: Counts = _iou(counts).argmax(axis=1)
        return largest
    gains = counts if method == "hungarian_count" else _iou(counts)
    given = np.full(len(counts), -1, dtype=np.int64)
    rows, cols = linear_sum_assignment(gains, maximize=True)
    given[rows] = cols
    return given


def relabelled_confusion(table: ArrayLike, given: ArrayLike) -> Counts:
    """Confusion matrix of classes from counts of clusters and their assignment.

    Args:
        table: pixels by cluster and true class, ``(K, C)``.
        given: class of each cluster, ``(K,)``, -1 for none.

    Returns:
        Pixels of each true class (row) by predicted class, ``(C, C + 1)``; in the last column
        those of clusters without a class.

    Example:
        >>> relabelled_confusion([[0, 5], [4, 1]], [1, -1])
        array([[0, 0, 4],
               [0, 5, 1]])
    """
    counts, labels = np.asarray(table, dtype=np.int64), np.asarray(given, dtype=np.int64)
    classes = counts.shape[1]
    confusion = np.zeros((classes + 1, classes), np.int64)
    np.add.at(confusion, labels, counts)  # -1 is the last row
    return confusion.T


def _iou(counts: Counts) -> NDArray[np.float64]:
    union = counts.sum(axis=1, keepdims=True) + counts.sum(axis=0, keepdims=True) - counts
    iou: NDArray[np.float64] = counts / np.maximum(union, 1)
    return iou


def _check_assignment(assignment: str) -> str:
    if assignment not in ASSIGNMENTS:
        raise unknown("assignment of clusters", assignment, ASSIGNMENTS)
    return assignment
