"""Which pixels are drawn: told apart by an embedding that holds their own index."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from congeal.losses import pairwise_loss, sample_pixels


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def numbered(labels):
    """An embedding of one dimension in which each pixel is its own flat index."""
    return torch.arange(labels.numel(), dtype=torch.float64).reshape(1, *labels.shape)


def draw(labels, **how):
    """Flat indices of the drawn pixels, and the sample."""
    sample = sample_pixels(numbered(labels), labels, **how)
    return sample.embedding[:, 0].long(), sample


def random_labels(*shape, objects=5, seed=0):
    return torch.randint(-1, objects, shape, generator=seeded(seed))


label_maps = st.builds(
    random_labels,
    st.integers(1, 12),
    st.integers(1, 12),
    objects=st.integers(0, 6),
    seed=st.integers(0, 10**6),
)
schemes = st.sampled_from(["uniform", "balanced"])


@given(label_maps, schemes, st.integers(0, 60) | st.none(), st.booleans(), st.integers(0, 99))
@settings(deadline=None, max_examples=60)
def test_pixels_are_drawn_without_replacement_and_void_never(
    labels, sampling, samples, background, seed
):
    how = {"samples": samples, "sampling": sampling, "background": background}
    drawn, sample = draw(labels, generator=seeded(seed), **how)
    able = int((labels >= (0 if background else 1)).sum())
    assert len(drawn) == (able if samples is None else min(able, samples))
    assert len(drawn.unique()) == len(drawn)
    assert (labels.flatten()[drawn] >= (0 if background else 1)).all()
    assert sample.groups.shape == drawn.shape


@given(label_maps, schemes, st.integers(1, 60))
@settings(deadline=None, max_examples=40)
def test_groups_are_the_labels_numbered_without_gaps(labels, sampling, samples):
    drawn, sample = draw(labels, samples=samples, sampling=sampling, generator=seeded())
    true = labels.flatten()[drawn]
    assert sample.groups.dtype == torch.int64
    assert torch.equal(true.unique()[sample.groups] if len(true) else true, true)


@pytest.mark.parametrize("shape", [(7,), (4, 6), (3, 4, 5)])
def test_each_pixel_knows_its_place(shape):
    labels = random_labels(*shape)
    drawn, sample = draw(labels, samples=10, generator=seeded())
    assert sample.location.shape == (len(drawn), len(shape))
    assert torch.equal(numbered(labels)[0][tuple(sample.location.long().T)].long(), drawn)


@pytest.mark.parametrize("sampling", ["uniform", "balanced"])
def test_the_same_generator_draws_the_same_pixels(sampling):
    labels = random_labels(20, 20)
    how = {"samples": 30, "sampling": sampling}
    first, again, other = (draw(labels, generator=seeded(s), **how)[0] for s in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first.sort().values, other.sort().values)


@pytest.mark.parametrize("sampling", ["uniform", "balanced"])
def test_the_global_generator_is_used_when_none_is_given(sampling):
    labels = random_labels(20, 20)
    torch.manual_seed(5)
    first, _ = draw(labels, samples=30, sampling=sampling)
    torch.manual_seed(5)
    again, _ = draw(labels, samples=30, sampling=sampling)
    assert torch.equal(first, again)


def times_drawn(labels, sampling, samples, draws=400):
    generator = seeded(1)
    how = {"samples": samples, "sampling": sampling, "generator": generator}
    drawn = torch.cat([draw(labels, **how)[0] for _ in range(draws)])
    return torch.bincount(drawn, minlength=labels.numel()) / draws


def test_uniform_sampling_gives_every_pixel_the_same_chance():
    labels = torch.tensor([[1] * 30, [2] * 5 + [0] * 25])
    chance = times_drawn(labels, "uniform", 15)
    assert chance.mean().item() == pytest.approx(15 / 60)
    assert (chance - 15 / 60).abs().max() < 4.5 * (0.25 * 0.75 / 400) ** 0.5


def test_balanced_sampling_gives_every_pixel_of_a_group_the_same_chance():
    labels = torch.tensor([[1] * 30 + [2] * 5 + [0] * 25])
    chance = times_drawn(labels, "balanced", 12)
    for label, of in ((0, 25), (1, 30), (2, 5)):
        p = 4 / of
        spread = (p * (1 - p) / 400) ** 0.5
        assert (chance[labels.flatten() == label] - p).abs().max() < 4.5 * spread


def assert_balanced(labels, drawn):
    """Counts differ by one at most, save for groups drawn to their last pixel."""
    there = torch.bincount(labels.flatten())
    taken = torch.bincount(labels.flatten()[drawn], minlength=len(there))
    enough = (taken == there) | (taken >= taken.max() - 1)
    assert enough.all()


@given(label_maps, st.integers(1, 80))
@settings(deadline=None, max_examples=40)
def test_balanced_sampling_takes_at_most_the_pixels_of_a_group(labels, samples):
    labels = labels.clamp(min=0)
    assert_balanced(labels, draw(labels, samples=samples, sampling="balanced")[0])


def test_balanced_sampling_stays_balanced_with_thousands_of_groups():
    labels = torch.arange(60_000).reshape(200, 300) // 4
    drawn, _ = draw(labels, samples=30_000, sampling="balanced", generator=seeded())
    assert_balanced(labels, drawn)


def test_a_group_that_is_not_drawn_does_not_count():
    """The weights come from the sampled pixels: a missed object leaves the others their share."""
    labels = torch.tensor([[1] * 50 + [2]])
    seed = next(s for s in range(99) if 50 not in draw(labels, samples=5, generator=seeded(s))[0])
    embedding = torch.ones(1, 2, 1, 51)
    loss = pairwise_loss(embedding, labels[None], samples=5, generator=seeded(seed))
    assert loss.item() == pytest.approx(0, abs=1e-6)


def test_sampling_as_many_pixels_as_there_are_is_the_whole_loss():
    labels = random_labels(1, 8, 8)
    embedding = torch.randn(1, 3, 8, 8, dtype=torch.float64, generator=seeded())
    whole = pairwise_loss(embedding, labels)
    assert torch.equal(pairwise_loss(embedding, labels, samples=64), whole)


def test_the_sampled_loss_is_near_the_loss_of_all_pixels():
    labels = random_labels(1, 40, 40)
    embedding = torch.randn(1, 3, 40, 40, dtype=torch.float64, generator=seeded())
    whole = pairwise_loss(embedding, labels, margin=0.1)
    how = {"margin": 0.1, "samples": 400, "generator": seeded()}
    sampled = torch.stack([pairwise_loss(embedding, labels, **how) for _ in range(20)])
    assert sampled.std() > 0
    assert (sampled.mean() - whole).abs() < 0.02 * whole


def test_each_image_of_a_batch_draws_its_own_pixels():
    labels = torch.ones(2, 10, 10, dtype=torch.int64)
    embedding = torch.randn(1, 3, 10, 10, generator=seeded()).expand(2, -1, -1, -1).clone()
    embedding.requires_grad_()
    pairwise_loss(embedding, labels, samples=10, generator=seeded()).backward()
    first, second = embedding.grad.ne(0).any(1)
    assert first.sum() == second.sum() == 10
    assert not torch.equal(first, second)


def test_only_drawn_pixels_get_a_gradient():
    labels = random_labels(1, 10, 10)
    embedding = torch.randn(1, 3, 10, 10, generator=seeded()).requires_grad_()
    pairwise_loss(embedding, labels, margin=0.1, samples=12, generator=seeded()).backward()
    assert embedding.grad.ne(0).any(1).sum() == 12
