"""Values that start from the place of a pixel."""

import math

import pytest
import torch

from congeal.methods.dvis.config import DVISNetwork
from congeal.methods.dvis.network import SLOPE, UNIT, PositionHead, ValueNetwork


def values_of(presence, channels=2):
    """Of pixels that all look alike."""
    torch.manual_seed(0)
    head = PositionHead(8, channels, stride=2)
    for part in (head.direct, head.presence):
        torch.nn.init.zeros_(part.weight)
        torch.nn.init.zeros_(part.bias)
    torch.nn.init.constant_(head.presence.bias, presence)
    return head(torch.ones(1, 8, 6, 7))[0].detach()


def test_pixels_of_objects_that_look_alike_differ_by_their_place():
    values = values_of(2.0)
    step = 2 * SLOPE / UNIT
    for channel, along in ((0, 1), (1, 0)):  # columns, then rows
        grows, rests = values[channel].diff(dim=along), values[channel].diff(dim=1 - along)
        assert torch.allclose(grows, torch.full_like(grows, step), atol=1e-5)
        assert torch.allclose(rests, torch.zeros_like(rests), atol=1e-5)


def test_a_single_number_grows_along_both_axes():
    values = values_of(2.0, channels=1)[0]
    step = 2 * SLOPE / UNIT
    assert values.diff(dim=0).mean().item() == pytest.approx(step * math.sin(0.5), rel=1e-4)
    assert values.diff(dim=1).mean().item() == pytest.approx(step * math.cos(0.5), rel=1e-4)


@pytest.mark.parametrize("presence", [-3.0, 0.0, 0.9])
def test_background_hears_nothing_of_the_place(presence):
    assert torch.equal(values_of(presence), torch.full((2, 6, 7), presence))


def test_what_grows_with_the_place_does_not_learn():
    network = ValueNetwork(DVISNetwork(channels=2))
    head = network.body.heads["value"]
    torch.nn.init.constant_(head.presence.bias, 3.0)
    network(torch.rand(2, 3, 64, 64)).values.square().mean().backward()
    assert head.place.weight.grad is None
    assert not head.place.weight.requires_grad
    assert head.presence.weight.grad is not None
    assert head.direct.weight.grad.abs().sum() > 0
