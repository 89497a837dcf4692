"""Values that start from the place of a pixel."""

import math

import pytest
import torch

from congeal.methods.dvis.config import DVISNetwork
from congeal.methods.dvis.network import GATE, SLOPE, UNIT, PositionHead, ValueNetwork


def head(channels=2, stride=2):
    torch.manual_seed(0)
    return PositionHead(8, channels, stride)


def test_pixels_that_look_alike_differ_by_their_place_alone():
    values = head().parts(torch.ones(1, 8, 6, 7))[1][0]
    step = 2 * SLOPE / UNIT
    for channel, along in ((0, 1), (1, 0)):  # columns, then rows
        grows, rests = values[channel].diff(dim=along), values[channel].diff(dim=1 - along)
        assert torch.allclose(grows, torch.full_like(grows, step), atol=1e-5)
        assert torch.allclose(rests, torch.zeros_like(rests), atol=1e-5)


def test_a_single_number_grows_along_both_axes():
    values = head(channels=1).parts(torch.ones(1, 8, 6, 7))[1][0, 0]
    step = 2 * SLOPE / UNIT
    assert values.diff(dim=0).mean().item() == pytest.approx(step * math.sin(0.5), rel=1e-4)
    assert values.diff(dim=1).mean().item() == pytest.approx(step * math.cos(0.5), rel=1e-4)


def test_what_grows_with_the_place_does_not_learn():
    network = ValueNetwork(DVISNetwork(channels=2))
    network(torch.rand(2, 3, 64, 64)).values.square().mean().backward()
    place = network.body.heads["value"].place.weight
    assert place.grad is None
    assert not place.requires_grad
    assert network.body.heads["value"].foreground.weight.grad is not None


def test_at_the_start_all_values_of_a_small_image_are_below_zero():
    torch.manual_seed(0)
    values = ValueNetwork(DVISNetwork()).eval()(torch.rand(1, 3, 32, 32)).values
    assert values.max() < 0


def test_a_far_corner_is_background_where_the_foreground_value_says_so():
    torch.manual_seed(0)
    output = ValueNetwork(DVISNetwork(channels=3)).eval()(torch.rand(1, 3, 64, 64))
    shut = output.foreground < GATE
    assert torch.equal((output.values < GATE), shut.expand(-1, 3, -1, -1))
    assert output.grown[..., -1, -1].min() > GATE


def test_without_positions_the_values_decide_what_is_background():
    output = ValueNetwork(DVISNetwork(coordinates="none")).eval()(torch.rand(1, 3, 64, 64))
    assert output.foreground is None
    assert output.grown is None


@pytest.mark.parametrize(("features", "stride"), [("decoder", 2), ("encoder", 8)])
def test_features_for_the_verification_are_those_asked_for(features, stride):
    network = ValueNetwork(DVISNetwork(features=features)).eval()
    found = network(torch.rand(1, 3, 64, 96)).features
    assert network.feature_stride == stride
    assert tuple(found.shape) == (1, network.feature_channels, 64 // stride, 96 // stride)
