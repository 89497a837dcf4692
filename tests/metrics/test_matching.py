from __future__ import annotations

import json
from itertools import combinations, permutations
from pathlib import Path

import numpy as np
import pytest
from cases.sides import sides
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from congeal.errors import CongealError
from congeal.metrics import Matching, MatchingMetric, matching

GOLDEN = Path(__file__).parent / "golden"
CASES = np.load(GOLDEN / "cases.npz")
STARDIST = json.loads((GOLDEN / "stardist.json").read_text())
NAMES = [name for name in STARDIST["result"] if name != "__dataset__"]
COUNTED = {
    "tp": "tp",
    "fp": "fp",
    "fn": "fn",
    "n_true": "n_true",
    "n_pred": "n_pred",
    "precision": "precision",
    "recall": "recall",
    "accuracy": "ap",
    "f1": "f1",
}
SCORED = {
    "panoptic_quality": "pq",
    "mean_matched_score": "mean_matched_score",
    "mean_true_score": "mean_true_score",
}

shapes = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=6)
pairs_of_maps = shapes.flatmap(
    lambda shape: st.tuples(
        hnp.arrays(np.int64, shape, elements=st.integers(0, 4)),
        hnp.arrays(np.int64, shape, elements=st.integers(0, 4)),
    )
)
# Below an IoU of 1/2 equally good assignments can differ in the scores of their matches, so what
# is unchanged there are the counts.
clear_thresholds = st.sampled_from([0.5, 0.55, 0.6, 0.75, 1.0])
criteria = st.sampled_from(["iou", "iot", "iop"])


def golden_pair(name):
    return CASES[f"{name}__true"], CASES[f"{name}__pred"]


def assert_like_stardist(found, expected):
    assert found.threshold == expected["thresh"]
    for theirs, ours in COUNTED.items():
        assert getattr(found, ours) == pytest.approx(expected[theirs], rel=1e-12), theirs
    for theirs, ours in SCORED.items():  # float32 there
        assert getattr(found, ours) == pytest.approx(expected[theirs], rel=3e-7), theirs


def scored_slowly(true, pred, criterion):
    """All scores by boolean masks, one pair at a time."""
    known = true != -1
    true, pred = np.where(known, true, 0), np.where(known, pred, 0)
    scores = []
    for t in sorted(set(true[true > 0])):
        for p in sorted(set(pred[pred > 0])):
            a, b = true == t, pred == p
            below = {"iou": a | b, "iot": a, "iop": b}[criterion]
            scores.append(float((a & b).sum()) / float(below.sum()))
    n_true = len(set(true[true > 0]))
    return np.array(scores, dtype=np.float64).reshape(n_true, len(set(pred[pred > 0])))


def optima(scores, threshold):
    """Most matches, and the score sums that the best of all one-to-one assignments can have."""
    if scores.shape[0] > scores.shape[1]:
        scores = scores.T
    n_true, n_pred = scores.shape
    chosen = [scores[range(n_true), list(order)] for order in permutations(range(n_pred), n_true)]
    ranked = [((c >= threshold).sum(), c.sum(), c[c >= threshold].sum()) for c in chosen]
    most = max(tp for tp, _, _ in ranked)
    best = max(total for tp, total, _ in ranked if tp == most)
    return most, [s for tp, total, s in ranked if tp == most and total > best - 1e-9]


def numbers(found):
    return found.tp, found.fp, found.fn, pytest.approx(found.score_sum, abs=1e-12)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("criterion", ["iou", "iot", "iop"])
def test_single_images_score_as_in_stardist(name, criterion):
    expected = STARDIST["result"][name][criterion]
    found = matching(
        **sides(*golden_pair(name)), threshold=STARDIST["thresholds"], criterion=criterion
    )
    for ours, theirs in zip(found, expected, strict=True):
        assert_like_stardist(ours, theirs)


