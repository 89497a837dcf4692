from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from cases.sides import sides
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from congeal.errors import CongealError
from congeal.metrics.leaves import LeafMetric, leaf_scores
from congeal.metrics.metric import merge_all

GOLDEN = Path(__file__).parent / "golden" / "cvppp"
CASES = np.load(GOLDEN / "cases.npz")
EXPECTED = json.loads((GOLDEN / "result.json").read_text())
REGULAR = [name for name in EXPECTED if name not in ("no_background", "gap_in_pred", "gap_in_gt")]

pairs_of_maps = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=6).flatmap(
    lambda shape: st.tuples(
        hnp.arrays(np.int64, shape, elements=st.integers(-1, 4)),
        hnp.arrays(np.int64, shape, elements=st.integers(0, 4)),
    )
)


def golden_pair(name):
    return CASES[f"{name}__true"], CASES[f"{name}__pred"]


def assert_golden(found, expected):
    assert found.bd_pred == pytest.approx(expected["BD_pred_gt"], abs=1e-12)
    assert found.bd_true == pytest.approx(expected["BD_gt_pred"], abs=1e-12)
    assert found.sbd == pytest.approx(expected["SBD"], abs=1e-12)
    assert found.dic == expected["DiC"]
    assert abs(found.dic) == expected["absDiC"]
    assert found.fbd == pytest.approx(expected["FBD"], abs=1e-12)


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def best_dice_slowly(one, two):
    others = [two == label for label in set(two[two > 0])]
    mine = [one == label for label in set(one[one > 0])]
    best = [max((dice(mask, other) for other in others), default=0.0) for mask in mine]
    return np.mean(best) if best else 0.0


@pytest.mark.parametrize("name", list(EXPECTED))
def test_the_official_numbering_scores_as_the_challenge(name):
    assert_golden(leaf_scores(**sides(*golden_pair(name)), numbering="official"), EXPECTED[name])


@pytest.mark.parametrize("name", REGULAR)
def test_maps_with_background_and_no_gaps_score_as_the_challenge_in_any_numbering(name):
    assert_golden(leaf_scores(**sides(*golden_pair(name))), EXPECTED[name])


@pytest.mark.parametrize("name", ["gap_in_pred", "gap_in_gt"])
def test_a_gap_in_the_numbers_is_no_object_unless_officially(name):
    found = leaf_scores(**sides(*golden_pair(name)))
    assert (found.sbd, found.dic, found.fbd) == (1, 0, 1)


def test_an_image_full_of_leaves_has_no_background_to_lose():
    true = np.array([[1, 1, 2, 2]])
    assert leaf_scores(prediction=true, truth=true).sbd == 1
    assert leaf_scores(prediction=true, truth=true).dic == 0


@settings(deadline=None)
@given(pairs_of_maps)
def test_scores_are_those_of_masks_compared_one_by_one(maps):
    true, pred = maps
    found = leaf_scores(prediction=pred, truth=true)
    pred = np.where(true == -1, 0, pred)
    true = np.maximum(true, 0)
    assert found.bd_true == pytest.approx(best_dice_slowly(true, pred), abs=1e-12)
    assert found.bd_pred == pytest.approx(best_dice_slowly(pred, true), abs=1e-12)
    assert found.dic == len(set(pred[pred > 0])) - len(set(true[true > 0]))
    if true.any() or pred.any():
        assert found.fbd == pytest.approx(dice(true > 0, pred > 0), abs=1e-12)


@settings(deadline=None)
@given(pairs_of_maps, st.permutations([1, 2, 3, 4]), st.integers(0, 9))
def test_relabelling_and_padding_by_void_change_nothing(maps, order, guess):
    true, pred = maps
    renamed = np.array([0, *order, -1])  # -1 stays void
    padded = (
        np.pad(renamed[true], 2, constant_values=-1),
        np.pad(renamed[pred], 2, constant_values=guess),
    )
    one, two = leaf_scores(prediction=pred, truth=true), leaf_scores(**sides(*padded))
    assert (two.sbd, two.fbd, two.dic) == pytest.approx((one.sbd, one.fbd, one.dic), abs=1e-12)


@settings(deadline=None)
@given(pairs_of_maps)
def test_swapping_the_maps_swaps_the_directions(maps):
    true, pred = np.maximum(maps[0], 0), maps[1]
    there, back = leaf_scores(prediction=pred, truth=true), leaf_scores(prediction=true, truth=pred)
    assert (there.bd_pred, there.bd_true, there.dic) == (back.bd_true, back.bd_pred, -back.dic)
    assert there.sbd == back.sbd


@pytest.mark.parametrize("numbering", ["present", "official"])
@pytest.mark.parametrize(
    ("true", "pred", "dic"),
    [
        ([[0, 0]], [[0, 0]], 0),
        ([[0, 1]], [[0, 0]], -1),
        ([[0, 0]], [[0, 3]], None),
        ([[-1, -1]], [[1, 2]], 0),
        (np.zeros((0, 4), int), np.zeros((0, 4), int), 0),
    ],
)
def test_maps_without_objects_or_all_void_score_zero(true, pred, dic, numbering):
    found = leaf_scores(prediction=pred, truth=true, numbering=numbering)
    assert (found.sbd, found.fbd) == (0, 0)
    if dic is not None:
        assert found.dic == dic


def test_the_metric_averages_over_images():
    metric = LeafMetric("official")
    for name in EXPECTED:
        assert metric.update(**sides(*golden_pair(name))).dic == EXPECTED[name]["DiC"]
    scores = metric.compute()
    for ours, theirs in {"sbd": "SBD", "dic": "DiC", "abs_dic": "absDiC", "fbd": "FBD"}.items():
        mean = np.mean([expected[theirs] for expected in EXPECTED.values()])
        assert scores[ours] == pytest.approx(mean, abs=1e-12)
    assert scores["images"] == len(EXPECTED)


def test_parts_merge_into_the_whole_and_can_be_pickled():
    whole, parts = LeafMetric(), [LeafMetric() for _ in range(3)]
    for rank, name in enumerate(EXPECTED):
        whole.update(**sides(*golden_pair(name)))
        parts[rank % 3].update(**sides(*golden_pair(name)))
    merged = merge_all(pickle.loads(pickle.dumps(part)) for part in parts)
    assert merged.compute() == pytest.approx(whole.compute(), abs=1e-12)


def test_scores_without_any_image_are_nan():
    found = LeafMetric().compute()
    assert found.pop("images") == 0
    assert np.isnan(list(found.values())).all()


def test_bad_input_is_told_in_one_line():
    with pytest.raises(CongealError, match="of the same"):
        leaf_scores(prediction=np.zeros((3, 2), int), truth=np.zeros((2, 3), int))
    with pytest.raises(CongealError, match="integer labels in prediction"):
        leaf_scores(prediction=[[float("nan")]], truth=[[1]])
    with pytest.raises(CongealError, match="did you mean 'official'"):
        leaf_scores(prediction=[[1]], truth=[[1]], numbering="offical")
    with pytest.raises(CongealError, match="same settings 'present', got 'official'"):
        LeafMetric().merge(LeafMetric("official"))
