from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.optimize import linear_sum_assignment
from skimage.morphology import thin

from congeal.errors import CongealError
from congeal.metrics import corner_boundaries, match_boundaries

GOLDEN = Path(__file__).parent / "golden" / "bsds_boundary"


def unpacked(packed, shape):
    count, height, width = shape
    bits = np.unpackbits(packed, axis=1)[:, : height * width]
    return bits.reshape(count, height, width).astype(bool)


def corners_slowly(labels):
    height, width = labels.shape
    marked = np.zeros(labels.shape, bool)
    for y, x in product(range(height), range(width)):
        block = labels[y : y + 2, x : x + 2]
        marked[y, x] = labels[y, x] != -1 and len(set(block[block != -1])) > 1
    return marked


def reachable(pred, true, radius):
    """Distances of all pairs, as a dense table."""
    a, b = np.argwhere(pred), np.argwhere(true)
    distances = np.sqrt(((a[:, None] - b[None]) ** 2).sum(-1))
    return np.where(distances <= radius, distances, np.inf)


maps = hnp.arrays(np.bool_, (12, 14), elements=st.booleans())


def test_boundaries_of_segmentations_are_those_of_the_benchmark():
    golden = np.load(GOLDEN / "seg2bdry.npz")
    seg = golden["seg"]
    expected = unpacked(golden["bdry_imageSize"], seg.shape)
    for one, drawn in zip(seg, expected, strict=True):
        np.testing.assert_array_equal(corner_boundaries(one), drawn)


def test_thinning_is_that_of_the_benchmark():
    golden = np.load(GOLDEN / "thin.npz")
    masks, thinned = (unpacked(golden[name], golden["shape"]) for name in ("mask", "thin"))
    for mask, expected in zip(masks, thinned, strict=True):
        np.testing.assert_array_equal(thin(mask), expected)


@settings(deadline=None, max_examples=40)
@given(hnp.arrays(np.int64, hnp.array_shapes(min_dims=2, max_dims=2), elements=st.integers(-1, 3)))
def test_a_corner_is_marked_where_its_block_holds_two_labels(labels):
    np.testing.assert_array_equal(corner_boundaries(labels), corners_slowly(labels))


def test_the_number_of_matched_pixels_equals_that_of_the_official_program():
    golden = np.load(GOLDEN / "correspond.npz")
    preds, trues = (unpacked(golden[name], golden["shape"]) for name in ("bmap1", "bmap2"))
    for k, (pred, true) in enumerate(zip(preds, trues, strict=True)):
        official = golden["count"][k]  # (seeds, 2)
        ours = []
        for seed in range(4):
            found = match_boundaries(
                prediction=pred, truth=true, max_distance=float(golden["maxDist"][k]), seed=seed
            )
            assert found[0].sum() == found[1].sum()
            ours.append(int(found[0].sum()))
        assert official.min() <= min(ours), k
        assert max(ours) <= official.max(), k


@settings(deadline=None, max_examples=40)
@given(maps, maps, st.sampled_from([1.0, 1.5, 2.3]))
def test_only_pixels_within_reach_are_matched_and_hardly_any_pair_is_lost(pred, true, radius):
    share = radius / np.hypot(*pred.shape)
    matched_pred, matched_true = match_boundaries(prediction=pred, truth=true, max_distance=share)
    table = reachable(pred, true, share * np.hypot(*pred.shape))
    price = np.where(np.isfinite(table), table - 1e4, 0)
    rows, cols = linear_sum_assignment(price)
    most = int(np.isfinite(table[rows, cols]).sum()) if table.size else 0
    assert matched_pred.sum() == matched_true.sum()
    assert most - 4 <= matched_pred.sum() <= most
    assert not (matched_pred & ~pred).any()
    assert not (matched_true & ~true).any()


@given(maps)
@settings(deadline=None, max_examples=20)
def test_a_map_matches_itself_whole_when_nothing_else_is_in_reach(drawn):
    matched = match_boundaries(
        prediction=drawn, truth=drawn, max_distance=0.5 / np.hypot(*drawn.shape)
    )
    # distance 0 only: each pixel has itself; few outliers may cost a pixel now and then
    assert drawn.sum() - 3 <= matched[0].sum() <= drawn.sum()


def test_of_two_parallel_lines_the_near_one_is_matched():
    true, pred = np.zeros((2, 300, 300), bool)
    true[100] = True
    pred[[99, 97]] = True
    matched, _ = match_boundaries(prediction=pred, truth=true)
    assert matched[99].sum() >= 298
    assert matched[97].sum() <= 1


def test_a_line_just_beyond_reach_is_not_matched():
    true, pred = np.zeros((2, 300, 400), bool)  # diagonal 500, reach 3.75
    true[100], pred[104] = True, True
    assert not match_boundaries(prediction=pred, truth=true)[0].any()
    assert match_boundaries(prediction=pred, truth=true, max_distance=0.008)[0].sum() >= 398


def test_the_same_seed_gives_the_same_pixels():
    rng = np.random.default_rng(0)
    pred, true = rng.random((2, 80, 80)) > 0.8
    one, two = (
        match_boundaries(prediction=pred, truth=true, max_distance=0.02, seed=3) for _ in range(2)
    )
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (1, 1), (5, 7)])
def test_empty_maps_match_nothing(shape):
    empty = np.zeros(shape, bool)
    for other in (empty, np.ones(shape, bool)):
        assert not match_boundaries(prediction=empty, truth=other)[1].any()
        assert not match_boundaries(prediction=other, truth=empty)[0].any()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"prediction": np.zeros((4, 5))}, "boolean boundary map"),
        ({"truth": np.zeros((4, 5), int)}, "boolean boundary map"),
        ({"truth": np.zeros((5, 4), bool)}, "of the same"),
        ({"max_distance": 0.0}, "positive largest distance"),
        ({"max_distance": float("nan")}, "positive largest distance"),
    ],
)
def test_bad_input_is_told_in_one_line(change, told):
    good = {"prediction": np.zeros((4, 5), bool), "truth": np.zeros((4, 5), bool)}
    with pytest.raises(CongealError, match=told) as caught:
        match_boundaries(**(good | change))
    assert "\n" not in str(caught.value)


def test_boundaries_need_a_label_map_of_two_dimensions():
    for wrong in (np.zeros((2, 2, 2), int), np.zeros((2, 2))):
        with pytest.raises(CongealError):
            corner_boundaries(wrong)
