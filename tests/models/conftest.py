"""A stand-in for a method: small, quick, and with every kind of state a network has."""

import pytest
import torch
from torch import nn

from congeal.methods import MapPrediction, Method, registry
from congeal.methods.sections import MethodSettings
from congeal.segmentation import Segmentation
from congeal.settings import setting


class TinySettings(MethodSettings):
    """Settings of the stand-in."""

    width: int = setting(4, "channels", ge=1)
    level: float = setting(0.5, "least brightness of an object", ge=0, le=1, adjustable=True)


class Tiny(Method):
    """What is bright is an object."""

    name = "tiny"
    title = "Tiny"
    reference = "none"
    Config = TinySettings
    tasks = ("instances",)
    variable_buffers = ("seen",)

    def __init__(self, config=None, **settings):
        super().__init__(config, **settings)
        self.first = nn.Conv2d(3, self.config.width, 3)
        self.norm = nn.BatchNorm2d(self.config.width)
        self.tied = nn.Conv2d(3, self.config.width, 3)
        self.tied.weight = self.first.weight
        self.register_buffer("seen", torch.zeros(0, 2))

    def losses(self, batch, *, stage="training", progress=1.0, generator=None):
        return {"size": self.first(batch.image).square().mean()}

    def compute_maps(self, image):
        bright = torch.from_numpy(image.astype("float32")).reshape(*image.shape[:2], -1).mean(-1)
        return MapPrediction({"bright": bright[None]}, image.shape[:2])

    def decode(self, maps, *, keep_embedding=False):
        return Segmentation.from_labels((maps.maps["bright"][0] > self.config.level).long().numpy())


class Registered:
    """What a package's entry point would be."""

    value, module, attr = "stand_in:Tiny", "stand_in", "Tiny"

    def load(self):
        return Tiny


@pytest.fixture
def tiny(monkeypatch):
    """The class, known to congeal as the method "tiny"."""
    points = {**registry._points(), "tiny": Registered()}
    monkeypatch.setattr(registry, "_points", lambda: points)
    return Tiny


@pytest.fixture
def model(tiny):
    torch.manual_seed(0)
    return tiny()
