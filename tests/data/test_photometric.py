import pytest
import torch
from torchvision import tv_tensors

from congeal.data.photometric import RandomGain, RandomGamma


@pytest.mark.parametrize("seed", range(10))
def test_gamma_keeps_the_range_and_the_order(seed):
    torch.manual_seed(seed)
    image = torch.rand(3, 20, 20)
    image[0, 0, :2] = torch.tensor([0.0, 1.0])
    found = RandomGamma(0.5)(tv_tensors.Image(image)).as_subclass(torch.Tensor)
    assert (float(found.min()), float(found.max())) == (0.0, 1.0)
    assert bool((found.reshape(-1)[image.reshape(-1).argsort()].diff() >= 0).all())
    assert not torch.equal(found, image)


def test_gamma_takes_the_dark_below_zero_as_black():
    found = RandomGamma(0.2)(tv_tensors.Image(torch.full((3, 2, 2), -0.1)))
    assert not found.any()


def test_gain_is_one_factor_for_each_channel():
    image = torch.rand(3, 8, 8) + 0.1
    factors = []
    for seed in range(200):
        torch.manual_seed(seed)
        ratio = RandomGain(0.2)(tv_tensors.Image(image)).as_subclass(torch.Tensor) / image
        assert bool(((ratio - ratio[:, :1, :1]).abs() < 1e-5).all())
        factors.append(ratio[:, 0, 0])
    drawn = torch.stack(factors)
    assert 0.8 <= float(drawn.min()) < 0.81
    assert 1.19 < float(drawn.max()) <= 1.2001
    assert abs(torch.corrcoef(drawn.T)[0, 1]) < 0.3  # channels change apart


@pytest.mark.parametrize("transform", [RandomGain, RandomGamma])
def test_light_leaves_labels_and_what_is_given_alone(transform):
    image, labels = torch.rand(3, 5, 5), torch.arange(25).reshape(5, 5)
    before = image.clone()
    found, same = transform(0.2)(tv_tensors.Image(image), tv_tensors.Mask(labels))
    assert torch.equal(same, labels)
    assert torch.equal(image, before)
    assert not torch.equal(found.as_subclass(torch.Tensor), image)


@pytest.mark.parametrize("transform", [RandomGain, RandomGamma])
def test_light_changes_as_often_as_told(transform):
    image = tv_tensors.Image(torch.rand(3, 4, 4))
    torch.manual_seed(0)
    changed = [not torch.equal(transform(0.2, 0.7)(image), image) for _ in range(400)]
    assert abs(sum(changed) / 400 - 0.7) < 0.08
    assert torch.equal(transform(0.2, 0.0)(image), image)


def test_bytes_stay_bytes_and_do_not_overflow():
    image = torch.randint(0, 256, (3, 30, 30), dtype=torch.uint8)
    image[0, 0, 0] = 255
    for seed in range(10):
        torch.manual_seed(seed)
        found = RandomGain(0.2)(tv_tensors.Image(image)).as_subclass(torch.Tensor)
        assert found.dtype == torch.uint8
        assert int(found[0, 0, 0]) >= 204
        assert RandomGamma(0.2)(tv_tensors.Image(image))[0, 0, 0] == 255
