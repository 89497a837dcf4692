"""Anchors stand for all pixels: of every object some, of what lies between objects many."""

from __future__ import annotations

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from congeal.grouping.sampling import BETWEEN, ENOUGH, draw_anchors, spread_indices

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
