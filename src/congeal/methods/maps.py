"""What a network says of an image or a part of it, and what is known of the whole image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from congeal.data.intensity import Bounds

__all__ = ["ImageStatistics", "MapPrediction"]


@dataclass(frozen=True)
class ImageStatistics:
    """What is measured once on a whole image, for each part of it that is predicted by itself.

    Attributes:
        bounds: intensities that become 0 and 1, of
            :func:`congeal.data.intensity.intensity_bounds`.
        magnification: by how much the image is enlarged for its small objects.
        typical_area: median area of the objects in pixels, that decoding compares others with;
            0: not known, so that no object is taken for a fragment of another.

    Example:
        >>> ImageStatistics([(0.0, 255.0)]).magnification
        1.0
    """

    bounds: Bounds
    magnification: float = 1.0
    typical_area: float = 0.0


@dataclass(frozen=True)
class MapPrediction:
    """What the network says of one image, before it is decoded.

    Attributes:
        maps: by name, ``(C, h, w)`` each, without a batch; padding at the right and below.
        size: height and width of the image, in pixels.
        stride: pixels of the image per pixel of maps that are not at full resolution.
        scale: by how much the image was enlarged for its small objects.
        extra: what a method wants to hand to its decoding beside maps.
        statistics: of the whole image where this is a part of one; None: it is all there is.
    """

    maps: Mapping[str, Tensor]
    size: tuple[int, int]
    stride: int = 1
    scale: float = 1.0
    extra: Mapping[str, Any] = field(default_factory=dict)
    statistics: ImageStatistics | None = None

    def __repr__(self) -> str:
        maps = ", ".join(f"{name} {tuple(one.shape)}" for name, one in self.maps.items())
        return f"MapPrediction({self.size[0]} x {self.size[1]}: {maps})"
