"""Anchors stand for all pixels: of every object some, of what lies between objects many."""

from __future__ import annotations

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from congeal.grouping.sampling import BETWEEN, ENOUGH, STRETCH, draw_anchors, gather, spread_indices
from congeal.sphere import normalise

EDGE = 0.8


@given(count=st.integers(1, 5000), most=st.integers(1, 600))
@example(count=600, most=600)
@settings(deadline=None)
def test_one_index_comes_from_each_equal_stretch(count: int, most: int) -> None:
    chosen = spread_indices(count, most)
    assert len(chosen) == min(count, most)
    assert bool((chosen[1:] > chosen[:-1]).all())
    kept = len(chosen)
    assert torch.equal(((chosen + 1) * kept - 1) // count, torch.arange(kept))


def test_spread_indices_visit_all_columns() -> None:
    assert len(torch.unique(spread_indices(512 * 512, 1024) % 512)) > 400


def scene(seed: int, places: int, count: int = 4000) -> tuple[Tensor, Tensor]:
    """The landmark of each pixel, of few for some, and the cosine to it, mostly high."""
    generator = torch.Generator().manual_seed(seed)
    near = (torch.rand(count, generator=generator) ** 3 * places).long()
    return near, 1 - torch.rand(count, generator=generator) ** 3


@given(seed=st.integers(0, 99), places=st.integers(1, 40), least=st.integers(1, 20))
@settings(deadline=None, max_examples=50)
def test_the_anchors_of_a_landmark_stand_for_its_pixels(seed: int, places: int, least: int) -> None:
    near, similarity = scene(seed, places)
    chosen = spread_indices(len(near), 100)
    anchors, share = draw_anchors(near, similarity, chosen, least=least, edge=EDGE)
    assert len(anchors.unique()) == len(anchors)
    for place in near.unique().tolist():
        pixels, mine = int((near == place).sum()), near[anchors] == place
        assert float(share[mine].sum()) == pytest.approx(pixels, rel=1e-5)
        assert min(least, 1) <= int(mine.sum()) <= pixels


@given(seed=st.integers(0, 99), places=st.integers(1, 40), least=st.integers(1, 20))
@settings(deadline=None, max_examples=50)
def test_a_small_object_is_told_by_its_most_similar_half(
    seed: int, places: int, least: int
) -> None:
    near, similarity = scene(seed, places)
    similarity.clamp_min_(EDGE)  # nothing is between objects
    chosen = spread_indices(len(near), 100)
    anchors, _ = draw_anchors(near, similarity, chosen, least=least, edge=EDGE)
    for place in near.unique().tolist():
        pixels, spread = int((near == place).sum()), int((near[chosen] == place).sum())
        mine = anchors[near[anchors] == place]
        half = (pixels + 1) // 2
        if spread >= min(least, half):
            assert len(mine) == min(spread, max(least, ENOUGH, 100 // (int(near.max()) + 1)))
            assert bool(torch.isin(mine, chosen).all())
            continue
        assert len(mine) == min(least, half)
        ranked = similarity[near == place].sort(descending=True).values
        assert bool((similarity[mine] >= ranked[half - 1]).all())


@given(seed=st.integers(0, 99), places=st.integers(1, 40))
@settings(deadline=None, max_examples=50)
def test_no_anchor_between_objects_stands_for_many_pixels(seed: int, places: int) -> None:
    near, similarity = scene(seed, places)
    chosen = spread_indices(len(near), 100)
    anchors, share = draw_anchors(near, similarity, chosen, least=4, edge=EDGE)
    far = similarity < EDGE
    crowd = max(BETWEEN, int(far.sum()) // len(chosen))
    for place in near.unique().tolist():
        rim = far & (near == place)
        mine = rim[anchors]
        if int(rim.sum()) >= crowd:
            assert float(share[mine].sum()) == pytest.approx(int(rim.sum()), rel=1e-5)
            assert float(share[mine].max()) < 2 * crowd


def pixels_of(places: int, seed: int, count: int = 3000) -> tuple[Tensor, Tensor, Tensor]:
    """Points ``(5, N)`` of any length, the landmark of each, and eight anchors of each."""
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(5, count, generator=generator, dtype=torch.float64)
    near = torch.randint(0, places, (count,), generator=generator)
    chosen = torch.cat([(near == place).nonzero()[:8, 0] for place in range(places)])
    return points, near, chosen


@pytest.mark.parametrize(("places", "weighted"), [(1, False), (3, True), (40, False), (40, True)])
def test_anchors_gather_the_pixels_of_their_landmark_that_are_nearest(
    places: int, weighted: bool
) -> None:
    points, near, chosen = pixels_of(places, seed=places)
    assert points.shape[1] > STRETCH
    mass = torch.rand(points.shape[1], dtype=torch.float64) + 0.5 if weighted else None
    share = torch.linspace(5, 500, len(chosen), dtype=torch.float64)
    anchors, weights = gather(points, near, chosen, share, mass, most=points.shape[1])
    one = torch.ones(points.shape[1], dtype=torch.float64) if mass is None else mass
    unit = normalise(points, dim=0)
    sums, counted = one[chosen] * unit[:, chosen], torch.zeros(len(chosen), dtype=torch.float64)
    for pixel in range(points.shape[1]):
        theirs = [i for i, anchor in enumerate(chosen) if near[anchor] == near[pixel]]
        best = max(theirs, key=lambda i: float(unit[:, chosen[i]] @ unit[:, pixel]))
        sums[:, best] += one[pixel] * unit[:, pixel]
        counted[best] += one[pixel]
    prior = share * one[chosen]
    torch.testing.assert_close(anchors, normalise(sums, dim=0).T)
    torch.testing.assert_close(weights, prior * (1 + counted) / (1 + prior))


@given(seed=st.integers(0, 99), most=st.integers(1, 3000))
@settings(deadline=None, max_examples=30)
def test_the_number_of_a_landmark_changes_no_anchor(seed: int, most: int) -> None:
    points, near, chosen = pixels_of(20, seed)
    share = torch.ones(len(chosen), dtype=torch.float64)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(seed))
    before = gather(points, near, chosen, share, most=most)
    after = gather(points, order[near], chosen, share, most=most)
    back = order[near[chosen]].argsort(stable=True)
    torch.testing.assert_close(before[0][back], after[0])
    torch.testing.assert_close(before[1][back], after[1])


def test_the_only_anchor_of_a_landmark_keeps_its_share() -> None:
    points, near, chosen = pixels_of(10, seed=0)
    only = chosen[::8]
    share = torch.bincount(near).double()
    torch.testing.assert_close(gather(points, near, only, share, most=3000)[1], share)


def test_an_anchor_of_which_nothing_was_counted_stands_for_less() -> None:
    points, near, chosen = pixels_of(2, seed=0)
    share = torch.full((len(chosen),), 187.5, dtype=torch.float64)
    _, mass = gather(points, near, chosen, share, most=10)  # 1/300 of the pixels
    assert float(mass.min()) == pytest.approx(187.5 / (1 + 187.5 / 300))
    assert float(mass.max()) > 187.5
