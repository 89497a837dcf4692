from __future__ import annotations

import json
import math
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from congeal.errors import CongealError
from congeal.metrics.metric import merge_all
from congeal.metrics.panoptic import (
    PanopticClass,
    PanopticMetric,
    panoptic_counts,
    panoptic_segments,
)

GOLDEN = Path(__file__).parent / "golden" / "panoptic_pq"
SETS = ("full", "no_void", "gt_void_only", "pred_void")
MAPS = {name: np.load(GOLDEN / f"{name}.npz") for name in SETS}
GIVEN = {name: json.loads((GOLDEN / f"{name}.json").read_text()) for name in SETS}
TORCHMETRICS = "torchmetrics_1.9.0_pq_sq_rq_per_class_sorted_cats_1_2_3_11_12_13"

shapes = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=6)
pairs_of_maps = shapes.flatmap(
    lambda shape: st.tuples(
        hnp.arrays(np.int64, shape, elements=st.integers(-1, 4)),
        hnp.arrays(np.int64, shape, elements=st.integers(-1, 4)),
    )
)
classes = st.lists(st.integers(0, 2), min_size=4, max_size=4).map(
    lambda values: dict(enumerate(values, 1))
)


def new_metric(name):
    kinds = GIVEN[name]["categories"].values()
    things = [kind["id"] for kind in kinds if kind["isthing"]]
    return PanopticMetric(things, [kind["id"] for kind in kinds if not kind["isthing"]])


def images(name):
    given = GIVEN[name]
    for index in range(len(given["gt_segments"])):
        true, pred = given["gt_segments"][index], given["pred_segments"][index]
        yield {
            "prediction": MAPS[name]["pred"][index],
            "truth": MAPS[name]["gt"][index],
            "prediction_classes": {segment["id"]: segment["category_id"] for segment in pred},
            "truth_classes": {segment["id"]: segment["category_id"] for segment in true},
            "crowds": [segment["id"] for segment in true if segment["iscrowd"]],
        }


def golden_metric(name):
    metric = new_metric(name)
    for image in images(name):
        metric.update(**image)
    return metric


def counted_slowly(true, pred, true_classes, pred_classes, crowds):
    """The definition, one pair of masks at a time."""
    trues, preds = sorted(set(true[true > 0])), sorted(set(pred[pred > 0]))
    void, found = true <= 0, {}
    matched_true, matched_pred = set(), set()
    for t in trues:
        for p in preds:
            a, b = true == t, (pred == p) & ~void
            iou = (a & b).sum() / (a | b).sum()
            if true_classes[t] == pred_classes[p] and t not in crowds and iou > 0.5:
                matched_true.add(t)
                matched_pred.add(p)
                found.setdefault(true_classes[t], [0, 0, 0, 0.0])
                found[true_classes[t]][0] += 1
                found[true_classes[t]][3] += iou
    for t in trues:
        found.setdefault(true_classes[t], [0, 0, 0, 0.0])
        found[true_classes[t]][2] += t not in crowds and t not in matched_true
    for p in preds:
        mine = [t for t in crowds if true_classes[t] == pred_classes[p]]
        excuse = (pred == p) & (void | np.isin(true, mine))
        wrong = p not in matched_pred and excuse.sum() <= (pred == p).sum() / 2
        found.setdefault(pred_classes[p], [0, 0, 0, 0.0])
        found[pred_classes[p]][1] += wrong
    return {label: found[label] for label in sorted(found)}


@pytest.mark.parametrize("name", SETS)
def test_counts_of_every_class_are_those_of_panopticapi(name):
    found = golden_metric(name).per_class()
    for label, expected in GIVEN[name]["result"]["stat"].items():
        ours = found[int(label)]
        assert (ours.tp, ours.fp, ours.fn) == (expected["tp"], expected["fp"], expected["fn"])
        assert ours.iou_sum == pytest.approx(expected["iou"], abs=1e-9)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("score", ["pq", "sq", "rq"])
