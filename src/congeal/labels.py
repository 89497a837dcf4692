"""Label maps: integer arrays with 0 for background, 1..K for objects and -1 for void.

All functions accept any number of dimensions, such as ``(H, W)`` and ``(D, H, W)``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from congeal.errors import CongealError, unknown

__all__ = [
    "BACKGROUND",
    "VOID",
    "Contingency",
    "areas",
    "boundaries",
    "check_labels",
    "contingency",
    "relabel",
]

Labels = NDArray[np.int64]
Mask = NDArray[np.bool_]

BACKGROUND = 0
VOID = -1


@dataclass(frozen=True)
class Contingency:
    """Sparse contingency table of two label maps: one entry per pair of labels that overlap.

    Void pixels of the ground truth are not counted anywhere.

    Attributes:
        true_ids: ground-truth labels, ascending, ``(R,)``.
        pred_ids: predicted labels, ascending, ``(C,)``.
        true_areas: pixels of each ground-truth label, ``(R,)``.
        pred_areas: pixels of each predicted label, ``(C,)``.
        rows: index into ``true_ids`` of each overlapping pair, ``(P,)``.
        cols: index into ``pred_ids`` of each overlapping pair, ``(P,)``.
        counts: size of the intersection of each pair in pixels, at least 1, ``(P,)``.

    Example:
        >>> table = contingency([[0, 1, 1]], [[0, 0, 7]])
        >>> table.true_ids, table.pred_ids, table.counts
        (array([0, 1]), array([0, 7]), array([1, 1, 1]))
    """

    true_ids: Labels
    pred_ids: Labels
    true_areas: Labels
    pred_areas: Labels
    rows: Labels
    cols: Labels
    counts: Labels

    def objects(self) -> Contingency:
        """The table without background rows and columns; areas of objects still count all pixels.

        Example:
            >>> contingency([[0, 1, 1]], [[0, 0, 7]]).objects().counts
            array([1])
        """
        true_from = int(np.searchsorted(self.true_ids, BACKGROUND, side="right"))
        pred_from = int(np.searchsorted(self.pred_ids, BACKGROUND, side="right"))
        kept = (self.rows >= true_from) & (self.cols >= pred_from)
        return Contingency(
            self.true_ids[true_from:],
            self.pred_ids[pred_from:],
            self.true_areas[true_from:],
            self.pred_areas[pred_from:],
            self.rows[kept] - true_from,
            self.cols[kept] - pred_from,
            self.counts[kept],
        )

    def matrix(self) -> Any:
        """The table as a ``scipy.sparse.csr_array`` of shape ``(R, C)``.

        Example:
            >>> contingency([[0, 1, 1]], [[0, 0, 7]]).matrix().toarray()
            array([[1, 0],
                   [1, 1]])
        """
        shape = (len(self.true_ids), len(self.pred_ids))
        return sparse.csr_array((self.counts, (self.rows, self.cols)), shape=shape)


def check_labels(labels: ArrayLike, name: str = "labels") -> Labels:
    """Check that ``labels`` is a label map and return it as int64 (no copy if it is int64).

    Args:
        labels: integers, or booleans for a single object, of any shape.
        name: shown in the error, such as a file name.

    Raises:
        CongealError: the values are not integers, below -1, or above 2**63 - 1.

    Example:
        >>> check_labels([[0, 3], [-1, 3]]).dtype
        dtype('int64')
    """
    array = np.asarray(labels)
    if array.dtype.kind not in "iub":
        raise CongealError(f"expected integer labels in {name}, got {array.dtype}")
    if array.dtype == np.uint64 and array.size and array.max() > np.iinfo(np.int64).max:
        raise CongealError(f"expected labels below 2**63 in {name}, got {array.max()}")
    if array.dtype.kind == "i" and array.size and array.min() < VOID:
        raise CongealError(f"expected labels of at least -1 (void) in {name}, got {array.min()}")
    return array.astype(np.int64, copy=False)


def relabel(labels: ArrayLike) -> Labels:
    """Renumber the objects 1..K without gaps, in the order of their labels; 0 and -1 stay.

    Raises:
        CongealError: ``labels`` is not a label map.

    Example:
        >>> relabel([[0, 30, 7], [-1, 7, 30]])
        array([[ 0,  2,  1],
               [-1,  1,  2]])
    """
    array = check_labels(labels)
    ids, codes = _encode(array)
    numbers = np.where(ids > 0, np.cumsum(ids > 0), ids)
    return numbers[codes].reshape(array.shape)


def areas(labels: ArrayLike) -> tuple[Labels, Labels]:
    """Count the pixels of each object.

    Returns:
        Labels of the objects, ascending, and their areas in pixels, each ``(K,)``.

    Raises:
        CongealError: ``labels`` is not a label map.

    Example:
        >>> areas([[0, 3, 3], [-1, 1, 3]])
        (array([1, 3]), array([1, 3]))
    """
    ids, codes = _encode(check_labels(labels))
    counts = np.bincount(codes, minlength=len(ids)).astype(np.int64)
    return ids[ids > 0], counts[ids > 0]


def boundaries(labels: ArrayLike, mode: str = "inner") -> Mask:
    """Mark pixels with a face-connected neighbour (4-neighbour in 2-D) of another label.

    Neither an edge to void nor the image border counts as a boundary.

    Args:
        labels: label map of any shape.
        mode: ``"inner"`` marks pixels of objects only, ``"thick"`` background pixels too.

    Returns:
        Booleans of the shape of ``labels``.

    Raises:
        CongealError: ``labels`` is not a label map, or the mode is unknown.

    Example:
        >>> boundaries([[0, 0, 1, 1]]).astype(int)
        array([[0, 0, 1, 0]])
        >>> boundaries([[0, 0, 1, 1]], "thick").astype(int)
        array([[0, 1, 1, 0]])
    """
    if mode not in ("inner", "thick"):
        raise unknown("boundary mode", mode, ("inner", "thick"))
    array = check_labels(labels)
    marked = np.zeros(array.shape, dtype=np.bool_)
    for axis in range(array.ndim):
        along, marked_along = np.moveaxis(array, axis, 0), np.moveaxis(marked, axis, 0)
        after, before = along[1:], along[:-1]
        edge = (after != before) & (after != VOID) & (before != VOID)
        marked_along[1:] |= edge
        marked_along[:-1] |= edge
    return marked & (array > 0) if mode == "inner" else marked


def contingency(true: ArrayLike, pred: ArrayLike) -> Contingency:
    """Count the pixels in the intersection of each ground-truth and predicted label.

    Void pixels of the ground truth are removed from both maps: predictions there are neither right
    nor wrong. Void in the prediction counts as background. Time and memory are
    O(pixels + overlapping pairs), not O(R * C).

    Args:
        true: ground-truth label map of any shape.
        pred: predicted label map of the same shape.

    Raises:
        CongealError: an argument is not a label map, or the shapes differ.

    Example:
        >>> table = contingency([[-1, 1, 1, 2]], [[5, 5, 5, 6]])
        >>> table.pred_areas, table.matrix().toarray().tolist()
        (array([2, 1]), [[2, 0], [0, 1]])
    """
    truth, prediction = check_labels(true, "ground truth"), check_labels(pred, "prediction")
    if truth.shape != prediction.shape:
        raise CongealError(
            "expected ground truth and prediction of the same shape, got "
            f"{truth.shape} and {prediction.shape}"
        )
    valid = truth != VOID
    if not valid.all():
        truth, prediction = truth[valid], prediction[valid]
    true_ids, true_codes = _encode(truth)
    pred_ids, pred_codes = _encode(np.maximum(prediction, BACKGROUND))
    rows, cols, counts = _count_pairs(true_codes, pred_codes, len(true_ids), len(pred_ids))
    true_areas = np.bincount(rows, weights=counts, minlength=len(true_ids)).astype(np.int64)
    pred_areas = np.bincount(cols, weights=counts, minlength=len(pred_ids)).astype(np.int64)
    return Contingency(true_ids, pred_ids, true_areas, pred_areas, rows, cols, counts)


def _encode(labels: Labels) -> tuple[Labels, Labels]:
    """Distinct values, ascending, and for each pixel (flat) the index of its value."""
    flat = labels.ravel()
    if not flat.size:
        return flat, flat
    low, high = int(flat.min()), int(flat.max())
    if high - low > 4 * flat.size + 65536:  # a lookup table would outgrow the map: sort instead
        ids, codes = np.unique(flat, return_inverse=True)
        return ids, codes.astype(np.int64, copy=False)
    shifted = flat - low
    present = np.zeros(high - low + 1, dtype=np.bool_)
    present[shifted] = True
    return np.flatnonzero(present) + low, (np.cumsum(present) - 1)[shifted]


def _count_pairs(
    rows: Labels, cols: Labels, n_rows: int, n_cols: int
) -> tuple[Labels, Labels, Labels]:
    """Count equal pairs: in a dense table if it fits in O(pixels) memory, else by sorting."""
    width = max(n_cols, 1)
    combined = rows * width + cols
    if n_rows * n_cols <= 4 * combined.size + 65536:
        table = np.bincount(combined, minlength=n_rows * n_cols)
        pairs = np.flatnonzero(table)
        counts = table[pairs]
    else:
        pairs, counts = np.unique(combined, return_counts=True)
    return pairs // width, pairs % width, counts.astype(np.int64, copy=False)
