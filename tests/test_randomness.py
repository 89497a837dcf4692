"""What is drawn for an image does not depend on the batch that it is in."""

import pytest
import torch

from congeal.losses import pairwise_loss, variational_loss, vmf_loss
from congeal.randomness import BatchGenerator, image_generator, image_noise


def chance(*seeds):
    return BatchGenerator(0, [torch.Generator().manual_seed(seed) for seed in seeds])


LOSSES = {
    "pairwise": lambda e, y, g: pairwise_loss(e, y, samples=12, generator=g),
    "balanced": lambda e, y, g: pairwise_loss(e, y, samples=12, sampling="balanced", generator=g),
    "variational": lambda e, y, g: variational_loss(
        e[:, :1], y, pairs="random", count=30, generator=g
    ),
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_a_loss_over_a_batch_is_the_mean_over_its_parts(loss):
    torch.manual_seed(0)
    embedding, labels = torch.randn(4, 3, 6, 7).double(), torch.randint(-1, 4, (4, 6, 7))
    whole = loss(embedding, labels, chance(5, 6, 7, 8))
    even = loss(embedding[::2], labels[::2], chance(5, 7))
    odd = loss(embedding[1::2], labels[1::2], chance(6, 8))
    torch.testing.assert_close(whole, (even + odd) / 2)
    assert not torch.allclose(whole, loss(embedding, labels, chance(9, 6, 7, 8)))


def test_pixels_of_an_image_are_drawn_by_its_own_generator():
    torch.manual_seed(0)
    embedding, labels = torch.randn(3, 3, 6, 7).double(), torch.randint(1, 4, (3, 6, 7))
    found = vmf_loss(embedding, labels, samples=9, generator=chance(1, 2, 3))
    again = vmf_loss(embedding[[2, 0, 1]], labels[[2, 0, 1]], samples=9, generator=chance(3, 1, 2))
    torch.testing.assert_close(found, again)


def test_noise_of_images_without_pixels_is_none():
    assert len(image_noise([], chance(1))) == 0
    both = image_noise([3, 2], chance(1, 2, 3))
    torch.testing.assert_close(both[3:], image_noise([2], chance(2)))


def test_a_plain_generator_serves_all_images():
    plain = torch.Generator().manual_seed(1)
    assert image_generator(plain, 7) is plain
    assert torch.equal(image_noise([3], torch.Generator().manual_seed(1)), image_noise([3], plain))