def test_scores_are_those_of_panopticapi(name, score):
    found, expected = golden_metric(name).compute(), GIVEN[name]["result"]
    for suffix, theirs in {"": "All", "_things": "Things", "_stuff": "Stuff"}.items():
        assert found[score + suffix] == pytest.approx(expected[theirs][score], abs=1e-9)
        assert found["classes" + suffix] == expected[theirs]["n"]
    for label, theirs in expected["per_class"].items():
        assert found[f"{score}/{label}"] == pytest.approx(theirs[score], abs=1e-9)


@pytest.mark.parametrize("name", ["no_void", "gt_void_only"])
def test_torchmetrics_agrees_where_predictions_have_no_void(name):
    found = golden_metric(name).per_class()
    for label, theirs in zip(sorted(found), GIVEN[name]["result"][TORCHMETRICS], strict=True):
        ours = found[label]
        assert (ours.pq, ours.sq, ours.rq) == pytest.approx(theirs, abs=1e-6)  # float32 there


def test_torchmetrics_differs_once_predictions_have_void():
    found = golden_metric("pred_void").per_class()
    theirs = [row[0] for row in GIVEN["pred_void"]["result"][TORCHMETRICS]]
    ours = [found[label].pq for label in sorted(found)]
    assert max(np.subtract(theirs, ours)) > 0.05


@settings(deadline=None)
@given(pairs_of_maps, classes, classes, st.sets(st.integers(1, 4), max_size=2))
def test_counts_are_those_of_masks_compared_one_by_one(maps, true_classes, pred_classes, crowds):
    true, pred = maps
    crowds &= set(true[true > 0].tolist())
    found = panoptic_counts(
        prediction=pred,
        truth=true,
        prediction_classes=pred_classes,
        truth_classes=true_classes,
        crowds=crowds,
    )
    expected = counted_slowly(true, pred, true_classes, pred_classes, crowds)
    assert list(found) == list(expected)
    for label, (tp, fp, fn, iou) in expected.items():
        assert (found[label].tp, found[label].fp, found[label].fn) == (tp, fp, fn)
        assert found[label].iou_sum == pytest.approx(iou, abs=1e-12)


@settings(deadline=None)
@given(pairs_of_maps, classes, st.permutations([1, 2, 3, 4]), st.integers(0, 4))
def test_relabelling_segments_and_padding_by_void_change_no_match(maps, kinds, order, guess):
    true, pred = maps
    renamed = np.array([0, *order, 0])
    other = {order[label - 1]: kind for label, kind in kinds.items()}
    true_too = np.pad(renamed[true], 1, constant_values=-1)
    pred_too = np.pad(renamed[pred], 1, constant_values=renamed[guess])
    one = panoptic_counts(
        prediction=pred, truth=true, prediction_classes=kinds, truth_classes=kinds
    )
    two = panoptic_counts(
        prediction=pred_too, truth=true_too, prediction_classes=other, truth_classes=other
    )
    for label, found in one.items():
        assert (two[label].tp, two[label].fn) == (found.tp, found.fn)
        assert two[label].iou_sum == pytest.approx(found.iou_sum, abs=1e-12)
        assert two[label].fp <= found.fp  # more of a segment in void can excuse it


def test_parts_merge_into_the_whole_and_can_be_pickled():
    parts = [new_metric("full") for _ in range(3)]
    for rank, image in enumerate(images("full")):
        parts[rank % 3].update(**image)
    merged = merge_all(pickle.loads(pickle.dumps(part)) for part in parts)
    assert merged.compute() == pytest.approx(golden_metric("full").compute(), abs=1e-12)


def test_an_iou_of_one_half_is_no_match():
    found = panoptic_counts(
        prediction=[[1, 2]], truth=[[1, 1]], prediction_classes={1: 1, 2: 1}, truth_classes={1: 1}
    )
    assert found == {1: PanopticClass(tp=0, fp=2, fn=1)}


def test_segments_of_different_classes_never_match():
    found = panoptic_counts(
        prediction=[[1, 1]], truth=[[1, 1]], prediction_classes={1: 2}, truth_classes={1: 1}
    )
    assert found == {1: PanopticClass(fn=1), 2: PanopticClass(fp=1)}