def test_pooled_counts_score_as_stardist_scores_a_data_set():
    metric = MatchingMetric(STARDIST["thresholds"])
    for name in NAMES:
        metric.update(**sides(*golden_pair(name)))
    expected = STARDIST["result"]["__dataset__"]["False"]
    for ours, theirs in zip(metric.pooled(), expected, strict=True):
        assert_like_stardist(ours, theirs)


def test_means_over_images_are_those_of_stardist_by_image():
    expected = STARDIST["result"]["__dataset__"]["True"]
    found = [
        matching(**sides(*golden_pair(name)), threshold=STARDIST["thresholds"]) for name in NAMES
    ]
    for rank, theirs in enumerate(expected):
        mean = np.mean([image[rank].ap for image in found])
        assert mean == pytest.approx(theirs["accuracy"], abs=1e-12)


@settings(max_examples=200)
@given(pairs_of_maps, st.sampled_from([0.05, 0.2, 0.4, 0.5, 0.6, 1.0]), criteria)
def test_the_assignment_is_the_best_of_all(maps, threshold, criterion):
    found = matching(**sides(*maps), threshold=threshold, criterion=criterion)
    scores = scored_slowly(*maps, criterion)
    most, sums = optima(scores, threshold)
    assert (found.tp, found.n_true, found.n_pred) == (most, *scores.shape)
    assert min(abs(found.score_sum - s) for s in sums) < 1e-12


@given(pairs_of_maps, st.sampled_from([0.2, 0.5, 0.7]), criteria)
def test_matched_pairs_are_one_to_one_and_reach_the_threshold(maps, threshold, criterion):
    true, pred = maps
    found = matching(prediction=pred, truth=true, threshold=threshold, criterion=criterion)
    assert all(len(set(side)) == found.tp for side in found.pairs.T)
    for (t, p), score in zip(found.pairs, found.scores, strict=True):
        a, b = true == t, pred == p
        below = {"iou": a | b, "iot": a, "iop": b}[criterion]
        assert score == pytest.approx((a & b).sum() / below.sum(), rel=1e-12)
        assert score >= threshold
    assert found.score_sum == pytest.approx(found.scores.sum())


@given(pairs_of_maps, clear_thresholds, st.permutations([1, 2, 3, 4]), st.integers(1, 10**12))
def test_relabelling_either_map_changes_nothing(maps, threshold, order, factor):
    true, pred = maps
    renamed = np.array([0, *order]) * factor
    expected = numbers(matching(prediction=pred, truth=true, threshold=threshold))
    assert numbers(matching(prediction=pred, truth=renamed[true], threshold=threshold)) == expected
    assert numbers(matching(prediction=renamed[pred], truth=true, threshold=threshold)) == expected


@given(pairs_of_maps, st.permutations([1, 2, 3, 4]), criteria)
def test_relabelling_changes_no_count_at_low_thresholds(maps, order, criterion):
    true, pred = maps
    renamed = np.array([0, *order])
    one = matching(prediction=pred, truth=true, threshold=0.2, criterion=criterion)
    two = matching(prediction=pred, truth=renamed[true], threshold=0.2, criterion=criterion)
    assert (one.tp, one.fp, one.fn) == (two.tp, two.fp, two.fn)


@given(pairs_of_maps, clear_thresholds)
def test_transposing_changes_nothing(maps, threshold):
    true, pred = maps
    expected = numbers(matching(prediction=pred, truth=true, threshold=threshold))
    assert numbers(matching(prediction=pred.T, truth=true.T, threshold=threshold)) == expected


@given(pairs_of_maps, clear_thresholds, st.integers(0, 9))
def test_void_padding_changes_nothing_whatever_is_predicted_there(maps, threshold, guess):
    true, pred = maps
    padded = np.pad(true, 2, constant_values=-1), np.pad(pred, 2, constant_values=guess)
    assert numbers(matching(**sides(*padded), threshold=threshold)) == numbers(
        matching(prediction=pred, truth=true, threshold=threshold)
    )


