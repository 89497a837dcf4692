"""Common base class of the RPE tasks that predict a map: boundaries and semantic."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn

from congeal.data.measures import TrainingSurvey
from congeal.methods.method import Method
from congeal.methods.rpe.semantic_network import ClassNetwork
from congeal.methods.rpe.sides import SideNetwork
from congeal.methods.suggestions import is_dark

__all__ = ["DenseTask"]


class DenseTask(Method):
    """Base class of RPE for boundary and semantic maps; no settings depend on objects."""

    name = "rpe"
    title = "Recurrent Pixel Embedding"
    reference = "Kong & Fowlkes, CVPR 2018"

    network: ClassNetwork | SideNetwork

    @classmethod
    def suggest(cls, survey: TrainingSurvey) -> dict[str, Any]:
        """Choose gamma .5 for images that are mostly dark."""
        return {"input.gamma": 0.5 if is_dark(survey) else 1.0}

    @property
    def divisor(self) -> int:
        """Number that divides the sides of the network's input."""
        return self.network.divisor

    def encoder_parameters(self) -> Iterable[nn.Parameter]:
        """Parameters that learn at the rate of the encoder."""
        return self.network.encoder.parameters()
