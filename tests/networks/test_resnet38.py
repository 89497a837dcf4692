from itertools import pairwise

import torch
from torch import nn

from congeal.networks import ResNet38


def unit(*channels):
    """Weights of a unit: batch norm before each convolution, a shortcut where channels change."""
    kernels = (9, 9) if len(channels) == 3 else (1, 9, 1)
    pairs = list(pairwise(channels))
    body = sum(k * a * b + 2 * a for k, (a, b) in zip(kernels, pairs, strict=True))
    return body + (channels[0] * channels[-1] if channels[0] != channels[-1] else 0)


def test_the_weights_add_up_unit_by_unit():
    units = [
        unit(64, 128, 128) + 2 * unit(128, 128, 128),
        unit(128, 256, 256) + 2 * unit(256, 256, 256),
        unit(256, 512, 512) + 5 * unit(512, 512, 512),
        unit(512, 512, 1024) + 2 * unit(1024, 512, 1024),
        unit(1024, 512, 1024, 2048),
        unit(2048, 1024, 2048, 4096),
    ]
    top = 2 * 4096 + 9 * 4096 * 512 + 512
    with torch.device("meta"):
        network = ResNet38(3, {"semantic": 19})
    count = sum(p.numel() for p in network.parameters())
    assert count == 9 * 3 * 64 + sum(units) + top + 9 * 512 * 19 + 19


def test_it_has_37_convolutions_in_a_row_below_the_top():
    with torch.device("meta"):
        network = ResNet38(3, {"a": 1})
    bodies = [m for unit in network.units for m in unit.body if isinstance(m, nn.Conv2d)]
    assert 1 + len(bodies) == 37  # the 38th is the classifier, in whose place the top stands


def test_a_unit_whose_body_gives_nothing_passes_its_input_on():
    torch.manual_seed(0)
    network = ResNet38(3, {"a": 1}, width_divisor=32).eval()
    plain = [unit for unit in network.units if unit.shortcut is None]
    assert len(plain) == 2 + 2 + 5 + 2
    nn.init.zeros_(plain[0].body[-1].weight)
    x = torch.randn(1, 4, 6, 6)
    with torch.inference_mode():
        assert torch.equal(plain[0](x), x)


def test_dilation_takes_the_place_of_strides_beyond_8():
    with torch.device("meta"):
        network = ResNet38(3, {"a": 1})
    threes = [
        (m.stride[0], m.dilation[0])
        for unit in network.units
        for m in unit.body
        if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)
    ]
    assert [stride for stride, _ in threes].count(2) == 3
    assert [dilation for _, dilation in threes] == [1] * 24 + [2] * 6 + [4] * 2
