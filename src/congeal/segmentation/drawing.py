"""Drawing a result over its image: objects, overlapping ones whole, or maps."""

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
    """Draw the objects, or of a result of maps alone the classes, or else the boundaries."""
    if result.has_objects:
        return _draw_objects(result, image, alpha, outlines)
    if result.semantic is not None:
        return maps.overlay_classes(image, result.semantic, alpha, outlines)
    assert result.boundary is not None  # there is a map
    return maps.overlay_boundary(image, result.boundary)


def _draw_objects(result: Contents, image: ArrayLike, alpha: float, outlines: bool) -> colour.RGB:
    """Tint the objects and draw each one's whole outline, also where another one covers it."""
    labels = result.labels
    if result.disjoint or not outlines:
        return colour.overlay(image, labels, alpha, outlines)
    picture = colour.overlay(image, labels, alpha, outlines=False)
    colours = colour.object_colours(labels, len(result))
    ground = colour.to_display(image)
    width = colour.line_width(result.shape)
    crops = list(result.crops())
    for index in np.argsort(-result.scores, kind="stable")[::-1]:
        line = _outline(crops[index], result.shape, width)
        picture[line] = colour.on_ground(colours[index], ground[line])
    return picture


def _outline(
    crop: Crop, shape: tuple[int, int], width: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give rows and columns of the outline; a margin shows where the object ends in the image."""
    rows, columns = crop.window
    top, left = max(0, rows.start - width), max(0, columns.start - width)
    bottom, right = min(shape[0], rows.stop + width), min(shape[1], columns.stop + width)
    labels = np.zeros((bottom - top, right - left), np.int64)
    labels[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = (
        crop.mask
    )
    y, x = np.nonzero(colour.outline(labels, width))
    return y + top, x + left