@given(pairs_of_maps, clear_thresholds)
def test_swapping_truth_and_prediction_swaps_false_positives_and_negatives(maps, threshold):
    there, back = (
        matching(**sides(*maps), threshold=threshold),
        matching(**sides(*maps[::-1]), threshold=threshold),
    )
    assert (there.tp, there.fp, there.fn) == (back.tp, back.fn, back.fp)
    assert there.ap == back.ap
    assert there.f1 == back.f1
    assert there.precision == back.recall
    assert there.pq == pytest.approx(back.pq)


@given(pairs_of_maps)
def test_a_higher_threshold_never_finds_more(maps):
    found = [m.tp for m in matching(**sides(*maps), threshold=(0.1, 0.3, 0.5, 0.7, 0.9))]
    assert found == sorted(found, reverse=True)


def test_an_iou_of_exactly_the_threshold_is_a_match():
    true = np.array([1, 1, 1, 1, 1, 1, 1, 1, 1, 1])
    pred = np.array([1, 1, 1, 1, 1, 1, 0, 0, 0, 0])
    assert [m.tp for m in matching(prediction=pred, truth=true, threshold=(0.6, 0.6000001))] == [
        1,
        0,
    ]


def test_an_object_cut_in_equal_halves_is_found_once():
    whole, halves = np.array([3, 3, 3, 3]), np.array([1, 1, 2, 2])
    for maps in ((whole, halves), (halves, whole)):
        found = matching(**sides(*maps))
        assert (found.tp, found.fp + found.fn, found.score_sum) == (1, 1, 0.5)


def test_volumes_are_matched_as_images_are():
    true = np.zeros((3, 4, 5), int)
    true[1:, 1:, 1:] = 1
    assert matching(prediction=true * 2, truth=true).ap == 1


@pytest.mark.parametrize(
    ("true", "pred", "counts"),
    [
        ([[0, 0]], [[0, 0]], (0, 0, 0)),
        ([[1, 2]], [[0, 0]], (0, 0, 2)),
        ([[0, 0]], [[1, 2]], (0, 2, 0)),
        ([[-1, -1]], [[1, 2]], (0, 0, 0)),
        ([[-1, 0]], [[1, 1]], (0, 1, 0)),
        (np.zeros((0, 4), int), np.zeros((0, 4), int), (0, 0, 0)),
    ],
)
@pytest.mark.parametrize("threshold", [0.2, 0.5])
def test_of_maps_without_objects_or_all_void_scores_are_zero_or_not_defined(
    true, pred, counts, threshold
):
    found = matching(prediction=pred, truth=true, threshold=threshold)
    assert (found.tp, found.fp, found.fn) == counts
    assert {found.ap, found.precision, found.recall, found.f1, found.pq} == {0.0}  # as there
    named = found.as_dict()
    for name, below in (
        ("matching_ap", sum(counts)),
        ("precision", found.n_pred),
        ("recall", found.n_true),
        ("mean_matched_score", 0),
    ):
        value = named[f"{name}@{threshold:g}"]
        assert value == 0 if below else np.isnan(value)
    assert found.pairs.shape == (0, 2)


def test_a_prediction_partly_in_void_is_measured_by_its_known_part():
    true, pred = np.array([[1, 1, -1, -1, -1]]), np.array([[1, 1, 1, 1, 1]])
    assert matching(prediction=pred, truth=true).score_sum == 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"prediction": np.zeros((3, 2), int)}, "of the same"),
        ({"prediction": np.zeros((2, 3))}, "integer labels in prediction, got float64"),
        ({"truth": np.full((2, 3), np.nan)}, "integer labels in ground truth"),
        ({"truth": np.full((2, 3), -3)}, "at least -1"),
        ({"threshold": 0}, r"thresholds in \(0, 1\]"),
        ({"threshold": (0.5, 1.5)}, r"thresholds in \(0, 1\]"),
        ({"threshold": float("nan")}, r"thresholds in \(0, 1\]"),
        ({"threshold": ()}, r"thresholds in \(0, 1\]"),
        ({"criterion": "iuo"}, "did you mean 'iou'"),
    ],
)
def test_bad_input_is_told_in_one_line(change, told):
    good = {"truth": np.zeros((2, 3), int), "prediction": np.zeros((2, 3), int)}
    with pytest.raises(CongealError, match=told) as caught:
        matching(**(good | change))
    assert "\n" not in str(caught.value)


