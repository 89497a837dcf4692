"""What can be measured on every object of a result, all objects at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from congeal.errors import CongealError
from congeal.segmentation.contents import Contents

__all__ = ["COLUMNS", "measure"]

COLUMNS = (
    "label",
    "class",
    "score",
    "area",
    "centroid_y",
    "centroid_x",
    "x0",
    "y0",
    "x1",
    "y1",
    "length",
    "width",
    "orientation",
    "mean_intensity",
)
"""Names of the measurements, in the order of the columns of a CSV file.

Lengths are in pixels. ``length`` and ``width`` are the axes of the ellipse with the same second
moments; ``orientation`` is the angle of its long axis from the x axis, counter-clockwise as
seen, from 0 up to 180 degrees; ``mean_intensity`` averages the channels and is left out when no
image is given.
"""

Column = NDArray[Any]


def _axes(index: Column, y: Column, x: Column, area: Column) -> dict[str, Column]:
    """Fit ellipses by second moments; the formulas are those of scikit-image's regionprops."""
    yy, xx, xy = (np.bincount(index, values, len(area)) / area for values in (y * y, x * x, y * x))
    middle, spread = (yy + xx) / 2, np.hypot((yy - xx) / 2, xy)
    angle = np.degrees(0.5 * np.arctan2(-2 * xy, xx - yy)) % 180
    return {
        "length": 4 * np.sqrt(middle + spread),
        "width": 4 * np.sqrt(np.maximum(middle - spread, 0)),
        "orientation": np.where(angle > 180 - 1e-9, 0.0, angle),
    }


def _intensity(image: ArrayLike, shape: tuple[int, int]) -> NDArray[np.float64]:
    array = np.asarray(image)
    if array.shape[:2] != shape or array.ndim not in (2, 3):
        raise CongealError(f"expected an image of size {shape}, got {array.shape}")
    gray: NDArray[np.float64] = array.reshape(*shape, -1).mean(-1, dtype=np.float64)
    return gray


def measure(result: Contents, image: ArrayLike | None = None) -> list[dict[str, Any]]:
    """Measure every object from the list of all pixels, in time linear in their number."""
    index, y, x = result.pixels()
    area = np.bincount(index, minlength=len(result))
    centre_y, centre_x = (np.bincount(index, v, len(result)) / area for v in (y, x))
    table: dict[str, Column] = {
        "label": np.arange(1, len(result) + 1),
        "class": np.array([result.class_names[i - 1] for i in result.classes], object),
        "score": result.scores.astype(float).round(6),
        "area": area,
        "centroid_y": centre_y,
        "centroid_x": centre_x,
        **dict(zip(("x0", "y0", "x1", "y1"), result.boxes.T, strict=True)),
        **_axes(index, y - centre_y[index], x - centre_x[index], area),
    }
    if image is not None:
        values = _intensity(image, result.shape)[y, x]
        table["mean_intensity"] = np.bincount(index, values, len(result)) / area
    rows = zip(*(column.tolist() for column in table.values()), strict=True)
    return [dict(zip(table, row, strict=True)) for row in rows]
