"""A kernel that reaches further than the image costs no more than the image."""

import math

import pytest
import torch

from congeal.errors import CongealError
from congeal.grouping.local_shift import _windows, local_mean_shift
from congeal.losses import pairwise_loss
from congeal.sphere import normalise


def test_a_reach_beyond_the_image_is_clipped_to_it():
    mass = torch.ones(24, 40)
    assert _windows(mass, 1e6).keys.shape == _windows(mass, 1e9).keys.shape
    assert _windows(mass, 1e6).keys.shape[1] <= (4 + 2 * 20) ** 2  # cells of 2 x 2 pixels
    embedding = normalise(torch.randn(4, 24, 40, generator=torch.Generator().manual_seed(0)), dim=0)
    far = local_mean_shift(embedding, mass, concentration=9, reach=1e6, steps=2)
    further = local_mean_shift(embedding, mass, concentration=9, reach=1e9, steps=2)
    assert torch.allclose(far, further, atol=1e-4)  # no fall-off is left within the image


def test_a_reach_that_covers_the_image_is_what_it_was():
    """Every pixel reaches every other: the written-out kernel, with one key for each cell."""
    generator = torch.Generator().manual_seed(0)
    cells = normalise(torch.randn(4, 8, 8, generator=generator, dtype=torch.float64), dim=0)
    embedding = cells.repeat_interleave(2, 1).repeat_interleave(2, 2).float()
    moved = local_mean_shift(
        embedding, torch.ones(16, 16), concentration=4.0, reach=60.0, steps=1, tolerance=0
    )
    rows, columns = torch.meshgrid(torch.arange(16), torch.arange(16), indexing="ij")
    place = torch.stack([rows, columns], -1).reshape(-1, 2).double()
    flat = embedding.flatten(1).T.double()
    keys = (place % 2 == 0).all(1)  # the first pixel of each cell of four
    away = torch.cdist(place, place[keys]).square() / (2 * 20.0**2)
    mean = (4 * (4.0 * flat @ flat[keys].T - away).exp()) @ flat[keys]
    expected = normalise(mean, dim=1).T.reshape(4, 16, 16)
    assert torch.allclose(moved.double(), expected, atol=1e-5)


@pytest.mark.parametrize("reach", [math.inf, math.nan, 0.0])
def test_a_reach_that_is_no_length_is_refused(reach):
    with pytest.raises(CongealError, match="reach > 0 and finite"):
        local_mean_shift(torch.ones(2, 4, 4), torch.ones(4, 4), concentration=9, reach=reach)


def test_the_loss_with_a_reach_beyond_the_image_is_that_of_one_as_large():
    generator = torch.Generator().manual_seed(0)
    embedding = torch.randn(1, 4, 12, 12, generator=generator)
    labels = torch.arange(144).reshape(1, 12, 12) % 5
    far, further = (pairwise_loss(embedding, labels, reach=reach) for reach in (20.0, 1e9))
    assert far.item() == pytest.approx(further.item(), rel=1e-6)