def test_several_thresholds_give_what_each_gives_alone():
    maps = golden_pair("rand0")
    together = matching(**sides(*maps), threshold=(0.3, 0.5, 0.9))
    assert together == [matching(**sides(*maps), threshold=t) for t in (0.3, 0.5, 0.9)]


@pytest.mark.parametrize("split", [0, 3, len(NAMES)])
def test_merged_metrics_score_as_one_that_saw_everything(split):
    whole, left, right = (MatchingMetric((0.5, 0.7)) for _ in range(3))
    for rank, name in enumerate(NAMES):
        whole.update(**sides(*golden_pair(name)))
        (left if rank < split else right).update(**sides(*golden_pair(name)))
    left.merge(right)
    assert left.compute() == pytest.approx(whole.compute(), abs=1e-12)


def test_metrics_of_other_settings_do_not_merge():
    for other in (MatchingMetric((0.6,)), MatchingMetric((0.5,), "iot")):
        with pytest.raises(CongealError, match="same settings"):
            MatchingMetric((0.5,)).merge(other)


def test_the_metric_keeps_counts_only():
    metric = MatchingMetric((0.5,))
    metric.update(**sides(*golden_pair("identical")))
    (pooled,) = metric.pooled()
    assert pooled.tp == 4
    assert pooled.pairs.size == pooled.scores.size == 0


def test_updating_gives_the_image_alone():
    metric = MatchingMetric((0.5,))
    metric.update(**sides(*golden_pair("rand0")))
    assert metric.update(**sides(*golden_pair("identical"))) == [
        matching(**sides(*golden_pair("identical")))
    ]


def test_computed_names_are_those_of_the_evaluation_file():
    metric = MatchingMetric((0.5, 0.75))
    metric.update(**sides(*golden_pair("identical")))
    scores = metric.compute()
    for name in ("matching_ap", "precision", "recall", "f1", "pq", "mean_matched_score"):
        assert scores[f"{name}@0.5"] == scores[f"{name}@0.75"] == 1
    assert (scores["images"], scores["objects"], scores["predicted"]) == (1, 4, 4)


def test_scores_without_any_image_are_nan():
    found = MatchingMetric().compute()
    assert [found.pop(name) for name in ("images", "objects", "predicted")] == [0, 0, 0]
    assert np.isnan(list(found.values())).all()


def test_scores_follow_from_counts():
    found = Matching(0.5, tp=6, fp=2, fn=4, score_sum=4.8)
    assert (found.precision, found.recall, found.ap) == (0.75, 0.6, 0.5)
    assert found.f1 == pytest.approx(2 * 0.75 * 0.6 / (0.75 + 0.6))
    assert found.pq == pytest.approx(0.8 * found.f1)
    assert found.mean_true_score == pytest.approx(0.48)


def test_thousands_of_touching_objects_are_matched_without_a_dense_table():
    side = 100
    true = np.arange(side * side).reshape(side, side).repeat(3, 0).repeat(3, 1) + 1
    pred = np.roll(true, 1, axis=0)
    found = matching(prediction=pred, truth=true, threshold=(0.4, 0.5))
    # two rows of three are shared: IoU 6 / 12
    assert [m.tp for m in found] == [side * side] * 2


@pytest.mark.parametrize("few", [1, 2, 3])
def test_any_subset_of_the_objects_predicted_exactly_is_found(few):
    true = golden_pair("identical")[0]
    for kept in combinations(np.unique(true)[1:], few):
        found = matching(
            prediction=np.where(np.isin(true, kept), true, 0), truth=true, threshold=0.9
        )
        assert (found.tp, found.fp, found.fn) == (few, 0, 4 - few)
