"""The balanced logistic loss against a loop over pixels in float64."""

import math

import pytest
import torch

from congeal.errors import CongealError
from congeal.losses import BalancedLogisticLoss, balanced_logistic_loss


def slow(logits, target, balance):
    """Mean over images of weighted means, pixel by pixel."""
    means = []
    for x_image, y_image in zip(logits.tolist(), target.tolist(), strict=True):
        pixels = [(x, y) for x, y in zip(x_image, y_image, strict=True) if y >= 0]
        ones = sum(y for _, y in pixels)
        zeros = len(pixels) - ones
        ratio = (zeros / ones) ** balance if ones and zeros else 1.0
        weights = [ratio if y else 1.0 for _, y in pixels]
        losses = [math.log1p(math.exp(-x if y else x)) for x, y in pixels]
        if pixels:
            means.append(sum(w * v for w, v in zip(weights, losses, strict=True)) / sum(weights))
    return sum(means) / max(len(means), 1)


@pytest.mark.parametrize("balance", [0.0, 0.4, 1.0])
def test_it_is_the_weighted_mean_over_the_pixels_of_each_image(balance):
    chance = torch.Generator().manual_seed(0)
    logits = torch.randn(5, 40, generator=chance, dtype=torch.float64)
    target = torch.randint(-1, 2, (5, 40), generator=chance)
    target[1], target[2], target[3] = 0, 1, -1
    found = balanced_logistic_loss(logits, target, balance=balance)
    assert float(found) == pytest.approx(slow(logits, target, balance), rel=1e-12)


def test_gradients_agree_with_differences():
    logits = torch.randn(2, 6, dtype=torch.float64, requires_grad=True)
    target = torch.tensor([[1, 0, 0, -1, 0, 0], [1, 1, 0, 0, 0, -1]])
    assert torch.autograd.gradcheck(lambda x: balanced_logistic_loss(x, target), logits)


def test_void_alone_gives_zero_with_zero_gradient():
    logits = torch.randn(1, 2, 3, requires_grad=True)
    loss = balanced_logistic_loss(logits, torch.full((1, 2, 3), -1))
    loss.backward()
    assert float(loss) == 0
    assert not logits.grad.any()


def test_half_precision_is_computed_in_float32():
    logits = torch.randn(1, 300, generator=torch.Generator().manual_seed(0))
    target = (torch.arange(300) % 20 == 0).long()[None]
    exact = balanced_logistic_loss(logits.bfloat16().float(), target)
    assert torch.equal(balanced_logistic_loss(logits.bfloat16(), target), exact)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(BalancedLogisticLoss()(logits.bfloat16(), target), exact)


def test_what_does_not_fit_is_told():
    with pytest.raises(CongealError, match="one shape"):
        balanced_logistic_loss(torch.zeros(1, 2), torch.zeros(1, 3, dtype=torch.int64))
    with pytest.raises(CongealError, match=r"balance in \[0, 1\], got 2"):
        balanced_logistic_loss(torch.zeros(1, 2), torch.zeros(1, 2, dtype=torch.int64), balance=2)
