"""A stand-in for a method: small, quick, and with every kind of state a network has."""

import sys
import types

import pytest
import torch
from torch import nn

from congeal.models import folder


class Tiny(nn.Module):
    """A method's module with the few things that saving and loading ask of it."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        if width < 1:
            raise ValueError("expected width of at least 1,\n got less")
        self.settings = {"width": width}
        self.first = nn.Conv2d(3, width, 3)
        self.norm = nn.BatchNorm2d(width)
        self.tied = nn.Conv2d(3, width, 3)
        self.tied.weight = self.first.weight

    @classmethod
    def from_settings(cls, settings: dict[str, int]) -> "Tiny":
        return cls(**settings)


@pytest.fixture
def tiny(monkeypatch):
    """The class, known to congeal as the method "tiny"."""
    module = types.ModuleType("stand_in")
    module.Tiny = Tiny
    monkeypatch.setattr(Tiny, "__module__", "stand_in")
    monkeypatch.setitem(sys.modules, "stand_in", module)
    monkeypatch.setitem(folder.METHODS, "tiny", ("stand_in", "Tiny"))
    return Tiny


@pytest.fixture
def model(tiny):
    torch.manual_seed(0)
    return tiny()
