"""Boundary pixels of label maps, and their one-to-one matching within a distance.

The matching is that of the Berkeley benchmark: the minimum-cost assignment of predicted to
annotated boundary pixels, in which each pixel may also be assigned to one of a few random outliers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from congeal.errors import CongealError
from congeal.labels import VOID, check_labels

__all__ = ["MAX_DISTANCE", "corner_boundaries", "match_boundaries"]

MAX_DISTANCE = 0.0075  # of the image diagonal, as in the benchmark
OUTLIERS = 6  # per pixel, as in the benchmark

Mask = NDArray[np.bool_]
Indices = NDArray[np.int64]
Costs = NDArray[np.float64]


def corner_boundaries(labels: ArrayLike) -> Mask:
    """Mark pixels that differ from their right, lower or lower-right neighbour.

    Pixels of the last row and column are compared with neighbours inside the image only. Edges to
    void are not marked.

    Args:
        labels: label map ``(H, W)`` with any numbering, -1 void.

    Returns:
        Booleans ``(H, W)``: the boundaries of a segmentation as defined by the Berkeley benchmark,
        and of a mask as defined by DAVIS.

    Raises:
        CongealError: ``labels`` is not a 2-D label map.

    Source:
        Arbelaez, Maire, Fowlkes, Malik, Contour detection and hierarchical image segmentation,
        TPAMI 2011, its benchmark.

    Example:
        >>> corner_boundaries([[1, 1, 2], [1, 1, 2]]).astype(int)
        array([[0, 1, 0],
               [0, 1, 0]])
    """
    array = check_labels(labels)
    if array.ndim != 2:
        raise CongealError(f"expected a label map (H, W), got shape {array.shape}")
    if not array.size:
        return np.zeros(array.shape, np.bool_)
    padded = np.pad(array, ((0, 1), (0, 1)), mode="edge")
    block = [padded[:-1, :-1], padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]]
    high = np.maximum.reduce(block)
    top = np.iinfo(np.int64).max
    low = np.minimum.reduce([np.where(part == VOID, top, part) for part in block])
    marked: Mask = (low < high) & (array != VOID)
    return marked


def match_boundaries(
    *, prediction: ArrayLike, truth: ArrayLike, max_distance: float = MAX_DISTANCE, seed: int = 0
) -> tuple[Mask, Mask]:
    """Match predicted and annotated boundary pixels one to one, at minimum total distance.

    Only pixels with a pixel of the other map within the distance are assigned. The cost of a pair
    is its distance; that of an outlier, of which each pixel has six at random, is 100 times the
    largest distance. As outliers are few, a few pixels in a thousand that could be matched are not;
    this reproduces a small bias of the official scores. The official program seeds by the clock;
    here results depend on ``seed``.

    Args:
        prediction: predicted boundaries, thinned, booleans ``(H, W)``.
        truth: annotated boundaries, booleans ``(H, W)``.
        max_distance: largest distance of a pair, as a fraction of the image diagonal.
        seed: of the random outliers.

    Returns:
        Matched pixels of the prediction and of the annotation, ``(H, W)`` each.

    Raises:
        CongealError: maps are not boolean or differ in size, or the distance is not positive.

    Source:
        Martin, Fowlkes, Malik, Learning to detect natural image boundaries using local
        brightness, color, and texture cues, TPAMI 2004, appendix B.

    Example:
        >>> pred, true = np.zeros((2, 200, 200), bool)
        >>> pred[9, 10], true[9, 11], true[50, 50] = True, True, True
        >>> [int(side.sum()) for side in match_boundaries(prediction=pred, truth=true)]
        [1, 1]
    """
    pred, true = _check_mask(prediction, "prediction"), _check_mask(truth, "annotation")
    if pred.shape != true.shape:
        raise CongealError(f"expected maps of the same size, got {pred.shape} and {true.shape}")
    if not (math.isfinite(max_distance) and max_distance > 0):
        raise CongealError(f"expected a positive largest distance, got {max_distance}")
    radius = max_distance * math.hypot(*pred.shape)
    pairs = _pairs_within(pred, true, radius)
    rows, cols = _assign(pairs, radius, np.random.default_rng(seed))
    matched_pred, matched_true = np.zeros_like(pred), np.zeros_like(true)
    matched_pred.flat[pairs.pred_pixels[rows]] = True
    matched_true.flat[pairs.true_pixels[cols]] = True
    return matched_pred, matched_true


@dataclass(frozen=True)
class _Pairs:
    """Boundary pixels with a partner within the distance, and all such pairs."""

    pred_pixels: Indices  # flat index into the image, (M,)
    true_pixels: Indices  # (N,)
    rows: Indices  # index into pred_pixels, (P,)
    cols: Indices  # index into true_pixels, (P,)
    distances: Costs  # in pixels, (P,)


def _pairs_within(pred: Mask, true: Mask, radius: float) -> _Pairs:
    """List all pairs within a radius, one pixel offset at a time."""
    pad = math.floor(radius)
    pred_pixels, true_pixels = np.flatnonzero(pred), np.flatnonzero(true)
    height, width = pred.shape
    index = np.full((height + 2 * pad, width + 2 * pad), -1)  # of annotated pixels, else -1
    index[pad : pad + height, pad : pad + width][true] = np.arange(len(true_pixels))
    y, x = np.divmod(pred_pixels, max(width, 1))
    flat = (y + pad) * (width + 2 * pad) + x + pad
    pairs: list[tuple[Indices, Indices, Costs]] = []
    for dy in range(-pad, pad + 1):
        for dx in range(-pad, pad + 1):
            if dy * dy + dx * dx > radius * radius:
                continue
            neighbour = index.ravel()[flat + (dy * (width + 2 * pad) + dx)]
            rows = np.flatnonzero(neighbour >= 0)
            pairs.append((rows, neighbour[rows], np.full(len(rows), math.hypot(dy, dx))))
    rows, cols, distances = (np.concatenate(part) for part in zip(*pairs, strict=True))
    kept_rows, rows = _compact(rows, len(pred_pixels))
    kept_cols, cols = _compact(cols, len(true_pixels))
    return _Pairs(pred_pixels[kept_rows], true_pixels[kept_cols], rows, cols, distances)


def _compact(numbers: Indices, size: int) -> tuple[Indices, Indices]:
    """Distinct numbers, ascending, and the index of each number into them."""
    occurs = np.zeros(size, np.bool_)
    occurs[numbers] = True
    return np.flatnonzero(occurs), (np.cumsum(occurs) - 1)[numbers]


def _assign(pairs: _Pairs, radius: float, rng: np.random.Generator) -> tuple[Indices, Indices]:
    """Solve the assignment of M + N rows to N + M columns: pixels, followed by outliers.

    Adding a constant to a row or column does not change the optimum. So the cost of an unmatched
    pair is put on the predicted pixel alone, and outlier rows cost nothing, for which the solver is
    several times faster than with equal costs. Each pixel also has its own outlier, at a cost so
    high that it is used only if no other assignment is complete.
    """
    n_pred, n_true = len(pairs.pred_pixels), len(pairs.true_pixels)
    if not n_pred:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    cost = float(math.ceil(100 * 100 * radius))  # of an outlier, in hundredths of a pixel
    by_pred, drawn_for_pred = _draw(n_pred, n_pred, rng, others=True)
    by_true, drawn_for_true = _draw(n_true, n_true, rng, others=True)
    large, small = _draw(max(n_pred, n_true), min(n_pred, n_true), rng)
    spare_rows, spare_cols = (large, small) if n_true >= n_pred else (small, large)
    own_pred, own_true = np.arange(n_pred), np.arange(n_true)
    blocks: list[tuple[Indices, Indices, Costs]] = [  # rows, columns, costs
        (pairs.rows, pairs.cols, np.rint(100 * pairs.distances)),
        (by_pred, n_true + drawn_for_pred, np.full(len(by_pred), cost)),
        (n_pred + drawn_for_true, by_true, np.zeros(len(by_true))),
        (n_pred + spare_rows, n_true + spare_cols, np.zeros(len(spare_rows))),
        (own_pred, n_true + own_pred, np.full(n_pred, 100 * cost)),
        (n_pred + own_true, own_true, np.full(n_true, 99 * cost)),
    ]
    rows, cols, costs = (np.concatenate(part) for part in zip(*blocks, strict=True))
    where = (rows.astype(np.int32), cols.astype(np.int32))  # required by scipy's solver
    shape = (n_pred + n_true, n_true + n_pred)
    graph = sparse.csr_array((costs + 1.0, where), shape=shape)  # 0 would mean no edge
    by_row, by_col = min_weight_full_bipartite_matching(graph)
    real = (by_row < n_pred) & (by_col < n_true)
    return by_row[real], by_col[real]


def _draw(
    count: int, size: int, rng: np.random.Generator, others: bool = False
) -> tuple[Indices, Indices]:
    """Draw up to six distinct numbers below ``size`` for each of ``count`` nodes.

    Returns the repeated nodes and the drawn numbers; ``others`` excludes a node's own number.
    """
    choices = size - 1 if others else size
    degree = min(OUTLIERS, choices)
    if degree == choices:
        drawn = np.tile(np.arange(choices), (count, 1))
    else:
        drawn = rng.integers(0, choices, (count, degree))
        while (invalid := _repeats(drawn)).any():
            drawn[invalid] = rng.integers(0, choices, (int(invalid.sum()), degree))
    if others:
        drawn = drawn + (drawn >= np.arange(count)[:, None])
    return np.repeat(np.arange(count), degree), drawn.ravel()


def _repeats(drawn: Indices) -> Mask:
    ordered = np.sort(drawn, axis=1)
    repeats: Mask = (ordered[:, 1:] == ordered[:, :-1]).any(axis=1)
    return repeats


def _check_mask(mask: ArrayLike, name: str) -> Mask:
    array = np.asarray(mask)
    if array.dtype != np.bool_ or array.ndim != 2:
        raise CongealError(
            f"expected a boolean boundary map (H, W) as {name}, "
            f"got {array.dtype} of shape {array.shape}"
        )
    return array
