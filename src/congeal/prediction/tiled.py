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

__all__ = ["Tiling", "segment_image"]

OVERLAP = 256  # pixels shown, at least, where there is none given
DIAMETERS = 4  # of the median object, that the overlap is at least


@dataclass(frozen=True)
class Tiling:
    """How an image is cut into tiles.

    Args:
        tile: side of the tiles in pixels; None: whole images where they fit in memory, else as
            large as memory allows. An image that is no larger is never cut.
        overlap: of neighbouring tiles in pixels; None: four times the diameter of the median
            object, and at least 256 pixels.

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
        """What was asked for, for the record."""
        return {name: value for name, value in vars(self).items() if value is not None}

    def prepare(self, model: Segmenter, image: Any) -> tuple[TilePlan, ImageStatistics | None]:
        """Measure an image `(H, W, C)` and lay tiles over it; one where it need not be cut.

        Raises:
            CongealError: there is not the memory for it, or tile and overlap do not fit.
        """
        size = (int(image.shape[0]), int(image.shape[1]))
        whole = TilePlan(size, max(size), 0)
        if self.is_whole(model, size):
            return whole, None
        statistics = measure_statistics(model, image) if isinstance(model, Method) else None
        shown = _shown(model, statistics)
        side = largest_tile(model, shown) if self.tile is None else self.tile
        if side >= max(size):
            return whole, None
        unit = tile_unit(model.divisor, shown) if isinstance(model, Method) else 1
        side = max(side // unit, 1) * unit
        return plan_tiles(
            size, side, self._overlap(model, statistics, side, unit), unit
        ), statistics

    def is_whole(self, model: Segmenter, size: tuple[int, int]) -> bool:
        """Whether it is plain, before anything is measured, that an image need not be cut.

        Raises:
            CongealError: it may not be cut, and there is not the memory for it.
        """
        if self.tile is not None:
            return max(size) <= self.tile
        if not isinstance(model, Method):
            check_memory(model, *size)
            return True
        shown = model.scale * (MAX_MAGNIFICATION if model.min_object_area else 1.0)
        return fits_memory(model, *size, shown)

    def _overlap(
        self, model: Segmenter, statistics: ImageStatistics | None, side: int, unit: int
    ) -> int:
        if self.overlap is not None:
            return self.overlap
        shown = _shown(model, statistics)
        area = 0.0 if statistics is None else statistics.typical_area
        wanted = max(OVERLAP / shown, DIAMETERS * math.sqrt(4 * area / math.pi))
        most = side // (4 * unit) * 2 * unit
        return min(math.ceil(wanted), most)


def _shown(model: Segmenter, statistics: ImageStatistics | None) -> float:
    """Relative size at which a model sees an image."""
    scale = model.scale if isinstance(model, Method) else 1.0
    return scale * (1.0 if statistics is None else statistics.magnification)


def segment_image(
    model: Segmenter,
    image: NDArray[Any],
    tiling: Tiling | None = None,
    on_tile: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Segmentation, Seams]:
    """Segment an image of any size.

    Args:
        model: a method, or anything that segments.
        image: `(H, W, C)`.
        tiling: tile and overlap; None: as memory says.
        on_tile: called with the number of tiles done and their count.

    Returns:
        The result, and what happened where tiles meet.

    Raises:
        CongealError: there is not the memory for it, or tile and overlap do not fit.

    Example:
        >>> import numpy as np
        >>> from congeal import RPE
        >>> segment_image(RPE(), np.zeros((20, 30, 1), np.uint8))[0].shape
        (20, 30)
    """
    plan, statistics = (tiling or Tiling()).prepare(model, image)
    total = len(plan.blocks)
    if total == 1:
        result = model.segment(image)
        return result, Seams(objects=len(result))
    with tempfile.TemporaryDirectory(prefix="congeal-") as folder:
        for number in range(total):
            on_tile(number, total)
            found = segment_block(model, image, plan, number, statistics)
            save_block(Path(folder), number, found)
        on_tile(total, total)
        return stitch(Path(folder), plan)
