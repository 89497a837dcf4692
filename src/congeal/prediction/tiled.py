"""Segmenting one image of any size: whole where it fits in memory, else in tiles.

Flow: image -> statistics of the whole (``survey``) -> plan of tiles (``tiles``) -> the objects of
each tile (``blocks``) -> which of them are one (``seams``) -> one result (``stitching``).
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from congeal.data.rescale import MAX_MAGNIFICATION
from congeal.data.resized import ResizedImage
from congeal.errors import CongealError
from congeal.methods.maps import ImageStatistics
from congeal.methods.method import Method
from congeal.prediction.blocks import save_block, segment_block
from congeal.prediction.memory import check_memory, fits_memory, largest_tile
from congeal.prediction.seams import Seams
from congeal.prediction.stitching import stitch
from congeal.prediction.survey import measure_statistics
from congeal.prediction.tiles import TilePlan, plan_tiles, tile_unit
from congeal.segmentation import Segmentation, Segmenter
from congeal.segmentation.resize import resize_result

__all__ = ["Tiling", "restore_size", "segment_image", "segment_whole"]

OVERLAP = 256  # least default overlap, in pixels of the network's input
DIAMETERS = 4  # least overlap in diameters of the median object
REACH = 224  # pixels of the network's input around a core; further ones hardly count
AMPLE = 1536  # side of the network's input from which on few objects are near the edge of a tile


@dataclass(frozen=True)
class Tiling:
    """How an image is cut into tiles.

    Args:
        tile: side of the tiles in pixels; None: whole images where they fit in memory, else as
            large as memory allows. An image that is no larger is never cut.
        overlap: of neighbouring tiles in pixels; None: four times the diameter of the median
            object, and at least 256 pixels. Around tiles under 1,536 pixels the network then
            sees a context too, so that the result hardly depends on their size.

    Raises:
        CongealError: one of them makes no sense.

    Example:
        >>> Tiling(tile=512).facts()
        {'tile': 512}
    """

    tile: int | None = None
    overlap: int | None = None

    def __post_init__(self) -> None:
        for name, value, least in (("tile", self.tile, 1), ("overlap", self.overlap, 0)):
            if value is not None and value < least:
                raise CongealError(
                    f"expected pixels from {least} up for --{name} ({name}= in Python), got {value}"
                )

    def facts(self) -> dict[str, Any]:
        """The values that were given, for the record."""
        return {name: value for name, value in vars(self).items() if value is not None}

    def prepare(self, model: Segmenter, image: Any) -> tuple[TilePlan, ImageStatistics | None]:
        """Measure an image `(H, W, C)` and plan its tiles; a single tile where it fits whole.

        Raises:
            CongealError: there is not enough memory, or tile and overlap do not fit.
        """
        size = (int(image.shape[0]), int(image.shape[1]))
        whole = TilePlan(size, max(size), 0)
        if self.is_whole(model, size):
            return whole, None
        statistics = measure_statistics(model, image) if isinstance(model, Method) else None
        shown = _relative_size(model, statistics)
        side = largest_tile(model, shown) if self.tile is None else self.tile
        if side >= max(size):
            return whole, None
        unit = tile_unit(model.divisor, shown) if isinstance(model, Method) else 1
        side = max(side // unit, 1) * unit
        if self.overlap is not None:
            return plan_tiles(size, side, self.overlap, unit), statistics
        area = 0.0 if statistics is None else statistics.typical_area
        diameter = math.sqrt(4 * area / math.pi)
        if self.tile is not None and self.tile < diameter:
            raise CongealError(
                f"expected tiles larger than the objects, whose median diameter is {diameter:.0f} "
                f"pixels, for --tile (tile= in Python), got {self.tile}"
            )
        least = max(OVERLAP / shown, DIAMETERS * diameter)
        reach = REACH / shown if side * shown < AMPLE else 0.0
        side, overlap, context = _fit(side, math.ceil(least), reach, unit, self.tile is not None)
        return plan_tiles(size, side, overlap, unit, context), statistics

    def is_whole(self, model: Segmenter, size: tuple[int, int]) -> bool:
        """Whether an image is segmented whole, decided before anything is measured.

        Raises:
            CongealError: the model cannot work in tiles, and there is not enough memory.
        """
        if self.tile is not None:
            return max(size) <= self.tile
        if not isinstance(model, Method):
            check_memory(model, *size)
            return True
        shown = model.scale * (MAX_MAGNIFICATION if model.min_object_area else 1.0)
        return fits_memory(model, *size, shown)


def _fit(side: int, overlap: int, reach: float, unit: int, given: bool) -> tuple[int, int, int]:
    """Side, overlap and context of tiles; a side that is not given holds the context."""
    overlap = min(overlap, side // (4 * unit) * 2 * unit)
    context = math.ceil(max(reach - overlap / 2, 0) / unit) * unit
    if given:
        return side, overlap, context
    context = min(context, side // (8 * unit) * unit)
    side -= 2 * context
    return side, min(overlap, side // (4 * unit) * 2 * unit), context


def _relative_size(model: Segmenter, statistics: ImageStatistics | None) -> float:
    """Size of the network's input relative to the image."""
    scale = model.scale if isinstance(model, Method) else 1.0
    return scale * (1.0 if statistics is None else statistics.magnification)


def segment_image(
    model: Segmenter,
    image: NDArray[Any],
    tiling: Tiling | None = None,
    on_tile: Callable[[int, int], None] = lambda done, total: None,
    factor: float = 1.0,
) -> tuple[Segmentation, Seams]:
    """Segment an image of any size.

    Args:
        model: a method, or anything that segments.
        image: `(H, W, C)`.
        tiling: tile and overlap; None: as memory says.
        on_tile: called with the number of finished tiles and the total.
        factor: by how much the image is resized before anything else, as of
            :func:`congeal.models.pixel_size.resize_factor`; tile and overlap count its pixels then.

    Returns:
        The result, and the seam report.

    Raises:
        CongealError: there is not enough memory, or tile and overlap do not fit.

    Example:
        >>> import numpy as np
        >>> from congeal import RPE
        >>> segment_image(RPE(), np.zeros((20, 30, 1), np.uint8))[0].shape
        (20, 30)
    """
    size = (int(image.shape[0]), int(image.shape[1]))
    shown = image if factor == 1 else ResizedImage(image, factor)
    plan, statistics = (tiling or Tiling()).prepare(model, shown)
    total = len(plan.blocks)
    if total == 1:
        return segment_whole(model, shown, size)
    with tempfile.TemporaryDirectory(prefix="congeal-") as folder:
        for number in range(total):
            on_tile(number, total)
            found = segment_block(model, shown, plan, number, statistics)
            save_block(Path(folder), number, found)
        on_tile(total, total)
        return restore_size(stitch(Path(folder), plan), size)


def segment_whole(
    model: Segmenter, image: NDArray[Any] | ResizedImage, size: tuple[int, int]
) -> tuple[Segmentation, Seams]:
    """Segment an image in one piece, and give the result at the size wanted."""
    pixels = image.pixels() if isinstance(image, ResizedImage) else image
    result = model.segment(pixels)
    return restore_size((result, Seams(objects=len(result))), size)


def restore_size(
    found: tuple[Segmentation, Seams], size: tuple[int, int]
) -> tuple[Segmentation, Seams]:
    """Bring the result of a resized image, and its seams, to the size of the image itself."""
    result, seams = found
    if result.shape == size:
        return found
    resized = resize_result(result, size)
    return resized, seams.resized(result.shape, size, len(resized))
