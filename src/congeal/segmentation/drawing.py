"""Drawing a result over its image, objects that overlap included."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from congeal.figures import colour
from congeal.segmentation.objects import Crop

if TYPE_CHECKING:
    from congeal.segmentation.result import Segmentation

__all__ = ["draw"]


def draw(result: Segmentation, image: ArrayLike, alpha: float, outlines: bool) -> colour.RGB:
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