def test_a_segment_mostly_in_a_crowd_of_its_class_is_no_mistake():
    true, pred = [[1, 1, 1, 2]], [[1, 1, 2, 2]]
    kinds = {1: 5, 2: 5}
    assert (
        panoptic_counts(
            prediction=pred, truth=true, prediction_classes=kinds, truth_classes=kinds, crowds=[1]
        )[5].fp
        == 1
    )  # half is not most
    found = panoptic_counts(
        prediction=pred,
        truth=true,
        prediction_classes={1: 5, 2: 5},
        truth_classes={1: 6, 2: 5},
        crowds=[1],
    )
    assert found[5].fp == 2  # a crowd of another class excuses nothing
    assert found[6] == PanopticClass()


@pytest.mark.parametrize(
    ("true", "pred", "counts"),
    [
        ([[0, 0]], [[0, 0]], {}),
        ([[1, 2]], [[0, 0]], {1: PanopticClass(fn=2)}),
        ([[0, 0]], [[1, 2]], {1: PanopticClass()}),
        ([[-1, -1]], [[1, 2]], {1: PanopticClass()}),
        ([[-1, -1]], [[-1, -1]], {}),
        ([[3, 3]], [[1, 2]], {1: PanopticClass(fp=2), 2: PanopticClass(fn=1)}),
        (np.zeros((0, 3), int), np.zeros((0, 3), int), {}),
    ],
)
def test_empty_maps_and_void_everywhere_have_their_counts(true, pred, counts):
    kinds = {1: 1, 2: 1, 3: 2}
    assert (
        panoptic_counts(prediction=pred, truth=true, prediction_classes=kinds, truth_classes=kinds)
        == counts
    )


def test_scores_without_any_image_are_nan():
    found = PanopticMetric([1], [2]).compute()
    assert all(math.isnan(v) for k, v in found.items() if k.startswith(("pq", "sq", "rq")))


def test_a_class_that_does_not_occur_enters_no_mean():
    metric = PanopticMetric([1, 2])
    metric.update(prediction=[[1]], truth=[[1]], prediction_classes={1: 1}, truth_classes={1: 1})
    scores = metric.compute()
    assert (scores["pq"], scores["classes"]) == (1, 1)
    assert math.isnan(scores["pq/2"])


def test_segments_of_objects_and_classes():
    labels = np.array([[3, 3, 3, 0, 0, -1, 0]])
    semantic = np.array([[4, 4, 5, 5, 9, 9, -1]])
    segments, kinds = panoptic_segments(labels, semantic, things=[4, 5])
    assert segments.tolist() == [[3, 3, 3, 0, 4, 0, 0]]
    assert kinds == {3: 4, 4: 9}


def test_segments_of_nothing_are_none():
    segments, kinds = panoptic_segments([[0, -1]], [[-1, 3]], things=[1])
    assert segments.tolist() == [[0, 0]]
    assert kinds == {}


def test_bad_input_is_told_in_one_line():
    one = np.array([[1, 1]])
    with pytest.raises(CongealError, match="of the same"):
        panoptic_counts(
            prediction=one.T, truth=one, prediction_classes={1: 1}, truth_classes={1: 1}
        )
    with pytest.raises(CongealError, match="for each predicted segment, got none for"):
        panoptic_counts(prediction=one, truth=one, prediction_classes={}, truth_classes={1: 1})
    with pytest.raises(CongealError, match=r"classes \[1, 2\], got \[7\]"):
        PanopticMetric([1], [2]).update(
            prediction=one, truth=one, prediction_classes={1: 7}, truth_classes={1: 1}
        )
    with pytest.raises(CongealError, match="either things or stuff"):
        PanopticMetric([1, 2], [2])
    with pytest.raises(CongealError, match="same classes"):
        PanopticMetric([1]).merge(PanopticMetric([1], [2]))
    with pytest.raises(CongealError, match="labels and classes of the same size"):
        panoptic_segments(one, one.T, [1])
