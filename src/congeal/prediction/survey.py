"""Statistics of a whole image, measured once before its tiles are predicted.

Intensities are sampled over the whole image. Object sizes are measured in windows spread over the
image. The windows do not depend on the tile size, so neither do the statistics.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from congeal.data.intensity import intensity_bounds
from congeal.methods.maps import ImageStatistics
from congeal.methods.method import Method
from congeal.methods.object_size import object_magnification
from congeal.prediction.tiles import Block, plan_tiles, tile_unit

__all__ = ["is_empty", "measure_statistics"]

WINDOW, OVERLAP = 1024, 256  # pixels
LEAST, MOST = 4, 16  # non-empty windows that are measured
ENOUGH = 1000  # objects, after which no further window is measured

Areas = NDArray[Any]


def measure_statistics(model: Method, image: Any) -> ImageStatistics:
    """Measure the statistics that a model needs to predict a part of an image.

    The areas of the objects are exact for images of up to four windows of 1,024 pixels a side,
    and those of some windows beyond.

    Args:
        model: its settings say which percentiles and object sizes to measure.
        image: `(H, W, C)`, in memory or of Zarr.

    Example:
        >>> from congeal import RPE
        >>> measure_statistics(RPE(), np.arange(600).reshape(20, 30, 1)).bounds[0][0]
        5.99
    """
    sample = image if isinstance(image, np.ndarray) else image.sampled()
    plain = ImageStatistics(intensity_bounds(sample, *model.percentiles))
    grouped, estimated = _survey(model, image, plain)
    if model.min_object_area:
        larger = object_magnification(estimated, model.min_object_area, model.scale)
        if larger != 1:
            plain = replace(plain, magnification=larger)
            grouped, _ = _survey(model, image, plain)
    return replace(plain, typical_area=float(np.median(grouped))) if len(grouped) else plain


def is_empty(pixels: NDArray[Any]) -> bool:
    """Whether all pixels of a part of an image `(H, W, C)` are 0, as where nothing was recorded.

    Another value that is the same everywhere may be the middle of a large object.

    Example:
        >>> is_empty(np.zeros((2, 3, 1))), is_empty(np.ones((2, 3, 1)))
        (True, False)
    """
    return not bool(pixels.any())


def _survey(model: Method, image: Any, known: ImageStatistics) -> tuple[Areas, Areas]:
    """Areas of the objects in some windows, ``(N,)`` after grouping and ``(M,)`` estimated before.

    Areas that the model does not use are left out.
    """
    grouped, estimated = list[Areas](), list[Areas]()
    for number, (window, pixels) in enumerate(_windows(model, image), 1):
        maps = model.predict_maps(pixels, known)
        labels = model.comparable_labels(maps)
        if labels is not None:
            grouped.append(_owned_areas(labels, window))
        if model.min_object_area:
            estimated.append(model.object_areas(maps))
        used = [sum(map(len, areas)) for areas in (grouped, estimated) if areas]
        if not used or number >= MOST or (number >= LEAST and min(used) >= ENOUGH):
            break
    return _joined(grouped), _joined(estimated)


def _joined(areas: list[Areas]) -> Areas:
    return np.concatenate(areas) if areas else np.zeros(0, np.int64)


def _windows(model: Method, image: Any) -> Iterator[tuple[Block, NDArray[Any]]]:
    """Non-empty windows, in bit-reversed order, so the first ones are spread over the image."""
    unit = tile_unit(model.divisor, model.scale)
    blocks = plan_tiles(image.shape[:2], WINDOW, OVERLAP, unit).blocks
    digits = max(1, (len(blocks) - 1).bit_length())
    order = sorted(range(2**digits), key=lambda number: f"{number:0{digits}b}"[::-1])
    for block in (blocks[number] for number in order if number < len(blocks)):
        pixels = np.asarray(image[block.tile.slices])
        if not is_empty(pixels):
            yield block, pixels


def _owned_areas(labels: NDArray[Any], window: Block) -> Areas:
    """Areas of the objects whose first pixel is in the core."""
    ids, first, areas = np.unique(labels, return_index=True, return_counts=True)
    rows, columns = np.divmod(first, labels.shape[1])
    core = window.core.within(window.tile)
    owned = (ids > 0) & (core.top <= rows) & (rows < core.bottom)
    owned &= (core.left <= columns) & (columns < core.right)
    return areas[owned].astype(np.int64)
