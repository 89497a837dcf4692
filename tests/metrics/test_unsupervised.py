from __future__ import annotations

import json
import pickle
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from congeal.errors import CongealError
from congeal.metrics.metric import merge_all
from congeal.metrics.semantic import SemanticMetric
from congeal.metrics.unsupervised import (
    UnsupervisedMetric,
    assign_clusters,
    relabelled_confusion,
)

GOLDEN = Path(__file__).parent / "golden" / "semantic"
EXPECTED = json.loads((GOLDEN / "unsupervised.json").read_text())
with np.load(GOLDEN / "unsupervised.npz") as maps:
    TRUE = maps["gt"].astype(np.int64)
    CLUSTERS = {"equal_k": maps["clusters_equal_k"], "more_clusters": maps["clusters_more"]}
TRUE[TRUE == 255] = -1
SIZES = {"equal_k": 7, "more_clusters": 10}


def fed(case, assignment="auto", images=(0, 1, 2, 3, 4, 5, 6, 7)):
    metric = UnsupervisedMetric(SIZES[case], 7, assignment)
    for image in images:
        metric.update(prediction=CLUSTERS[case][image], truth=TRUE[image])
    return metric


def pairs(given):
    return [[cluster, label] for cluster, label in enumerate(given.tolist()) if label >= 0]


@pytest.mark.parametrize("case", list(EXPECTED))
def test_the_table_is_that_of_the_reference(case):
    assert fed(case).table.tolist() == EXPECTED[case]["confusion_cluster_by_class"]


def test_equal_numbers_are_assigned_one_to_one_as_in_maskcontrast():
    expected, metric = EXPECTED["equal_k"], fed("equal_k")
    given = assign_clusters(metric.table)
    assert pairs(given) == expected["maskcontrast_hungarian_iou"]
    found = metric.compute()
    assert [found[f"iou/{c}"] for c in range(7)] == pytest.approx(
        expected["maskcontrast_iou"], abs=1e-12
    )
    assert found["miou"] == pytest.approx(expected["maskcontrast_miou"], abs=1e-12)
    assert found["pixel_accuracy"] == pytest.approx(expected["maskcontrast_acc"], abs=1e-12)


@pytest.mark.parametrize("case", list(EXPECTED))
def test_majority_is_that_of_maskcontrast(case):
    expected, metric = EXPECTED[case], fed(case, "majority")
    assert pairs(assign_clusters(metric.table, "majority")) == expected["maskcontrast_majority_iou"]
    found = metric.compute()
    ious = np.nan_to_num([found[f"iou/{c}"] for c in range(7)])
    assert ious == pytest.approx(expected["majority_iou"], abs=1e-12)
    assert found["miou_absent_zero"] == pytest.approx(expected["majority_miou"], abs=1e-12)


@pytest.mark.parametrize("case", list(EXPECTED))
def test_the_accuracy_of_the_best_one_to_one_counts_is_that_of_scipy(case):
    metric = fed(case, "hungarian_count")
    given = assign_clusters(metric.table, "hungarian_count")
    assert pairs(given) == EXPECTED[case]["hungarian_count_scipy"]
    expected = EXPECTED[case]["hungarian_count_acc"]
    assert metric.compute()["pixel_accuracy"] == pytest.approx(expected, abs=1e-12)


def test_the_automatic_choice_depends_on_the_numbers():
    for case, method in {"equal_k": "hungarian", "more_clusters": "majority"}.items():
        table = fed(case).table
        assert (assign_clusters(table) == assign_clusters(table, method)).all()


@settings(deadline=None)
@given(hnp.arrays(np.int64, (4, 4), elements=st.integers(0, 9)))
def test_one_to_one_has_the_largest_total_iou(table):
    below = table.sum(1, keepdims=True) + table.sum(0, keepdims=True) - table
    iou = np.where(below > 0, table / np.maximum(below, 1), 0)
    best = max(sum(iou[i, j] for i, j in enumerate(order)) for order in permutations(range(4)))
    given = assign_clusters(table, "hungarian")
    assert sorted(given) == [0, 1, 2, 3]
    assert iou[range(4), given].sum() == pytest.approx(best, abs=1e-12)


