"""Connected components of label maps, merging of small objects, filling of holes."""

from __future__ import annotations

import heapq

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

__all__ = ["absorb_small", "connect", "fill_holes", "split_parts"]

Labels = NDArray[np.int64]
Mask = NDArray[np.bool_]


def connect(mask: Mask, *joined: Mask) -> Labels:
    """Label the connected components of a mask, for given edges between pixels.

    Args:
        mask: ``(*S)`` pixels that take part.
        joined: for each axis, whether a pixel is joined to the next one along it; as the mask, but
            one shorter along that axis.

    Returns:
        ``(*S)`` labels 1..K in scanning order, 0 outside the mask.

    Example:
        >>> mask = np.ones((1, 3), bool)
        >>> connect(mask, np.zeros((0, 3), bool), np.array([[True, False]])).tolist()
        [[1, 1, 2]]
    """
    index = np.arange(mask.size).reshape(mask.shape)
    start, end = [index[:0].ravel()], [index[:0].ravel()]
    for axis, pair in enumerate(joined):
        here = (slice(None),) * axis + (slice(0, -1),)
        there = (slice(None),) * axis + (slice(1, None),)
        pair = pair & mask[here] & mask[there]
        start.append(index[here][pair])
        end.append(index[there][pair])
    one, other = np.concatenate(start), np.concatenate(end)
    graph = coo_array((np.ones(len(one), bool), (one, other)), shape=(mask.size, mask.size))
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
    """Label the connected components of each object separately (face connectivity).

    Args:
        labels: ``(*S)``, 0 or less where there is no object.

    Returns:
        ``(*S)``, 1..K in scanning order.

    Example:
        >>> split_parts(np.array([[1, 0, 1], [2, 2, 0]])).tolist()
        [[1, 0, 2], [3, 3, 0]]
    """
    from skimage.measure import label

    parts: Labels = label(np.maximum(labels, 0), connectivity=1).astype(np.int64, copy=False)
    return parts


def _neighbours(labels: Labels, wanted: Mask) -> dict[int, dict[int, int]]:
    """For each given label, the labels it touches and the lengths of their borders."""
    count, keys = len(wanted), [labels[:0].ravel()]
    for axis in range(labels.ndim):
        whole = (slice(None),) * axis
        a, b = labels[(*whole, slice(1, None))], labels[(*whole, slice(0, -1))]
        touch = (a != b) & (a > 0) & (b > 0)
        keys += [a[touch] * count + b[touch], b[touch] * count + a[touch]]
    pairs, length = np.unique(np.concatenate(keys), return_counts=True)
    one, other = np.divmod(pairs, count)
    near: dict[int, dict[int, int]] = {int(label): {} for label in np.flatnonzero(wanted)}
    chosen = wanted[one]
    rows = (column[chosen].tolist() for column in (one, other, length))
    for label, neighbour, border in zip(*rows, strict=True):
        near[label][neighbour] = border
    return near


def absorb_small(labels: Labels, min_area: float, *, spare_edge: bool = False) -> Labels:
    """Merge objects below ``min_area`` with the neighbour of the longest border, or remove them.

    Objects are processed in ascending order of area, so that fragments of an object are merged with
    each other first.

    Args:
        labels: ``(*S)``, 0 background.
        min_area: minimum area in pixels.
        spare_edge: keep objects at the border of an image ``(H, W)``.

    Returns:
        ``(*S)``, with the labels that remain unchanged.

    Example:
        >>> absorb_small(np.array([[1, 1, 1, 2, 0, 3]]), 2).tolist()
        [[1, 1, 1, 1, 0, 0]]
    """
    area = np.bincount(labels.ravel(), minlength=1)
    area[0] = 0
    is_small = (area > 0) & (area < min_area)
    if spare_edge:
        is_small[on_edge(labels)] = False
    if not is_small.any():
        return labels
    target = np.arange(len(area))
    joined = _join_small(area.tolist(), _neighbours(labels, is_small), min_area)
    for one, other in reversed(joined):  # the target may have been merged itself later
        target[one] = target[other]
    absorbed: Labels = target[labels]
    return absorbed


def on_edge(labels: Labels) -> Labels:
    """Labels at the border of the image, including 0 for background.

    Example:
        >>> on_edge(np.pad([[1, 2]], ((1, 1), (1, 0)))).tolist()
        [0, 2]
    """
    edge = [labels[0], labels[-1], labels[:, 0], labels[:, -1]]
    return np.unique(np.concatenate(edge))


def _join_small(
    area: list[int], near: dict[int, dict[int, int]], min_area: float
) -> list[tuple[int, int]]:
    """Which label joins which, in this order; 0 where a label touches none.

    Args:
        area: of each label; grows by what joins.
        near: for each label that may join another, the borders with its neighbours.
        min_area: area from which on a label stays.
    """
    queue = [(area[one], one) for one in near]
    heapq.heapify(queue)
    joined = []
    while queue:
        size, one = heapq.heappop(queue)
        if size != area[one]:
            continue  # it has grown since, and is in the queue again if it is still small
        borders = near.pop(one)
        other = min(borders, key=lambda label: (-borders[label], label), default=0)
        joined.append((one, other))
        if other:
            area[other] += size
            _inherit(near, one, other, borders)
            if other in near and area[other] < min_area:
                heapq.heappush(queue, (area[other], other))
    return joined


def _inherit(
    near: dict[int, dict[int, int]], one: int, other: int, borders: dict[int, int]
) -> None:
    """Transfer the borders of a label to the label it is merged with."""
    for label, length in borders.items():
        pairs = [(other, label), (label, other)] if label != other else []
        for mine, its in pairs:
            if mine in near:
                near[mine][its] = near[mine].get(its, 0) + length
        if label in near:
            del near[label][one]


def fill_holes(labels: Labels) -> Labels:
    """Fill holes: background enclosed by a single object, the innermost one if nested.

    Only objects around a part of the background that does not reach the edge are looked at.

    Example:
        >>> ring = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]])
        >>> int(fill_holes(ring)[1, 1])
        1
    """
    filled = labels.copy()
    if not labels.any():
        return filled
    holes = _enclosed(labels)
    if not holes.any():
        return filled
    windows = enumerate(ndimage.find_objects(labels), 1)
    present = [
        (label, window) for label, window in windows if window is not None and holes[window].any()
    ]
    present.sort(key=lambda one: -labels[one[1]].size)  # a ring within another has the last word
    for label, window in present:
        body = labels[window] == label
        hole = ndimage.binary_fill_holes(body) & (labels[window] == 0)
        filled[window][hole] = label
    return filled


def _enclosed(labels: Labels) -> Mask:
    """``(H, W)`` parts of the background that do not reach the edge of the image."""
    parts, count = ndimage.label(labels == 0)
    inner = np.ones(count + 1, bool)
    inner[0] = inner[on_edge(parts)] = False
    found: Mask = inner[parts]
    return found
