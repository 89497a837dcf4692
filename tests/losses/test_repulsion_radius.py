"""A radius larger than the image changes nothing."""

import pytest
import torch

from congeal.losses import pairwise_loss


def test_the_loss_with_a_radius_beyond_the_image_is_that_of_one_as_large():
    generator = torch.Generator().manual_seed(0)
    embedding = torch.randn(1, 4, 12, 12, generator=generator)
    labels = torch.arange(144).reshape(1, 12, 12) % 5
    far, further = (
        pairwise_loss(embedding, labels, repulsion_radius=radius) for radius in (20.0, 1e9)
    )
    assert far.item() == pytest.approx(further.item(), rel=1e-6)
