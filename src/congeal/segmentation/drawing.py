"""Overlays of a result on its image: objects, semantic map or boundary map."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from congeal.figures import colour, maps
from congeal.segmentation.contents import Contents
from congeal.segmentation.objects import Crop

__all__ = ["draw"]


def draw(
    result: Contents, image: ArrayLike, alpha: float = 0.3, outlines: bool = True
) -> colour.RGB:
    """Draw the objects; for a result of maps only the classes, or else the boundaries."""
    if result.has_objects:
        return _draw_objects(result, image, alpha, outlines)
    if result.semantic is not None:
        return maps.overlay_classes(image, result.semantic, alpha, outlines)
    assert result.boundary is not None  # results without objects have at least one map
    return maps.overlay_boundary(image, result.boundary)


def _draw_objects(result: Contents, image: ArrayLike, alpha: float, outlines: bool) -> colour.RGB:
    """Tint the objects and draw complete outlines, also below overlapping objects."""
    labels = result.labels
    if result.disjoint or not outlines:
        return colour.overlay(image, labels, alpha, outlines)
    picture = colour.overlay(image, labels, alpha, outlines=False)
    colours = colour.object_colours(labels, len(result))
    background = colour.to_display(image)
    width = colour.line_width(result.shape)
    crops = list(result.crops())
    for index in np.argsort(-result.scores, kind="stable")[::-1]:
        line = _outline(crops[index], result.shape, width)
        picture[line] = colour.on_background(colours[index], background[line])
    return picture


def _outline(
    crop: Crop, shape: tuple[int, int], width: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of the outline; the crop is padded, so that its edges count as outline."""
    rows, columns = crop.window
    top, left = max(0, rows.start - width), max(0, columns.start - width)
    bottom, right = min(shape[0], rows.stop + width), min(shape[1], columns.stop + width)
    labels = np.zeros((bottom - top, right - left), np.int64)
    labels[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = (
        crop.mask
    )
    y, x = np.nonzero(colour.outline(labels, width))
    return y + top, x + left
