"""Boundary pixels of label maps, and their one-to-one matching within a small distance.

The matching is that of the Berkeley benchmark: the cheapest assignment of predicted to annotated
boundary pixels, where a pixel may also be left to one of a few outliers drawn at random.
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

MAX_DISTANCE = 0.0075
OUTLIERS = 6

Mask = NDArray[np.bool_]
Indices = NDArray[np.int64]
Prices = NDArray[np.float64]


def corner_boundaries(labels: ArrayLike) -> Mask:
    """Mark each pixel whose neighbours to the right, below and across are not all of its label.

    The last row and column compare with what is inside the image only. An edge against void is
    not known to be one and is not marked.

    Args:
        labels: label map ``(H, W)``, -1 void; any numbering.

    Returns:
        Booleans ``(H, W)``. They are what the Berkeley benchmark takes as the boundaries of a
        segmentation, and the DAVIS benchmark as those of a mask.

    Raises:
        CongealError: ``labels`` is not a label map of two dimensions.

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
    """Match predicted to annotated boundary pixels one to one, nearest together at least cost.

    Only pixels within reach of the other map take part. A pair costs its distance; a pixel
    without partner goes to one of six outliers, drawn at random for each pixel, at a hundred
    times the largest distance. Because outliers are few, a handful of pixels in a thousand that
    could be matched are not: the official numbers carry this small bias, and so do these. The
    official program draws by the clock; here the numbers follow from ``seed``.

    Args:
        prediction: booleans ``(H, W)``, thin predicted boundaries.
        truth: booleans ``(H, W)``, annotated boundaries.
        max_distance: the largest distance of a pair, as a share of the image diagonal.
        seed: of the random outliers.

    Returns:
        The matched pixels of the prediction and those of the truth, ``(H, W)`` each, equally many.

    Raises:
        CongealError: the maps are not boolean or differ in size, or the distance is not positive.

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
    """Pixels within reach of the other map, and the pairs among them."""

    pred_pixels: Indices  # flat index into the image, (M,)
    true_pixels: Indices  # (N,)
    rows: Indices  # index into pred_pixels, (P,)
    cols: Indices  # index into true_pixels, (P,)
    distances: Prices  # in pixels, (P,)


def _pairs_within(pred: Mask, true: Mask, radius: float) -> _Pairs:
    """List the pairs by moving the prediction over the annotation, one offset at a time."""
    reach = math.floor(radius)
    pred_pixels, true_pixels = np.flatnonzero(pred), np.flatnonzero(true)
    height, width = pred.shape
    number = np.full((height + 2 * reach, width + 2 * reach), -1)  # of the annotated pixel there
    number[reach : reach + height, reach : reach + width][true] = np.arange(len(true_pixels))
    y, x = np.divmod(pred_pixels, max(width, 1))
    at = (y + reach) * (width + 2 * reach) + x + reach
    found: list[tuple[Indices, Indices, Prices]] = []
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            if dy * dy + dx * dx > radius * radius:
                continue
            there = number.ravel()[at + (dy * (width + 2 * reach) + dx)]
            rows = np.flatnonzero(there >= 0)
            found.append((rows, there[rows], np.full(len(rows), math.hypot(dy, dx))))
    rows, cols, distances = (np.concatenate(part) for part in zip(*found, strict=True))
    kept_rows, rows = _compact(rows, len(pred_pixels))
    kept_cols, cols = _compact(cols, len(true_pixels))
    return _Pairs(pred_pixels[kept_rows], true_pixels[kept_cols], rows, cols, distances)


def _compact(numbers: Indices, size: int) -> tuple[Indices, Indices]:
    """Give the numbers that occur, ascending, and each number as an index into them."""
    occurs = np.zeros(size, np.bool_)
    occurs[numbers] = True
    return np.flatnonzero(occurs), (np.cumsum(occurs) - 1)[numbers]


def _assign(pairs: _Pairs, radius: float, rng: np.random.Generator) -> tuple[Indices, Indices]:
    """Solve the assignment of M + N rows to N + M columns, outliers behind pixels on both sides.

    Adding a constant to a row or a column changes no optimum, so the price of a lost pair stands
    on the predicted pixel alone and everything at an outlier row is free; the solver finds most
    of such a matching in its first sweep, and is several times quicker than with equal prices.
    Each pixel also has an outlier of its own, so dear that it serves only where nothing else
    makes the assignment complete.
    """
    n_pred, n_true = len(pairs.pred_pixels), len(pairs.true_pixels)
    if not n_pred:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    price = float(math.ceil(100 * 100 * radius))  # prices are in hundredths of a pixel
    by_pred, drawn_for_pred = _draw(n_pred, n_pred, rng, others=True)
    by_true, drawn_for_true = _draw(n_true, n_true, rng, others=True)
    large, small = _draw(max(n_pred, n_true), min(n_pred, n_true), rng)
    spare_rows, spare_cols = (large, small) if n_true >= n_pred else (small, large)
    own_pred, own_true = np.arange(n_pred), np.arange(n_true)
    blocks: list[tuple[Indices, Indices, Prices]] = [  # rows, columns, prices
        (pairs.rows, pairs.cols, np.rint(100 * pairs.distances)),
        (by_pred, n_true + drawn_for_pred, np.full(len(by_pred), price)),
        (n_pred + drawn_for_true, by_true, np.zeros(len(by_true))),
        (n_pred + spare_rows, n_true + spare_cols, np.zeros(len(spare_rows))),
        (own_pred, n_true + own_pred, np.full(n_pred, 100 * price)),
        (n_pred + own_true, own_true, np.full(n_true, 99 * price)),
    ]
    rows, cols, prices = (np.concatenate(part) for part in zip(*blocks, strict=True))
    where = (rows.astype(np.int32), cols.astype(np.int32))  # scipy's solver takes no wider index
    shape = (n_pred + n_true, n_true + n_pred)
    graph = sparse.csr_array((prices + 1.0, where), shape=shape)  # 0 would be no edge
    by_row, by_col = min_weight_full_bipartite_matching(graph)
    real = (by_row < n_pred) & (by_col < n_true)
    return by_row[real], by_col[real]


def _draw(
    count: int, size: int, rng: np.random.Generator, others: bool = False
) -> tuple[Indices, Indices]:
    """Draw for each of ``count`` nodes up to six different numbers below ``size``.

    Returns the nodes, each repeated, and what was drawn; ``others`` spares a node's own number.
    """
    choices = size - 1 if others else size
    degree = min(OUTLIERS, choices)
    if degree == choices:
        drawn = np.tile(np.arange(choices), (count, 1))
    else:
        drawn = rng.integers(0, choices, (count, degree))
        while (twice := _repeats(drawn)).any():
            drawn[twice] = rng.integers(0, choices, (int(twice.sum()), degree))
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
