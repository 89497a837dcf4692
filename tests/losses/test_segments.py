"""Pixels by segment: which label, of which class, in which image."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from congeal.errors import CongealError
from congeal.losses import intersect_segments, segment_prototypes
from congeal.losses.segments import check_maps, gather_segments


def drawn(seed=0, batch=2, size=(4, 5), dimensions=3, labels=4, classes=3):
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, *size)
    embedding = torch.randn(batch, dimensions, *size, generator=generator, dtype=torch.float64)
    clusters = torch.randint(-1, labels, shape, generator=generator)
    return embedding, clusters, torch.randint(-1, classes, shape, generator=generator)


@st.composite
def maps(draw):
    """Clusters and classes ``(B, H, W)`` with labels far apart now and then."""
    seed, batch = draw(st.integers(0, 2**31 - 1)), draw(st.integers(0, 3))
    size = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    _, clusters, semantic = drawn(seed, batch, size)
    scale = draw(st.sampled_from([1, 1000, 2**40]))
    return torch.where(clusters > 0, clusters * scale, clusters), semantic


@given(maps(), st.booleans())
@settings(deadline=None, max_examples=50)
def test_segments_are_the_clusters_of_one_image_and_class(given_maps, background):
    clusters, semantic = given_maps
    cut = intersect_segments(clusters, semantic, background=background)
    first = 0 if background else 1
    whose = {}
    for place in torch.ones_like(clusters).nonzero().tolist():
        c, s, k = (int(m[tuple(place)]) for m in (clusters, semantic, cut.labels))
        if c < 0 or s < 0:
            assert k == -1
        elif c < first:
            assert k == 0
        else:
            assert whose.setdefault(k, (place[0], s, c)) == (place[0], s, c)
            assert (cut.images[k - 1], cut.classes[k - 1]) == (place[0], s)
    assert sorted(whose) == list(range(1, len(cut.classes) + 1))
    assert len(set(whose.values())) == len(whose)


def test_cutting_twice_changes_nothing():
    _, clusters, semantic = drawn(seed=1)
    once = intersect_segments(clusters, semantic)
    twice = intersect_segments(once.labels, semantic)
    for first, second in zip(once, twice, strict=True):
        assert torch.equal(first, second)


def test_prototypes_are_the_mean_directions_in_the_order_of_the_segments():
    embedding, clusters, semantic = drawn(seed=2)
    cut = intersect_segments(clusters, semantic)
    unit = torch.nn.functional.normalize(embedding, dim=1).movedim(1, -1)
    found = segment_prototypes(embedding, clusters, semantic)
    assert len(found.prototypes) == len(cut.classes) > 5
    for k, prototype in enumerate(found.prototypes):
        total = unit[cut.labels == k + 1].sum(0)
        torch.testing.assert_close(prototype, total / total.norm())
    assert torch.equal(found.classes, cut.classes)
    assert torch.equal(found.images, cut.images)


def test_without_a_semantic_map_every_segment_has_class_zero():
    found = segment_prototypes(torch.ones(2, 3, 1, 2), torch.tensor([[[1, 5]], [[5, 0]]]))
    assert found.classes.tolist() == [0, 0, 0]
    assert found.images.tolist() == [0, 0, 1]


def test_a_segment_that_cancels_out_has_the_zero_vector_and_a_finite_gradient():
    embedding = torch.tensor([[[[1.0, -1.0]]]], requires_grad=True)
    found = segment_prototypes(embedding, torch.ones(1, 1, 2, dtype=torch.int64))
    found.prototypes.sum().backward()
    assert found.prototypes.eq(0).all()
    assert embedding.grad.isfinite().all()


def test_a_pixel_is_read_from_the_block_of_its_class():
    embedding = torch.arange(2 * 6 * 4.0).reshape(2, 6, 2, 2)  # 3 classes of 2 dimensions
    labels = torch.tensor([[[1, 1], [0, 2]], [[3, -1], [1, 1]]])
    semantic = torch.tensor([[[1, 1], [1, 3]], [[2, 2], [0, 3]]])
    found = gather_segments(embedding, labels, semantic, first_class=1, blocks=3)
    expected = [
        embedding[place[0], 2 * c - 2 : 2 * c, place[1], place[2]]
        for place in torch.ones_like(labels).nonzero().tolist()
        if labels[tuple(place)] > 0 and (c := int(semantic[tuple(place)])) > 0
    ]
    assert torch.equal(found.pixels, torch.stack(expected))
    assert found.classes[found.own].tolist() == [1, 1, 3, 2, 3]
    assert found.images[found.own].tolist() == [0, 0, 0, 1, 1]


def test_sums_and_areas_are_those_of_the_segments():
    embedding, clusters, semantic = drawn(seed=4)
    found = gather_segments(embedding, clusters, semantic, background=True)
    for k in range(len(found.images)):
        inside = found.own == k
        assert found.areas[k] == inside.sum()
        torch.testing.assert_close(found.sums[k], found.pixels[inside].sum(0))


def test_maps_without_a_segment_give_none():
    embedding, clusters, _ = drawn(seed=5)
    found = segment_prototypes(embedding, torch.zeros_like(clusters), clusters)
    assert found.prototypes.shape == (0, 3)
    assert len(found.classes) == len(found.images) == 0
    cut = intersect_segments(torch.zeros_like(clusters), torch.full_like(clusters, -1))
    assert cut.labels.eq(-1).all()


@pytest.mark.parametrize(
    ("clusters", "semantic"), [((1, 4, 5), (1, 5, 4)), ((2, 4), (1, 4)), ((4,), (4,))]
)
def test_clusters_and_classes_of_different_shapes_are_refused(clusters, semantic):
    whole = {"dtype": torch.int64}
    with pytest.raises(CongealError, match=r"expected clusters and semantic of one shape"):
        intersect_segments(torch.ones(clusters, **whole), torch.ones(semantic, **whole))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bool, torch.complex64])
def test_maps_that_are_not_integers_are_refused_by_name(dtype):
    whole = torch.ones(1, 4, 5, dtype=torch.int64)
    with pytest.raises(CongealError, match=r"expected semantic of an integer type, got torch\."):
        intersect_segments(whole, whole.to(dtype))
    with pytest.raises(CongealError, match=r"expected semantic of an integer type, got torch\."):
        check_maps(torch.ones(1, 3, 4, 5), labels=whole, semantic=whole.to(dtype))


def test_an_embedding_of_integers_is_refused():
    with pytest.raises(CongealError, match="expected an embedding of a floating type"):
        check_maps(torch.ones(1, 3, 4, 5, dtype=torch.int64))