@settings(deadline=None)
@given(hnp.arrays(np.int64, (5, 3), elements=st.integers(0, 9)), st.permutations(range(5)))
def test_renaming_clusters_changes_nothing(table, order):
    one, two = UnsupervisedMetric(5, 3), UnsupervisedMetric(5, 3)
    one.table, two.table = table, table[list(order)]
    assert two.compute() == pytest.approx(one.compute(), abs=1e-12, nan_ok=True)


@settings(deadline=None)
@given(hnp.arrays(np.int64, (4, 5), elements=st.integers(-1, 2)))
def test_clusters_that_are_the_classes_score_one(true):
    metric = UnsupervisedMetric(3, 3)
    metric.update(prediction=np.maximum(true, 0), truth=true)
    known = (true >= 0).any()
    assert metric.compute()["miou"] == pytest.approx(1 if known else np.nan, nan_ok=True)


def test_named_clusters_score_as_classes():
    names = assign_clusters(fed("more_clusters").table)
    semantic = SemanticMetric(7)
    for true, clusters in zip(TRUE, CLUSTERS["more_clusters"], strict=True):
        semantic.update(prediction=names[clusters], truth=true)
    assert semantic.compute()["miou"] == fed("more_clusters").compute()["miou"]


def test_clusters_left_over_are_wrong_everywhere():
    given = assign_clusters([[5, 0], [0, 4], [1, 2]], "hungarian")
    assert given.tolist() == [0, 1, -1]
    assert relabelled_confusion([[5, 0], [0, 4], [1, 2]], given).tolist() == [[5, 0, 1], [0, 4, 2]]


def test_fewer_clusters_than_classes_leave_classes_unfound():
    metric = UnsupervisedMetric(1, 3)
    metric.update(prediction=[[0, 0, 0]], truth=[[0, 0, 1]])
    found = metric.compute()
    assert (found["iou/0"], found["iou/1"]) == (2 / 3, 0)
    assert np.isnan(found["iou/2"])


def test_parts_merge_into_the_whole_and_can_be_pickled():
    parts = [fed("more_clusters", images=images) for images in ([0], [1, 2, 3], [4, 5, 6, 7])]
    merged = merge_all(pickle.loads(pickle.dumps(part)) for part in parts)
    whole = fed("more_clusters").compute()
    assert merged.compute() == pytest.approx(whole, abs=1e-12, nan_ok=True)


def test_of_void_everywhere_nothing_can_be_said():
    metric = UnsupervisedMetric(2, 2)
    metric.update(prediction=[[0, 1]], truth=[[-1, -1]])
    found = metric.compute()
    assert np.isnan([found["miou"], found["miou_absent_zero"], found["pixel_accuracy"]]).all()


@pytest.mark.parametrize(
    ("true", "pred", "told"),
    [
        ([[0, 1]], [[0], [1]], "of the same"),
        ([[0, 2]], [[0, 1]], "expected 2 classes in the ground truth"),
        ([[0, 3]], [[0, 1]], "expected classes up to 2 in the ground truth, got 3"),
        ([[0, 1]], [[0, 3]], "expected classes up to 2 in the prediction, got 3"),
        ([[0, 1]], [[0, -1]], "a cluster below 3"),
        ([[0.5]], [[0]], "integer labels in ground truth"),
    ],
)
def test_bad_input_is_told_in_one_line(true, pred, told):
    with pytest.raises(CongealError, match=told):
        UnsupervisedMetric(3, 2).update(prediction=pred, truth=true)


def test_bad_settings_are_told_in_one_line():
    with pytest.raises(CongealError, match="did you mean 'majority'"):
        UnsupervisedMetric(2, 2, "majorty")
    with pytest.raises(CongealError, match="at least one cluster"):
        UnsupervisedMetric(0, 2)
    with pytest.raises(CongealError, match="same settings"):
        UnsupervisedMetric(2, 2).merge(UnsupervisedMetric(3, 2))
