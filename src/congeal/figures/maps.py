"""Semantic maps and boundary maps as pictures and as overlays on images."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from congeal.errors import CongealError
from congeal.figures.colour import (
    RGB,
    VOID,
    check_map,
    label_colours,
    line_width,
    on_background,
    outline,
)
from congeal.figures.display import to_display

__all__ = ["LINE", "class_colours", "colour_classes", "overlay_boundary", "overlay_classes"]

LINE = (255, 80, 60)
"""Colour of boundaries."""


def class_colours(count: int) -> RGB:
    """Give the colours `(count + 1, 3)` of the background (black) and of classes 1..count.

    The colour of a class does not depend on ``count``.

    Example:
        >>> class_colours(2)[0].tolist(), class_colours(2).shape
        ([0, 0, 0], (3, 3))
    """
    return np.concatenate([np.zeros((1, 3), np.uint8), label_colours(count)])


def colour_classes(semantic: ArrayLike) -> RGB:
    """Paint a semantic map `(H, W)`: background black, void (negative) gray.

    Raises:
        CongealError: it is not a two-dimensional map of integers.

    Example:
        >>> colour_classes([[0, 1], [2, -1]])[1, 1].tolist()
        [128, 128, 128]
    """
    checked = check_map(semantic)
    picture: RGB = class_colours(int(checked.max(initial=0)))[np.maximum(checked, 0)]
    picture[checked < 0] = VOID
    return picture


def overlay_classes(
    image: ArrayLike, semantic: ArrayLike, alpha: float = 0.3, outlines: bool = True
) -> RGB:
    """Tint an image by the classes of its pixels, with lines between classes.

    Args:
        image: `(H, W)` or `(H, W, C)` with one or three channels, any number type.
        semantic: classes `(H, W)`, 0 background (not tinted), negative void (shown gray).
        alpha: strength of the tint, 0 (none) to 1 (opaque).
        outlines: draw lines between classes.

    Returns:
        The picture `(H, W, 3)`, uint8.

    Raises:
        CongealError: image and map differ in size.

    Example:
        >>> overlay_classes(np.zeros((2, 2), np.uint8), [[0, 1], [1, 1]])[0, 0].tolist()
        [0, 0, 0]
    """
    checked = check_map(semantic)
    shown, colours = _same_size(image, checked, "classes"), colour_classes(checked)
    mixed = (shown * (1 - alpha) + colours * alpha).round()
    picture: RGB = np.where((checked != 0)[..., None], mixed, shown).astype(np.uint8)
    if outlines:
        lines = outline(checked, line_width(checked.shape))
        for kind in np.unique(checked[lines]):
            line = lines & (checked == kind)
            picture[line] = on_background(colours[line][0], shown[line])
    return picture


def overlay_boundary(image: ArrayLike, boundary: ArrayLike) -> RGB:
    """Draw a boundary map over its image, with opacity equal to the boundary strength.

    Args:
        image: `(H, W)` or `(H, W, C)` with one or three channels, any number type.
        boundary: `(H, W)`, 0 (none) to 1.

    Returns:
        The picture `(H, W, 3)`, uint8.

    Raises:
        CongealError: image and map differ in size.

    Example:
        >>> overlay_boundary(np.zeros((1, 2), np.uint8), [[0, 1]]).tolist()
        [[[0, 0, 0], [255, 80, 60]]]
    """
    strength = np.asarray(boundary, np.float64)
    share = strength[..., None]
    mixed = _same_size(image, strength, "boundaries") * (1 - share) + np.array(LINE) * share
    picture: RGB = mixed.round().astype(np.uint8)
    return picture


def _same_size(image: ArrayLike, values: NDArray[np.generic], what: str) -> RGB:
    shown = to_display(image)
    if shown.shape[:2] != values.shape:
        raise CongealError(
            f"expected {what} of the image's size {shown.shape[:2]}, got {values.shape}"
        )
    return shown
