import copy

import pytest
import torch
from torch import nn

from congeal.networks.blocks import ConvNorm, Residual, freeze_batch_norm, upsample_to


@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (1, 2), (1, 4)])
def test_blocks_keep_the_size_up_to_the_stride(stride, dilation):
    x = torch.zeros(2, 3, 16, 24)
    for block in (ConvNorm(3, 5, 3, stride, dilation), Residual(3, 5, stride, dilation)):
        assert block(x).shape == (2, 5, 16 // stride, 24 // stride)


def test_a_residual_block_of_equal_channels_has_a_plain_shortcut():
    block = Residual(4, 4)
    with torch.no_grad():
        for parameter in block.body.parameters():
            parameter.zero_()
    x = torch.rand(1, 4, 5, 5)
    assert torch.equal(block(x), x)


def test_frozen_batch_norm_stays_frozen_through_train():
    network = freeze_batch_norm(nn.Sequential(ConvNorm(3, 4), Residual(4, 4)))
    network.train()
    before = copy.deepcopy(network.state_dict())
    loss = network(torch.randn(4, 3, 8, 8)).square().sum()
    loss.backward()
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms
    assert not any(norm.training for norm in norms)
    assert all(p.grad is None for norm in norms for p in norm.parameters())
    after = network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_frozen_batch_norm_is_still_copied_and_saved():
    network = freeze_batch_norm(nn.Sequential(ConvNorm(3, 4))).eval()
    twin = nn.Sequential(ConvNorm(3, 4)).eval()
    twin.load_state_dict(network.state_dict())
    x = torch.randn(1, 3, 6, 6)
    assert torch.equal(copy.deepcopy(network)(x), network(x))
    assert torch.equal(twin(x), network(x))


def test_pixels_are_repeated_to_the_size_wanted():
    x = torch.arange(4.0).reshape(1, 1, 2, 2)
    assert upsample_to(x, torch.zeros(1, 9, 4, 4))[0, 0, 1].tolist() == [0, 0, 1, 1]
    assert upsample_to(x, torch.zeros(1, 9, 2, 2)) is x
