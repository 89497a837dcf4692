"""Streets in the numbers of Cityscapes."""

from __future__ import annotations

import numpy as np

from congeal.data.scenes_streets import draw_street


def test_objects_are_counted_from_zero_within_each_class() -> None:
    for seed in range(8):
        _, ids = draw_street(np.random.default_rng(seed), (64, 128), 9)
        single = np.unique(ids[ids >= 1000])
        assert 7 <= len(single) <= 9
        for number in np.unique(single // 1000):
            members = single[single // 1000 == number] % 1000
            np.testing.assert_array_equal(members, np.arange(len(members)))
        assert np.unique(ids, return_counts=True)[1][-len(single) :].min() >= 20


def test_the_sky_is_above_the_road() -> None:
    _, ids = draw_street(np.random.default_rng(0), (64, 128), 3)
    rows = np.indices(ids.shape)[0]
    assert rows[ids == 23].max() < rows[ids == 7].min()
    assert {1, 7, 8, 11, 21, 23} <= set(np.unique(ids).tolist())
