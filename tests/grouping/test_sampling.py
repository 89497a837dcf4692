"""An even choice of pixels."""

from __future__ import annotations

import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from congeal.grouping.sampling import spread_indices


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
