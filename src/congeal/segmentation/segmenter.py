"""The interface of models that prediction and evaluation need."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from numpy.typing import NDArray

from congeal.segmentation.result import Segmentation

__all__ = ["Segmenter", "request_maps"]


@runtime_checkable
class Segmenter(Protocol):
    """A model that segments an image `(H, W, C)`, such as :class:`congeal.RPE`."""

    def segment(self, image: NDArray[Any]) -> Segmentation:
        """Segment one image."""


def request_maps(model: Segmenter, *maps: str) -> None:
    """Request maps that a model computes on request only, such as ``boundary``.

    Ignored by models without such maps; unknown maps are ignored too.
    """
    request = getattr(model, "request", None)
    if callable(request):
        request(*maps)
