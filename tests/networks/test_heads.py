import numpy as np
import torch

from congeal.networks.heads import ObjectHead, pool_objects


def maps(seed=0, channels=5):
    """Features and labels of two images, with void, background and labels that both have."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2, channels, 6, 7, generator=generator)
    return x, torch.randint(-1, 4, (2, 6, 7), generator=generator)


def test_objects_are_pooled_as_one_by_one():
    x, labels = maps()
    pooled, first = pool_objects(x, labels)
    expected = []
    for image, found in zip(x, labels, strict=True):
        for label in range(1, int(found.max()) + 1):
            inside = image[:, found == label]
            expected.append(torch.cat([inside.mean(1), inside.amax(1)]))
    torch.testing.assert_close(pooled, torch.stack(expected))
    told = labels.flatten()[first]
    assert told.tolist() == [1, 2, 3, 1, 2, 3]
    for at, label in zip(first.tolist(), told.tolist(), strict=True):
        image = labels.flatten()[at // 42 * 42 : at // 42 * 42 + 42]
        assert at % 42 == int(np.flatnonzero(image.numpy() == label)[0])


def test_pooling_does_not_depend_on_the_numbers_of_objects():
    x, labels = maps()
    renamed = torch.where(labels > 0, 5 * labels + 2**40, labels)
    for one, other in zip(pool_objects(x, labels), pool_objects(x, renamed), strict=True):
        assert torch.equal(one, other)


def test_pooling_has_the_gradient_of_its_definition():
    x, labels = maps(channels=2)
    x = x.double().requires_grad_()
    # computed in float32
    assert torch.autograd.gradcheck(
        lambda x: pool_objects(x, labels)[0].double(), x, eps=1e-2, atol=1e-3
    )


def test_images_without_objects_give_no_logits():
    head = ObjectHead(3, classes=2)
    logits, first = head(torch.zeros(2, 3, 4, 4), torch.zeros(2, 4, 4, dtype=torch.long))
    assert logits.shape == (0, 2)
    assert first.shape == (0,)


def test_no_images_give_nothing():
    assert pool_objects(torch.zeros(0, 3, 4, 4), torch.zeros(0, 4, 4).long())[0].shape == (0, 6)
