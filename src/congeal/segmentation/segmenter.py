"""What finds objects, as far as prediction and evaluation need to know."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from numpy.typing import NDArray

from congeal.segmentation.result import Segmentation

__all__ = ["Segmenter"]


@runtime_checkable
class Segmenter(Protocol):
    """Anything that turns an image `(H, W, C)` into a result, such as :class:`congeal.RPE`."""

    def segment(self, image: NDArray[Any]) -> Segmentation:
        """Find the objects of one image."""
