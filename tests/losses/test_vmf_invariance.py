"""What SegSort's losses must not depend on, over drawn cases."""

from __future__ import annotations

import torch
from cases.vmf_cases import drawn, loss_of
from hypothesis import given, settings
from hypothesis import strategies as st


@st.composite
def batches(draw):
    """Embeddings, segments and classes of up to 3 images of at most 20 pixels."""
    seed, batch = draw(st.integers(0, 2**31 - 1)), draw(st.integers(1, 3))
    size = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    return drawn(seed, batch, size, draw(st.integers(1, 5)), draw(st.integers(1, 5)))


few = settings(deadline=None, max_examples=20)
names = st.sampled_from(["vmf", "vmf_n"])


def assert_same(loss, expected):
    torch.testing.assert_close(loss, expected, atol=1e-11, rtol=1e-10)


@given(batches(), names, st.permutations(list(range(1, 40))))
@few
def test_the_numbers_of_segments_and_classes_do_not_matter(batch, name, numbers):
    embedding, segments, semantic = batch
    table = torch.tensor([-1, 0, *numbers])
    kinds = torch.tensor([-1, *numbers])
    assert_same(
        loss_of(name, embedding, table[segments + 1], kinds[semantic + 1]),
        loss_of(name, embedding, segments, semantic),
    )


@given(batches(), names, st.randoms(use_true_random=False))
@few
def test_the_order_of_pixels_and_images_does_not_matter(batch, name, random):
    embedding, segments, semantic = batch
    pixels, images = list(range(segments[0].numel())), list(range(len(segments)))
    random.shuffle(pixels)
    random.shuffle(images)
    moved = [x.flatten(-2)[images][..., pixels] for x in batch]
    assert_same(loss_of(name, *moved), loss_of(name, embedding, segments, semantic))


@given(batches(), names, st.integers(0, 2**31 - 1), st.floats(1e-3, 1e3))
@few
def test_rotating_and_scaling_the_embedding_space_does_not_matter(batch, name, seed, length):
    embedding, segments, semantic = batch
    generator = torch.Generator().manual_seed(seed)
    square = torch.randn([embedding.shape[1]] * 2, generator=generator, dtype=torch.float64)
    rotated = torch.einsum("de,behw->bdhw", torch.linalg.qr(square).Q, embedding) * length
    assert_same(
        loss_of(name, rotated, segments, semantic), loss_of(name, embedding, segments, semantic)
    )


@given(batches(), names, st.tuples(*[st.integers(0, 3)] * 4))
@few
def test_padding_by_void_does_not_matter(batch, name, pad):
    embedding, segments, semantic = batch
    wide = torch.nn.functional.pad(embedding, pad, value=5.0)
    void, kinds = (torch.nn.functional.pad(m, pad, value=-1) for m in (segments, semantic))
    assert_same(loss_of(name, wide, void, kinds), loss_of(name, embedding, segments, semantic))


@given(batches(), names)
@few
def test_the_loss_is_never_negative(batch, name):
    assert loss_of(name, *batch) >= -1e-12
