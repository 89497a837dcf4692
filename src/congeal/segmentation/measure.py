"""Measurements of the objects of a result, vectorised over objects."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from congeal.errors import CongealError
from congeal.segmentation.contents import Contents
from congeal.segmentation.perimeter import measure_perimeters
from congeal.segmentation.scale import Scale

__all__ = ["COLUMNS", "INTENSITIES", "columns_of", "measure"]

COLUMNS = (
    "label",
    "class",
    "area",
    "perimeter",
    "circularity",
    "centroid_y",
    "centroid_x",
    "x0",
    "y0",
    "x1",
    "y1",
    "length",
    "width",
    "orientation",
    "touches_border",
    "score",
    "units",
    "pixel_size",
)
"""Names of the measurements, in the order of the columns of a CSV file.

``label``: label of the object in the label map, from 1. ``class``: class name. ``area``: in pixels
or square micrometres. ``perimeter``: as scikit-image's ``perimeter``. ``circularity``: 4 pi area /
perimeter^2, at most 1; NaN (empty in a file) if the perimeter is 0, as for a single pixel.
``centroid_y``, ``centroid_x``: relative to the centre of the upper left pixel. ``x0, y0, x1, y1``:
bounding box, always in pixels, x1 and y1 exclusive. ``length``, ``width``: axes of the ellipse with
the same second moments. ``orientation``: angle of its major axis to the x axis, counter-clockwise,
in [0, 180) degrees. ``touches_border``: whether a pixel is at the image border. ``score``: 0 to 1.
``units``: ``px`` or ``um``, of area, perimeter, centroid, length and width. ``pixel_size``:
micrometres per pixel; NaN (empty) if unknown.

With an image, :data:`INTENSITIES` of each channel are inserted before ``touches_border``.
"""

INTENSITIES = ("mean", "std", "min", "max", "sum")
"""Intensity statistics per channel: ``intensity_mean_0`` is the mean of channel 0, and so on.

Channels are those that were segmented, in their order; values are as stored in the file; ``std``
divides by the number of pixels.
"""

Column = NDArray[Any]


def columns_of(channels: int) -> tuple[str, ...]:
    """Names of the columns for an image with a given number of channels.

    Example:
        >>> columns_of(1)[14:17]
        ('intensity_mean_0', 'intensity_std_0', 'intensity_min_0')
    """
    intensities = [f"intensity_{name}_{c}" for c in range(channels) for name in INTENSITIES]
    position = COLUMNS.index("touches_border")
    return (*COLUMNS[:position], *intensities, *COLUMNS[position:])


def measure(
    result: Contents, image: ArrayLike | None = None, scale: Scale | None = None
) -> list[dict[str, Any]]:
    """Measure all objects in time linear in the number of pixels; one dictionary per object."""
    scale, count = Scale() if scale is None else scale, len(result)
    index, y, x = result.pixels()
    table = _shapes(result, index, y, x)
    for name in ("perimeter", "centroid_y", "centroid_x", "length", "width"):
        table[name] = table[name] * scale.length
    table["area"] = table["area"] * (1 if scale.units == "px" else scale.length**2)
    size = np.nan if scale.pixel_size is None else scale.pixel_size
    table |= {
        "label": np.arange(1, count + 1),
        "class": np.array([result.class_names[i - 1] for i in result.classes], object),
        "score": result.scores.astype(float).round(6),
        "units": np.full(count, scale.units, object),
        "pixel_size": np.full(count, size, float),
    }
    values = np.empty((*result.shape, 0)) if image is None else _channels(image, result.shape)
    for channel in range(values.shape[2]):
        table |= _intensities(index, values[y, x, channel], count, channel)
    names = columns_of(values.shape[2])
    rows = zip(*(table[name].tolist() for name in names), strict=True)
    return [dict(zip(names, row, strict=True)) for row in rows]


def _shapes(result: Contents, index: Column, y: Column, x: Column) -> dict[str, Column]:
    """Measurements of shape and position, in pixels."""
    area = np.bincount(index, minlength=len(result))
    centre_y, centre_x = (np.bincount(index, v, len(result)) / area for v in (y, x))
    perimeters = measure_perimeters(result)
    with np.errstate(divide="ignore"):
        circularity = np.minimum(4 * np.pi * area / perimeters**2, 1)
    boxes, (height, width) = result.boxes, result.shape
    return {
        "area": area,
        "perimeter": perimeters,
        "circularity": np.where(perimeters > 0, circularity, np.nan),
        "centroid_y": centre_y,
        "centroid_x": centre_x,
        **dict(zip(("x0", "y0", "x1", "y1"), boxes.T, strict=True)),
        **_axes(index, y - centre_y[index], x - centre_x[index], area),
        "touches_border": (boxes[:, :2] == 0).any(1) | (boxes[:, 2:] == (width, height)).any(1),
    }


def _axes(index: Column, y: Column, x: Column, area: Column) -> dict[str, Column]:
    """Ellipses with the same second moments; formulas as in scikit-image's regionprops."""
    yy, xx, xy = (np.bincount(index, values, len(area)) / area for values in (y * y, x * x, y * x))
    middle, spread = (yy + xx) / 2, np.hypot((yy - xx) / 2, xy)
    angle = np.degrees(0.5 * np.arctan2(-2 * xy, xx - yy)) % 180
    return {
        "length": 4 * np.sqrt(middle + spread),
        "width": 4 * np.sqrt(np.maximum(middle - spread, 0)),
        "orientation": np.where(angle > 180 - 1e-9, 0.0, angle),
    }


def _channels(image: ArrayLike, shape: tuple[int, int]) -> Column:
    array = np.asarray(image)
    if array.shape[:2] != shape or array.ndim not in (2, 3):
        raise CongealError(f"expected an image of size {shape}, got {array.shape}")
    return array.reshape(*shape, -1)


def _intensities(index: Column, stored: Column, count: int, channel: int) -> dict[str, Column]:
    values = stored.astype(np.float64)
    area = np.bincount(index, minlength=count)
    total = np.bincount(index, values, count)
    mean = total / area
    # Two passes: E[x^2] - E[x]^2 would cancel for large values with a small deviation.
    deviation = np.sqrt(np.bincount(index, (values - mean[index]) ** 2, count) / area)
    lowest, highest = np.full(count, np.inf), np.full(count, -np.inf)
    np.minimum.at(lowest, index, values)
    np.maximum.at(highest, index, values)
    columns = dict(zip(INTENSITIES, (mean, deviation, lowest, highest, total), strict=True))
    return {f"intensity_{name}_{channel}": column for name, column in columns.items()}
