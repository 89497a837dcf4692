"""A small method, quick, and with every kind of state a network has."""

import pytest
import torch
from cases.registered import register
from torch import nn

from congeal.methods.method import MapPrediction, Method
from congeal.methods.sections import MethodSettings
from congeal.segmentation import Segmentation
from congeal.settings import setting


class TinyConfig(MethodSettings):
    width: int = setting(4, "channels")


class Tiny(Method):
    """Two convolutions with one weight, and a norm."""

    name, title, reference, Config, tasks = "tiny", "Tiny", "none", TinyConfig, ("instances",)

    def __init__(self, config=None, **settings) -> None:
        super().__init__(config, **settings)
        width = self.config.width
        if width < 1:
            raise ValueError("expected width of at least 1,\n got less")
        self.first = nn.Conv2d(3, width, 3)
        self.norm = nn.BatchNorm2d(width)
        self.tied = nn.Conv2d(3, width, 3)
        self.tied.weight = self.first.weight

    def losses(self, batch, *, stage="training", progress=1.0, generator=None):
        return {"size": self.first(batch.image).square().mean()}

    def compute_maps(self, image, statistics=None):
        return MapPrediction({}, image.shape[:2])

    def decode(self, maps, *, keep_embedding=False):
        return Segmentation.from_labels(torch.zeros(maps.size, dtype=torch.int64).numpy())


@pytest.fixture
def tiny(monkeypatch):
    """The class, known to congeal as the method "tiny"."""
    register(monkeypatch, Tiny)
    return Tiny


@pytest.fixture
def model(tiny):
    torch.manual_seed(0)
    return tiny()
