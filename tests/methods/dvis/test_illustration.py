"""The pictures of a report show what they name."""

import numpy as np
import torch

from congeal.methods import MapPrediction
from congeal.methods.dvis import DVIS
from congeal.methods.dvis.illustration import draw_levels, draw_values


def scene(values):
    features = torch.zeros(8, 8, 8)
    return MapPrediction({"values": torch.tensor(values)[None], "features": features}, (64, 64), 2)


def two_objects():
    values = np.zeros((32, 32), np.float32)
    values[2:10, 2:10], values[16:28, 16:28] = 2.0, 5.0
    return values


def test_equal_steps_of_the_value_look_equal():
    ramp = draw_values(np.linspace(0, 3, 64)[None, None].repeat(4, 1))
    brightness = ramp[0].astype(float) @ [0.3, 0.6, 0.1]
    assert (np.diff(brightness) > 0).mean() > 0.9
    assert ramp.shape == (4, 64, 3)


def test_several_numbers_are_colours_and_background_is_black():
    values = np.random.default_rng(0).random((3, 6, 7)).astype(np.float32)
    values[:, 0] = 0
    picture = draw_values(values)
    assert not picture[0].any()
    assert picture[1:].any(-1).all()


def test_the_levels_of_an_empty_map_are_drawn_too():
    assert draw_levels(np.zeros((1, 4, 4)), (0.9, 0.4), 1.0).ndim == 3


def test_rejected_candidates_are_counted_apart():
    torch.manual_seed(0)
    model = DVIS(verification_width=8, min_area=4)
    image, maps = np.zeros((64, 64, 3), np.uint8), scene(two_objects())
    titles = [title for title, _ in model._picture_steps(image, maps)]
    assert titles[:4] == ["value map", "levels", "bandwidth 0.9", "bandwidth 0.4"]
    assert titles[-2:] == ["accepted: 2", "rejected: 0"]
    model.verified.fill_(True)
    titles = [title for title, _ in model.configure(min_score=0.99)._picture_steps(image, maps)]
    assert titles[-2:] == ["accepted: 0", "rejected: 2"]
