from __future__ import annotations

import json
import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from cases.sides import sides
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from congeal.errors import CongealError
from congeal.metrics.metric import merge_all
from congeal.metrics.retrieval import RetrievalMetric, majority_labels, nearest_labels
from congeal.metrics.semantic import SemanticMetric

GOLDEN = Path(__file__).parent / "golden" / "semantic"
EXPECTED = json.loads((GOLDEN / "knn.json").read_text())
CASE = dict(np.load(GOLDEN / "knn.npz"))
tables = hnp.arrays(
    np.int64, st.tuples(st.integers(0, 5), st.integers(1, 6)), elements=st.integers(0, 3)
)


def golden_neighbours(k):
    return nearest_labels(CASE["query"], CASE["memory"], CASE["memory_labels"], k)


@pytest.mark.parametrize("k", [int(k) for k in EXPECTED])
def test_neighbours_and_majorities_are_those_of_the_reference(k):
    found, expected = golden_neighbours(k), EXPECTED[str(k)]
    assert found.tolist() == expected["topk_labels"]
    assert majority_labels(found).tolist() == expected["majority"]


@pytest.mark.parametrize("k", [int(k) for k in EXPECTED])
def test_accuracies_are_those_of_the_reference(k):
    metric = RetrievalMetric(5, k)
    metric.update(prediction=golden_neighbours(k), truth=CASE["query_labels"])
    found, expected = metric.compute(), EXPECTED[str(k)]
    right = np.mean(np.array(expected["majority"]) == CASE["query_labels"])
    assert found[f"retrieval_accuracy@{k}"] == pytest.approx(right, abs=1e-12)
    for ours, theirs in {"retrieval": "majority_acc", "neighbour": "topk_accuracy"}.items():
        value = found[f"{ours}_accuracy@{k}"]
        assert value == pytest.approx(expected[theirs], abs=1e-7)  # float32 there


@settings(deadline=None)
@given(tables)
def test_the_majority_is_the_smallest_of_the_most_frequent(neighbours):
    expected = [
        min(Counter(row).items(), key=lambda item: (-item[1], item[0]))[0]
        for row in neighbours.tolist()
    ]
    assert majority_labels(neighbours).tolist() == expected


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 9))
def test_rotating_the_space_changes_no_neighbour(seed, k):
    rng = np.random.default_rng(seed)
    rotation, _ = np.linalg.qr(rng.normal(size=(4, 4)))
    query, memory = rng.normal(size=(6, 4)), rng.normal(size=(9, 4))
    labels = np.arange(9)
    one = nearest_labels(query, memory, labels, k)
    assert (nearest_labels(query @ rotation, memory @ rotation, labels, k) == one).all()


def test_equally_near_prototypes_come_in_the_order_of_memory():
    assert nearest_labels([[1.0]], [[0.5], [1.0], [1.0], [0.5]], [7, 9, 8, 6], 4).tolist() == [
        [9, 8, 7, 6]
    ]


def test_parts_of_the_queries_give_what_all_give(monkeypatch):
    whole = golden_neighbours(5)
    monkeypatch.setattr("congeal.neighbours.QUERY_BATCH", 7)
    assert (golden_neighbours(5) == whole).all()


def test_mean_iou_is_that_of_the_painted_segments():
    neighbours, true, areas = golden_neighbours(5), CASE["query_labels"], np.arange(60) % 9
    metric, painted = RetrievalMetric(5, 5), SemanticMetric(5)
    metric.update(prediction=neighbours, truth=true, areas=areas)
    painted.update(
        prediction=np.repeat(majority_labels(neighbours), areas), truth=np.repeat(true, areas)
    )
    assert metric.compute()["retrieval_miou@5"] == painted.compute()["miou"]


def test_void_segments_are_left_out():
    metric = RetrievalMetric(2, 1)
    metric.update(prediction=[[0], [1]], truth=[-1, 1])
    found = metric.compute()
    assert (found["segments"], found["retrieval_accuracy@1"]) == (1, 1)


def test_parts_merge_into_the_whole_and_can_be_pickled():
    whole, parts = RetrievalMetric(5, 3), [RetrievalMetric(5, 3) for _ in range(3)]
    for rank in range(3):
        mine = sides(CASE["query_labels"][rank::3], golden_neighbours(3)[rank::3])
        whole.update(**mine)
        parts[rank].update(**mine)
    merged = merge_all(pickle.loads(pickle.dumps(part)) for part in parts)
    assert merged.compute() == whole.compute()


def test_of_no_segments_nothing_can_be_said():
    metric = RetrievalMetric(2, 2)
    metric.update(prediction=np.zeros((0, 2), int), truth=np.zeros(0, int))
    found = metric.compute()
    assert found.pop("segments") == 0
    assert np.isnan(list(found.values())).all()
    assert nearest_labels(np.zeros((0, 3)), np.ones((2, 3)), [0, 1], 1).shape == (0, 1)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"query": np.zeros((2, 4))}, "queries .N, D., prototypes"),
        ({"labels": [0, 1]}, "M labels"),
        ({"labels": [0.0, 1.0, 2.0]}, "classes as integers"),
        ({"k": 0}, "k from 1 to 3"),
        ({"k": 4}, "k from 1 to 3"),
        ({"query": np.full((2, 3), np.nan)}, "finite embeddings"),
    ],
)
def test_bad_input_is_told_in_one_line(change, told):
    good = {"query": np.ones((2, 3)), "memory": np.ones((3, 3)), "labels": [0, 1, 2], "k": 1}
    with pytest.raises(CongealError, match=told):
        nearest_labels(**(good | change))


@pytest.mark.parametrize(
    ("neighbours", "true", "areas", "told"),
    [
        ([[0]], [0], None, "2 neighbours"),
        ([[0, 0]], [0], [1, 2], "an area for each of 1 segments"),
        ([[0, 5]], [0], None, "classes from 0 to 2"),
        ([[0, 0]], [5], None, "classes from 0 to 2"),
    ],
)
def test_segments_that_do_not_fit_are_told_in_one_line(neighbours, true, areas, told):
    with pytest.raises(CongealError, match=told):
        RetrievalMetric(3, 2).update(prediction=neighbours, truth=true, areas=areas)


def test_bad_settings_are_told_in_one_line():
    with pytest.raises(CongealError, match="at least one class"):
        RetrievalMetric(0, 1)
    with pytest.raises(CongealError, match="same settings"):
        RetrievalMetric(2, 1).merge(RetrievalMetric(2, 3))
