"""What a method's network says of an image, handed from prediction to decoding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

__all__ = ["MapPrediction"]


@dataclass(frozen=True)
class MapPrediction:
    """What the network says of one image, before it is decoded.

    Attributes:
        maps: by name, ``(C, h, w)`` each, without a batch; padding at the right and below.
        size: height and width of the image, in pixels.
        stride: pixels of the image per pixel of maps that are not at full resolution.
        scale: by how much the image was enlarged for its small objects.
        extra: what a method wants to hand to its decoding beside maps.
    """

    maps: Mapping[str, Tensor]
    size: tuple[int, int]
    stride: int = 1
    scale: float = 1.0
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        maps = ", ".join(f"{name} {tuple(one.shape)}" for name, one in self.maps.items())
        return f"MapPrediction({self.size[0]} x {self.size[1]}: {maps})"
