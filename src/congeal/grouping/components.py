"""Connected parts of label maps, and what becomes of the small ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

__all__ = ["absorb_small", "connect", "fill_holes", "split_parts"]

Labels = NDArray[np.int64]
Mask = NDArray[np.bool_]


def connect(mask: Mask, right: Mask, down: Mask) -> Labels:
    """Label the parts of a mask that are joined by the edges given.

    Args:
        mask: ``(H, W)`` pixels that take part.
        right: ``(H, W - 1)`` whether a pixel is joined to the one on its right.
        down: ``(H - 1, W)`` whether a pixel is joined to the one below.

    Returns:
        ``(H, W)`` labels 1..K in scanning order, 0 outside the mask.

    Example:
        >>> mask = np.ones((1, 3), bool)
        >>> connect(mask, np.array([[True, False]]), np.zeros((0, 3), bool)).tolist()
        [[1, 1, 2]]
    """
    index = np.arange(mask.size).reshape(mask.shape)
    right = right & mask[:, 1:] & mask[:, :-1]
    down = down & mask[1:] & mask[:-1]
    start = np.concatenate([index[:, :-1][right], index[:-1][down]])
    end = np.concatenate([index[:, 1:][right], index[1:][down]])
    graph = coo_array((np.ones(len(start), bool), (start, end)), shape=(mask.size, mask.size))
    part = connected_components(graph, directed=False)[1].reshape(mask.shape)
    labels = np.zeros(mask.shape, np.int64)
    labels[mask] = _number(part[mask]) + 1
    return labels


def _number(values: NDArray[np.int64]) -> Labels:
    """Number distinct values 0, 1, ... in order of first appearance."""
    _, first, inverse = np.unique(values, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]


def split_parts(labels: Labels) -> Labels:
    """Give each 4-connected part of each object a label of its own.

    Example:
        >>> split_parts(np.array([[1, 0, 1], [2, 2, 0]])).tolist()
        [[1, 0, 2], [3, 3, 0]]
    """
    return connect(labels > 0, labels[:, 1:] == labels[:, :-1], labels[1:] == labels[:-1])


def _borders(labels: Labels) -> tuple[Labels, Labels]:
    """Pairs of labels that touch, both ways round, and the length of their border."""
    pairs = []
    for a, b in ((labels[:, 1:], labels[:, :-1]), (labels[1:], labels[:-1])):
        touch = (a != b) & (a > 0) & (b > 0)
        pairs += [np.stack([a[touch], b[touch]], 1), np.stack([b[touch], a[touch]], 1)]
    unique, length = np.unique(np.concatenate(pairs), axis=0, return_counts=True)
    return unique, length


def absorb_small(labels: Labels, smallest: float, *, spare_edge: bool = False) -> Labels:
    """Join each object under ``smallest`` pixels to the neighbour it touches most, or drop it.

    Objects are taken from the smallest up, so that fragments of one object first grow together.

    Args:
        labels: ``(H, W)``, 0 background.
        smallest: area in pixels that an object needs to stay.
        spare_edge: let objects that the edge of the image cuts stay as they are.

    Returns:
        ``(H, W)``, with the labels that remain unchanged.

    Example:
        >>> absorb_small(np.array([[1, 1, 1, 2, 0, 3]]), 2).tolist()
        [[1, 1, 1, 1, 0, 0]]
    """
    while True:
        area = np.bincount(labels.ravel(), minlength=1)
        area[0] = 0
        is_small = (area > 0) & (area < smallest)
        if spare_edge:
            is_small[on_edge(labels)] = False
        if not is_small.any():
            return labels
        target = _absorbing(labels, area, is_small)
        labels = target[labels]


def on_edge(labels: Labels) -> Labels:
    """Labels that lie on the edge of the image, 0 included where background does.

    Example:
        >>> on_edge(np.pad([[1, 2]], ((1, 1), (1, 0)))).tolist()
        [0, 2]
    """
    edge = [labels[0], labels[-1], labels[:, 0], labels[:, -1]]
    return np.unique(np.concatenate(edge))


def _absorbing(labels: Labels, area: Labels, is_small: Mask) -> Labels:
    """For each label, the label it becomes in this round."""
    pairs, length = _borders(labels)
    keep = is_small[pairs[:, 0]] if len(pairs) else np.zeros(0, bool)
    pairs, length = pairs[keep], length[keep]
    target = np.arange(len(area))
    lonely = is_small.copy()
    lonely[pairs[:, 0]] = False
    target[lonely] = 0
    order = np.lexsort((-length, pairs[:, 0], area[pairs[:, 0]]))  # small first, long first
    busy: set[int] = set()
    for one, other in pairs[order]:
        if int(one) not in busy and int(other) not in busy:
            target[one] = other
            busy.update((int(one), int(other)))
    return target


def fill_holes(labels: Labels) -> Labels:
    """Fill background that one object alone surrounds, the innermost if there are several.

    Example:
        >>> ring = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]])
        >>> int(fill_holes(ring)[1, 1])
        1
    """
    filled = labels.copy()
    if not labels.any():
        return filled
    windows = enumerate(ndimage.find_objects(labels), 1)
    present = [(label, window) for label, window in windows if window is not None]
    present.sort(key=lambda one: -labels[one[1]].size)  # a ring within another has the last word
    for label, window in present:
        body = labels[window] == label
        hole = ndimage.binary_fill_holes(body) & (labels[window] == 0)
        filled[window][hole] = label
    return filled
