"""What the discriminative loss must not depend on, over drawn cases."""

from __future__ import annotations

import torch
from cases.discriminative_cases import drawn
from hypothesis import given, settings
from hypothesis import strategies as st

from congeal.losses import discriminative_terms


@st.composite
def batches(draw):
    """Embeddings, labels and classes of up to 3 images, and whether classes are told."""
    seed, batch = draw(st.integers(0, 2**31 - 1)), draw(st.integers(1, 3))
    size = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    told = draw(st.booleans())
    embedding, labels, semantic = drawn(seed, batch, size, draw(st.integers(1, 4)))
    return embedding, labels, semantic if told else torch.ones_like(labels)


few = settings(deadline=None, max_examples=20)


def assert_same_terms(given, expected):
    (embedding, labels, semantic), before = given, expected
    after = discriminative_terms(embedding, labels, semantic=semantic)
    expected = discriminative_terms(before[0], before[1], semantic=before[2])
    torch.testing.assert_close(after, expected, atol=1e-11, rtol=1e-10)


@given(batches(), st.permutations(list(range(1, 40))))
@few
def test_the_numbers_of_objects_and_classes_do_not_matter(batch, numbers):
    embedding, labels, semantic = batch
    table = torch.tensor([-1, 0, *numbers])
    assert_same_terms((embedding, table[labels + 1], table[semantic + 1]), batch)


@given(batches(), st.randoms(use_true_random=False))
@few
def test_the_order_of_pixels_and_images_does_not_matter(batch, random):
    pixels, images = list(range(batch[1][0].numel())), list(range(len(batch[1])))
    random.shuffle(pixels)
    random.shuffle(images)
    assert_same_terms([x.flatten(-2)[images][..., pixels] for x in batch], batch)


@given(batches(), st.integers(0, 2**31 - 1))
@few
def test_rotating_the_embedding_space_does_not_matter(batch, seed):
    embedding, labels, semantic = batch
    generator = torch.Generator().manual_seed(seed)
    square = torch.randn([embedding.shape[1]] * 2, generator=generator, dtype=torch.float64)
    rotated = torch.einsum("de,behw->bdhw", torch.linalg.qr(square).Q, embedding)
    assert_same_terms((rotated, labels, semantic), batch)


@given(batches(), st.floats(-100, 100))
@few
def test_moving_the_embedding_space_changes_only_the_last_term(batch, step):
    embedding, labels, semantic = batch
    moved = discriminative_terms(embedding + step, labels, semantic=semantic)
    expected = discriminative_terms(embedding, labels, semantic=semantic)
    torch.testing.assert_close(moved[:2], expected[:2], atol=1e-10, rtol=1e-10)


@given(batches(), st.tuples(*[st.integers(0, 3)] * 4))
@few
def test_padding_by_void_does_not_matter(batch, pad):
    wide = torch.nn.functional.pad(batch[0], pad, value=5.0)
    maps = (torch.nn.functional.pad(m, pad, value=-1) for m in batch[1:])
    assert_same_terms((wide, *maps), batch)


@given(batches())
@few
def test_doubling_every_pixel_does_not_matter(batch):
    assert_same_terms([torch.cat([x, x], -1) for x in batch], batch)
