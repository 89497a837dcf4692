"""A model that is loaded on first use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from congeal.prediction.single import Model, as_segmenter
from congeal.segmentation import Segmenter
from congeal.segmentation.segmenter import request_maps

__all__ = ["LazyModel"]


@dataclass
class LazyModel:
    """The model of a run, loaded on first use: a run with nothing to do loads none.

    Pickling keeps where the model comes from, not the weights; another process loads it again.

    Args:
        model: a model, its folder, or the name of a shipped one.
        device: where a model given by path or name runs.
        settings: of the decoding of a model given by path or name.
        maps: names of maps that results must carry, of a model given by path or name.

    Example:
        >>> import congeal
        >>> LazyModel(congeal.RPE()).get().task.name
        'instances'
    """

    model: Model
    device: str = "auto"
    settings: Mapping[str, Any] | None = None
    maps: tuple[str, ...] = ()
    _loaded: Segmenter | None = None

    def get(self) -> Segmenter:
        """Give the model, loaded."""
        if self._loaded is None:
            self._loaded = as_segmenter(self.model, self.device, self.settings)
            if self._loaded is not self.model:
                request_maps(self._loaded, *self.maps)
        return self._loaded

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_loaded": None}
