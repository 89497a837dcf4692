"""What the pairwise loss must not depend on, and Proposition 1, over drawn cases."""

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from congeal.grouping import MeanShift
from congeal.losses import pairwise_loss

PLAIN = {"margin": 0.2, "negative_weight": 2.0}
SETTINGS = st.sampled_from(
    [
        PLAIN,
        PLAIN | {"background": False},
        PLAIN | {"repulsion_radius": 2.5},
        PLAIN | {"grouping": MeanShift(concentration=4.0, steps=2)},
    ]
)
few = settings(deadline=None, max_examples=25)


@st.composite
def images(draw):
    """``(1, D, H, W)`` embeddings and labels of at most 30 pixels, void and one label included."""
    height, width = draw(st.integers(1, 5)), draw(st.integers(1, 6))
    dimensions, objects = draw(st.integers(1, 5)), draw(st.integers(0, 4))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31 - 1)))
    shape = (1, dimensions, height, width)
    embedding = torch.randn(shape, generator=generator, dtype=torch.float64)
    return embedding, torch.randint(-1, objects + 1, (1, height, width), generator=generator)


def assert_same(loss, expected):
    torch.testing.assert_close(loss, expected, atol=1e-12, rtol=1e-10)


@given(images(), SETTINGS, st.permutations(list(range(1, 40))))
@few
def test_the_numbers_of_the_objects_do_not_matter(image, how, numbers):
    embedding, labels = image
    table = torch.tensor([-1, 0, *numbers])
    assert_same(
        pairwise_loss(embedding, table[labels + 1], **how), pairwise_loss(embedding, labels, **how)
    )


@given(images(), st.randoms(use_true_random=False))
@few
def test_the_order_of_the_pixels_does_not_matter_without_a_radius(image, random):
    embedding, labels = image
    order = list(range(labels.numel()))
    random.shuffle(order)
    moved = embedding.flatten(2)[:, :, order], labels.flatten(1)[:, order]
    assert_same(pairwise_loss(*moved, **PLAIN), pairwise_loss(embedding, labels, **PLAIN))


@given(images(), SETTINGS)
@few
def test_mirroring_and_turning_the_image_does_not_matter(image, how):
    embedding, labels = image
    for turned in ((embedding.flip(-1), labels.flip(-1)), (embedding.mT, labels.mT)):
        assert_same(pairwise_loss(*turned, **how), pairwise_loss(embedding, labels, **how))


@given(images(), SETTINGS, st.integers(0, 2**31 - 1))
@few
def test_rotating_the_embedding_space_does_not_matter(image, how, seed):
    embedding, labels = image
    generator = torch.Generator().manual_seed(seed)
    square = torch.randn([embedding.shape[1]] * 2, generator=generator, dtype=torch.float64)
    rotation = torch.linalg.qr(square).Q
    rotated = torch.einsum("de,behw->bdhw", rotation, embedding)
    assert_same(pairwise_loss(rotated, labels, **how), pairwise_loss(embedding, labels, **how))


@given(images(), SETTINGS, st.tuples(*[st.integers(0, 3)] * 4))
@few
def test_padding_by_void_does_not_matter(image, how, pad):
    embedding, labels = image
    padded = torch.nn.functional.pad(embedding, pad, value=5.0)
    void = torch.nn.functional.pad(labels, pad, value=-1)
    assert_same(pairwise_loss(padded, void, **how), pairwise_loss(embedding, labels, **how))


@given(images(), SETTINGS, st.floats(1e-3, 1e3))
@few
def test_the_length_of_the_embeddings_does_not_matter(image, how, length):
    embedding, labels = image
    loss = pairwise_loss(embedding * length, labels, **how)
    assert_same(loss, pairwise_loss(embedding, labels, **how))


@given(images(), SETTINGS)
@few
def test_doubling_every_pixel_does_not_matter_without_a_radius(image, how):
    embedding, labels = image
    assume("repulsion_radius" not in how)
    doubled = torch.cat([embedding, embedding], -1), torch.cat([labels, labels], -1)
    assert_same(pairwise_loss(*doubled, **how), pairwise_loss(embedding, labels, **how))


@given(images())
@few
def test_the_positive_loss_of_a_group_is_between_zero_and_one_half(image):
    """Proposition 1: whatever the size of the group and the dimension."""
    loss = float(pairwise_loss(image[0], torch.ones_like(image[1])))
    assert -1e-12 <= loss <= 0.5 + 1e-12


@pytest.mark.parametrize("count", [2, 3, 8])
def test_the_bound_of_one_half_is_reached_by_vectors_that_cancel(count):
    angle = 2 * torch.pi * torch.arange(count, dtype=torch.float64) / count
    circle = torch.stack([angle.cos(), angle.sin()])[None, :, None]
    loss = pairwise_loss(circle, torch.ones(1, 1, count, dtype=torch.int64))
    assert float(loss) == pytest.approx(0.5)


@given(images(), st.floats(0, 0.99))
@few
def test_the_loss_never_leaves_its_range(image, margin):
    """Positive pairs cost 1/2 at most on average, negative ones 1 - alpha."""
    loss = float(pairwise_loss(*image, margin=margin))
    assert -1e-12 <= loss <= max(0.5, 1 - margin) + 1e-12


@given(images(), st.floats(0, 0.9), st.floats(0, 0.09))
@few
def test_a_larger_margin_never_costs_more(image, margin, more):
    loss, larger = (pairwise_loss(*image, margin=m) for m in (margin, margin + more))
    assert larger <= loss + 1e-12
