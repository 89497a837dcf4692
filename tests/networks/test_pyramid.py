"""What reaches a place of a map through the pyramids."""

import pytest
import torch

from congeal.networks.pyramid import AtrousPyramid, PyramidPooling


def reach(module, side=31):
    """Which places of the input move the middle of the output."""
    torch.manual_seed(0)
    x = torch.randn(1, 4, side, side, dtype=torch.float64, requires_grad=True)
    module.double().eval()(x)[0, :, side // 2, side // 2].sum().backward()
    return x.grad.abs().sum((0, 1)) > 1e-12


def test_the_taps_of_an_atrous_pyramid_lie_at_its_dilations():
    pyramid = AtrousPyramid(4, 8, dilations=(3, 7))
    torch.nn.init.zeros_(pyramid.whole.weight)  # without the mean of the whole map
    middle, rows = 15, reach(pyramid).nonzero().tolist()
    taps = {
        (middle + d * y, middle + d * x) for d in (3, 7) for y in (-1, 0, 1) for x in (-1, 0, 1)
    }
    assert {tuple(row) for row in rows} <= taps
    assert len(rows) > 9


@pytest.mark.parametrize("kind", [lambda: AtrousPyramid(4, 4, (2,)), lambda: PyramidPooling(4)])
def test_every_place_sees_the_whole_map(kind):
    assert reach(kind(), side=9).all()


def test_a_batch_of_one_place_is_trained_on():
    pyramid = AtrousPyramid(4, 4, (1, 2)).train()
    assert pyramid(torch.randn(1, 4, 2, 1)).shape == (1, 4, 2, 1)
