"""The network's output for an image or a tile, and statistics of the whole image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from congeal.data.intensity import Bounds

__all__ = ["ImageStatistics", "MapPrediction"]


@dataclass(frozen=True)
class ImageStatistics:
    """Statistics measured once on a whole image that is predicted in tiles.

    Attributes:
        bounds: intensities that become 0 and 1, from
            :func:`congeal.data.intensity.intensity_bounds`.
        magnification: factor by which the image is enlarged because its objects are small.
        typical_area: median area of the objects in pixels; decoding removes fragments relative to
            it. 0: unknown, no fragment is removed.

    Example:
        >>> ImageStatistics([(0.0, 255.0)]).magnification
        1.0
    """

    bounds: Bounds
    magnification: float = 1.0
    typical_area: float = 0.0


@dataclass(frozen=True)
class MapPrediction:
    """The network's output for one image, before decoding.

    Attributes:
        maps: maps by name, ``(C, h, w)`` each, padded on the right and below.
        size: height and width of the image in pixels.
        stride: pixels of the image per pixel of the maps that are not at full resolution.
        scale: factor by which the image was enlarged because its objects are small.
        extra: further input of the method's decoding.
        statistics: statistics of the whole image if this is a tile; None: a whole image.
    """

    maps: Mapping[str, Tensor]
    size: tuple[int, int]
    stride: int = 1
    scale: float = 1.0
    extra: Mapping[str, Any] = field(default_factory=dict)
    statistics: ImageStatistics | None = None

    def __repr__(self) -> str:
        maps = ", ".join(f"{name} {tuple(map_.shape)}" for name, map_ in self.maps.items())
        return f"MapPrediction({self.size[0]} x {self.size[1]}: {maps})"
