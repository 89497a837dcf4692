"""Retrieval against a sort in full, and the votes of a published implementation."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize

from congeal.errors import CongealError
from congeal.grouping import (
    Retrieval,
    SphericalKMeans,
    semantic_map,
)
from congeal.grouping.groups import Grouping, Groups, groups_from_labels
from congeal.neighbours import majority_vote

GOLDEN = Path(__file__).resolve().parents[1] / "metrics/golden/semantic"


def noise(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def bank(count, dimensions=5, kinds=4, seed=0, **options):
    """A bank of random prototypes, and some queries."""
    classes = torch.arange(count) % kinds
    return (
        Retrieval(noise(count, dimensions, seed=seed), classes, **options),
        noise(17, dimensions, seed=seed + 1),
    )


def slow_neighbours(queries, prototypes, k):
    """All cosines, sorted in full; of equal ones the first."""
    cosine = normalize(queries, dim=1) @ normalize(prototypes, dim=1).T
    order = np.argsort(-cosine.numpy(), axis=1, kind="stable")[:, :k]
    return cosine.gather(1, torch.from_numpy(order)), torch.from_numpy(order)


# --- neighbours and votes ----------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 3, 5, 21])
def test_votes_agree_with_the_published_implementation(k):
    arrays = np.load(GOLDEN / "knn.npz")
    expected = json.loads((GOLDEN / "knn.json").read_text())[str(k)]
    memory, query = torch.from_numpy(arrays["memory"]), torch.from_numpy(arrays["query"])
    retrieval = Retrieval(memory, torch.from_numpy(arrays["memory_labels"]), k=k)
    found = retrieval.neighbours(query)
    assert retrieval.classes[found.index].tolist() == expected["topk_labels"]
    assert retrieval.vote(found)[0].tolist() == expected["majority"]
    assert retrieval.classify(query).tolist() == expected["majority"]


@pytest.mark.parametrize("block", [1, 7, 40, 1000])
def test_neighbours_are_those_of_a_full_sort_whatever_the_block(block, monkeypatch):
    monkeypatch.setattr("congeal.neighbours.QUERY_BATCH", 5)
    retrieval, queries = bank(100, k=9, block=block)
    found = retrieval.neighbours(queries)
    similarity, index = slow_neighbours(queries, retrieval.prototypes, 9)
    torch.testing.assert_close(found.similarity, similarity)
    assert torch.equal(found.index, index)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=30), st.integers(1, 12), st.integers(1, 9))
@settings(deadline=None, max_examples=40)
def test_of_equally_near_prototypes_the_first_are_taken(axes, k, block):
    prototypes = torch.eye(4)[torch.tensor(axes)]
    queries = torch.tensor([[1.0, 0, 0, 0], [0, 1.0, 0, 0], [0.0, 0, 0, 0]])
    retrieval = Retrieval(prototypes, torch.zeros(len(axes), dtype=torch.int64), k, block)
    expected = slow_neighbours(queries, prototypes, k)[1]
    assert torch.equal(retrieval.neighbours(queries).index, expected)


@given(st.lists(st.lists(st.integers(0, 3), min_size=5, max_size=5), min_size=1, max_size=9))
@settings(deadline=None, max_examples=40)
def test_the_commonest_wins_and_of_several_the_smallest(votes):
    winner, share = majority_vote(torch.tensor(votes))
    for row, one, its_share in zip(votes, winner.tolist(), share.tolist(), strict=True):
        counts = Counter(row)
        assert one == min(v for v in counts if counts[v] == max(counts.values()))
        assert its_share == pytest.approx(counts[one] / 5)


def test_a_small_bank_votes_as_a_whole():
    retrieval, queries = bank(3, k=15)
    assert retrieval.neighbours(queries).index.shape == (17, 3)


def test_the_length_of_vectors_does_not_matter():
    retrieval, queries = bank(30, k=4)
    longer = Retrieval(retrieval.prototypes * 9, retrieval.classes, k=4)
    assert torch.equal(retrieval.neighbours(queries).index, longer.neighbours(queries / 7).index)


@given(st.integers(0, 2**31 - 1))
@settings(deadline=None, max_examples=20)
def test_rotating_the_embedding_space_changes_nothing(seed):
    retrieval, queries = bank(40, k=5, seed=seed % 10**6)
    rotation = torch.linalg.qr(noise(5, 5, seed=seed)).Q
    turned = Retrieval(retrieval.prototypes @ rotation, retrieval.classes, k=5)
    found, after = retrieval.neighbours(queries), turned.neighbours(queries @ rotation)
    assert torch.equal(found.index, after.index)
    torch.testing.assert_close(found.similarity, after.similarity)


@given(st.integers(0, 2**31 - 1))
@settings(deadline=None, max_examples=20)
def test_the_order_of_the_bank_does_not_matter(seed):
    retrieval, queries = bank(40, k=5, seed=seed % 10**6)
    shuffle = torch.randperm(40, generator=torch.Generator().manual_seed(seed))
    other = Retrieval(retrieval.prototypes[shuffle], retrieval.classes[shuffle], k=5)
    assert torch.equal(
        retrieval.neighbours(queries).index, shuffle[other.neighbours(queries).index]
    )
    assert torch.equal(retrieval.classify(queries), other.classify(queries))


def test_no_queries_have_no_neighbours():
    retrieval, _ = bank(10, k=4)
    assert retrieval.neighbours(torch.zeros(0, 5)).index.shape == (0, 4)
    assert retrieval.classify(torch.zeros(0, 5)).shape == (0,)


# --- as a grouping -----------------------------------------------------------------------------


def scene(seed=0):
    """An image of three classes in quarters, with void in one corner."""
    truth = torch.tensor([[0, 2], [5, 2]]).repeat_interleave(8, 0).repeat_interleave(8, 1)
    truth[:2, :2] = -1
    directions = torch.eye(6)[truth.clamp_min(0)].movedim(-1, 0)
    return directions + 0.1 * noise(6, 16, 16, seed=seed).float(), truth


def test_segments_of_a_new_image_take_the_classes_of_training_segments():
    cut = SphericalKMeans(grid=4)
    retrieval = Retrieval.from_images([scene(1), scene(2)], k=3, segments=cut)
    embedding, truth = scene(3)
    groups = retrieval.group(embedding)
    assert torch.equal(semantic_map(groups)[truth >= 0], truth[truth >= 0])
    assert torch.equal(groups.labels, cut.group(embedding).labels)
    assert ((groups.scores > 0) & (groups.scores <= 1)).all()
    assert torch.equal(groups.classes, retrieval.classify(groups.prototypes))


def test_the_neighbours_found_explain_the_class():
    scenes = [scene(1), scene(2)]
    cut = SphericalKMeans(grid=4)
    retrieval = Retrieval.from_images(scenes, k=3, segments=cut)
    groups = retrieval.group(scene(3)[0])
    assert groups.neighbours.index.shape == (len(groups), 3)
    kinds = retrieval.classes[groups.neighbours.index]
    share = (kinds == groups.classes[:, None]).float().mean(1)
    torch.testing.assert_close(groups.scores, share)
    for found in groups.neighbours.index[:, 0].tolist():
        embedding, truth = scenes[int(retrieval.images[found])]
        segments = cut.group(embedding, truth >= 0)
        shown = segments.mask(int(retrieval.segment_ids[found])) & (
            truth == retrieval.classes[found]
        )
        mean = normalize(embedding, dim=0)[:, shown].sum(1)
        torch.testing.assert_close(retrieval.prototypes[found], normalize(mean, dim=0))


def test_void_gives_the_bank_no_prototype():
    embedding, truth = scene()
    empty = torch.full_like(truth, -1)
    retrieval = Retrieval.from_images([(embedding, empty), (embedding, truth)])
    assert retrieval.classes.unique().tolist() == [0, 2, 5]
    assert retrieval.images.unique().tolist() == [1]
    with pytest.raises(CongealError, match="expected training images"):
        Retrieval.from_images([(embedding, empty)])


def test_any_grouping_may_make_the_segments():
    class Halves:
        def group(self, embedding, mask=None, weights=None):
            labels = torch.ones(embedding.shape[1:], dtype=torch.int64)
            labels[:, : labels.shape[1] // 4] = 2
            return groups_from_labels(labels, embedding, unit=False)

    embedding, _ = scene()
    groups = Retrieval(torch.eye(6), torch.arange(6), k=1, segments=Halves()).group(embedding)
    assert len(groups) == 2
    assert groups.classes[0] == 2


def test_an_empty_mask_has_no_segments():
    retrieval, _ = bank(10)
    groups = retrieval.group(noise(5, 4, 4), torch.zeros(4, 4, dtype=torch.bool))
    assert len(groups) == 0
    assert groups.classes.shape == groups.scores.shape == (0,)
    assert not semantic_map(groups).any()


def test_one_pixel_has_a_class():
    retrieval, _ = bank(10)
    assert len(retrieval.group(noise(5, 1, 1))) == 1


def test_a_batch_gives_groups_for_each_image():
    retrieval, _ = bank(10)
    embedding = noise(2, 5, 9, 9)
    for one, groups in zip(embedding, retrieval(embedding), strict=True):
        assert torch.equal(semantic_map(groups), semantic_map(retrieval.group(one)))


def test_groups_without_classes_have_no_semantic_map():
    with pytest.raises(CongealError, match="expected groups with classes"):
        semantic_map(Groups(torch.zeros(1, 2, 2).long(), torch.zeros(0, 3), torch.zeros(0)))


def test_it_is_a_grouping():
    assert isinstance(bank(3)[0], Grouping)


# --- errors ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prototypes": torch.zeros(0, 3)}, r"expected float prototypes \(M, D\), M >= 1"),
        ({"prototypes": torch.zeros(4)}, r"expected float prototypes \(M, D\)"),
        ({"prototypes": torch.full((4, 3), torch.nan)}, "expected finite prototypes"),
        ({"classes": torch.zeros(3, dtype=torch.int64)}, r"expected 4 classes, got \(3,\)"),
        ({"classes": torch.tensor([0, 1, -1, 0])}, "expected classes of at least 0"),
        ({"classes": torch.zeros(4)}, "expected classes of at least 0"),
        ({"images": torch.zeros(3, dtype=torch.int64)}, "expected 4 images"),
        ({"k": 0}, "expected k and block >= 1"),
        ({"block": 0}, "expected k and block >= 1"),
    ],
)
def test_banks_that_do_not_fit_are_refused(change, message):
    fine = {"prototypes": torch.ones(4, 3), "classes": torch.zeros(4, dtype=torch.int64)}
    with pytest.raises(CongealError, match=message) as error:
        Retrieval(**{**fine, **change})
    assert "\n" not in str(error.value)


def test_queries_that_do_not_fit_are_refused():
    retrieval, _ = bank(4)
    with pytest.raises(CongealError, match=r"expected queries \(N, 5\), got \(2, 4\)"):
        retrieval.neighbours(torch.ones(2, 4))
    with pytest.raises(CongealError, match="expected finite queries"):
        retrieval.neighbours(torch.full((2, 5), torch.nan))
