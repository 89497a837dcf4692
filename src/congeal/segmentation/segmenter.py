"""What finds objects, as far as prediction and evaluation need to know."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from numpy.typing import NDArray

from congeal.segmentation.result import Segmentation

__all__ = ["Segmenter", "request_maps"]


@runtime_checkable
class Segmenter(Protocol):
    """Anything that turns an image `(H, W, C)` into a result, such as :class:`congeal.RPE`."""

    def segment(self, image: NDArray[Any]) -> Segmentation:
        """Find the objects of one image."""


def request_maps(model: Segmenter, *maps: str) -> None:
    """Let the results of a model carry maps that it makes on request only, such as ``boundary``.

    Models that make none, and maps that are no such ones, are passed over.
    """
    request = getattr(model, "request", None)
    if callable(request):
        request(*maps)
