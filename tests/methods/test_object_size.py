"""How large objects are is told by the foreground, before anything is decoded."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from congeal.methods.object_size import component_areas
from congeal.methods.rpe import RPE


def scene(side: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Squares of so many pixels a side, two of which touch."""
    foreground = torch.zeros(96, 96, dtype=torch.bool)
    touching = torch.zeros_like(foreground)
    foreground[4 : 4 + side, 4 : 4 + 2 * side] = True
    foreground[60 : 60 + side, 60 : 60 + side] = True
    touching[4 : 4 + side, 3 + side : 5 + side] = True
    return foreground, touching


@pytest.mark.parametrize("side", [10, 16, 24])
def test_touching_objects_count_one_by_one_with_their_whole_area(side: int) -> None:
    areas = component_areas(*scene(side), min_area=16)
    assert len(areas) == 3
    assert float(np.median(areas)) == pytest.approx(side**2, rel=0.1)
    assert float(areas.sum()) == pytest.approx(3 * side**2, rel=0.05)


def test_specks_are_no_objects() -> None:
    foreground, touching = scene(16)
    foreground[90:92, 10:12] = True
    assert len(component_areas(foreground, touching, min_area=16)) == 3


def test_an_image_without_foreground_has_no_areas() -> None:
    nothing = torch.zeros(8, 8, dtype=torch.bool)
    assert component_areas(nothing, nothing, min_area=1).tolist() == []


def test_maps_are_predicted_without_decoding_them(monkeypatch: pytest.MonkeyPatch) -> None:
    model = RPE(dimensions=4, coordinates="none", min_object_area=200.0)
    monkeypatch.setattr(RPE, "decode", lambda *given: pytest.fail("decoded"))
    assert model.predict_maps(np.zeros((32, 48), np.uint8)).size == (32, 48)
