"""Resizing of results, for example of a resized image to the size of the original image."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from congeal.segmentation.maps import Maps
from congeal.segmentation.objects import Crop, LabelObjects, ObjectMasks, objects_from_crops
from congeal.segmentation.result import Segmentation

__all__ = ["resize_labels", "resize_result"]

BAND = 256  # rows computed at once

Axis = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]


def resize_result(result: Segmentation, size: tuple[int, int]) -> Segmentation:
    """Resize a result.

    Objects that have no pixel left are dropped, with their scores and classes. The embedding is
    dropped. Contours keep their strengths: the regions between them are resized.

    Args:
        result: any size.
        size: target height and width.

    Example:
        >>> small = Segmentation.from_labels([[1, 0], [0, 2]], scores=[0.5, 0.25])
        >>> resize_result(small, (4, 4)).labels[0].tolist()
        [1, 1, 0, 0]
    """
    if result.disjoint:
        labels = resize_labels(result.labels_as(np.int32), size)
        there = np.bincount(labels.ravel(), minlength=len(result) + 1)[1:] > 0
        objects: ObjectMasks = LabelObjects(labels, len(result))
        objects = objects if there.all() else objects.select(np.flatnonzero(there))
    else:
        crops = [_resize_crop(crop, result.shape, size) for crop in result.crops()]
        there = np.array([crop is not None for crop in crops], bool)
        objects = objects_from_crops([crop for crop in crops if crop is not None], size)
    return Segmentation(
        objects,
        result.scores[there],
        result.classes[there],
        result.class_names,
        None,
        _resize_maps(result.maps, size),
        result.has_objects,
    )


def resize_labels(
    labels: Any, size: tuple[int, int], window: tuple[slice, slice] | None = None
) -> NDArray[np.int32]:
    """Resize a label map, or a part of it, with interpolated outlines.

    Each pixel gets the label with the largest weight among the four nearest pixels, weighted as
    for linear interpolation. Of labels with equal weights, an object wins over the background.

    Args:
        labels: ``(H, W)``, an array or anything whose slices are arrays.
        size: target height and width of the whole map.
        window: rows and columns to return; None: all.

    Example:
        >>> resize_labels(np.array([[1, 0, 0, 2]]), (2, 2)).tolist()
        [[1, 2], [1, 2]]
    """
    rows, columns = window or (slice(0, size[0]), slice(0, size[1]))
    across = _neighbours(columns, labels.shape[1], size[1])
    found = np.empty((rows.stop - rows.start, columns.stop - columns.start), np.int32)
    left, right = int(across[0].min()), int(across[1].max()) + 1
    across = across[0] - left, across[1] - left, across[2]
    for top in range(rows.start, rows.stop, BAND):
        band = slice(top, min(top + BAND, rows.stop))
        upper, lower, share = _neighbours(band, labels.shape[0], size[0])
        part = np.asarray(labels[int(upper.min()) : int(lower.max()) + 1, left:right])
        down = upper - upper.min(), lower - upper.min(), share
        found[band.start - rows.start : band.stop - rows.start] = _vote(part, down, across)
    return found


def _neighbours(part: slice, before: int, after: int) -> Axis:
    """For each target pixel along one axis: both nearest source pixels, weight of the second."""
    at = (np.arange(part.start, part.stop) + 0.5) * (before / after) - 0.5
    first = np.floor(at).astype(np.int64)
    share = (at - first).astype(np.float32)
    return first.clip(0, before - 1), (first + 1).clip(0, before - 1), share


def _vote(labels: NDArray[Any], down: Axis, across: Axis) -> NDArray[Any]:
    upper, lower, y = down
    left, right, x = across
    places = [(row, column) for row in (upper, lower) for column in (left, right)]
    candidates = [labels[row[:, None], column] for row, column in places]
    shares = [a[:, None] * b for a in (1 - y, y) for b in (1 - x, x)]
    best, most = candidates[0], np.full(candidates[0].shape, -1, np.float32)
    for one in candidates:
        votes = sum((other == one) * share for other, share in zip(candidates, shares, strict=True))
        votes = votes + np.float32(1e-6) * (one > 0)
        best = np.where(votes > most, one, best)
        most = np.maximum(votes, most)
    return best


def _resize_crop(crop: Crop, before: tuple[int, int], after: tuple[int, int]) -> Crop | None:
    """Resize an object; None if it has no pixel left."""
    window = tuple(
        slice(
            max(int((part.start - 1) * new / old), 0),
            min(int((part.stop + 1) * new / old) + 1, new),
        )
        for part, old, new in zip(crop.window, before, after, strict=True)
    )
    mask = resize_labels(_Placed(crop, before), after, (window[0], window[1])) > 0
    if not mask.any():
        return None
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    inside = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    return Crop(window[0].start + int(rows[0]), window[1].start + int(columns[0]), mask[inside])


class _Placed:
    """The label map of one object, computed only for the windows that are read."""

    def __init__(self, crop: Crop, shape: tuple[int, int]) -> None:
        self.crop, self.shape = crop, shape

    def __getitem__(self, window: tuple[slice, slice]) -> NDArray[np.bool_]:
        rows, columns = window
        made = np.zeros((rows.stop - rows.start, columns.stop - columns.start), bool)
        height, width = self.crop.mask.shape
        top, left = self.crop.top - rows.start, self.crop.left - columns.start
        inside = made[max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)]
        y, x = max(-top, 0), max(-left, 0)
        inside[:] = self.crop.mask[y : y + inside.shape[0], x : x + inside.shape[1]]
        return made


def _resize_maps(maps: Maps, size: tuple[int, int]) -> Maps:
    semantic = None if maps.semantic is None else resize_labels(maps.semantic, size)
    probs, boundary = maps.probabilities, maps.boundary
    contours = None if maps.contours is None else _resize_contours(maps.contours, size)
    if boundary is not None:
        drawn = maps.contours is not None and np.array_equal(boundary, maps.contours[2::2, 2::2])
        thin = contours[2::2, 2::2].copy() if drawn and contours is not None else None
        boundary = _interpolate(boundary, size) if thin is None else thin
    return Maps(
        None if semantic is None else semantic.astype(np.int64),
        None if probs is None else np.stack([_interpolate(one, size) for one in probs]),
        boundary,
        contours,
    )


def _resize_contours(contours: NDArray[Any], size: tuple[int, int]) -> NDArray[np.float32]:
    from congeal.grouping.contours import RegionHierarchy, hierarchy_of_contours  # slow to import

    found = hierarchy_of_contours(contours)
    regions = resize_labels(found.regions, size).astype(np.int64)
    return RegionHierarchy(regions, found.merges).contours().astype(np.float32)


def _interpolate(plane: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    shaped = torch.from_numpy(np.ascontiguousarray(plane))[None, None]
    found = functional.interpolate(shaped, size, mode="bilinear", align_corners=False)
    return np.asarray(found[0, 0].numpy())
