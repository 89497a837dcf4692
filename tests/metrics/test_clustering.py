from __future__ import annotations

import json
import math
import pickle
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from cases.sides import sides
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from congeal.errors import CongealError
from congeal.metrics import ClusteringMetric, clustering_scores, merge_all

GOLDEN = Path(__file__).parent / "golden"
CASES = np.load(GOLDEN / "cases.npz")
RESULT = json.loads((GOLDEN / "clustering" / "sklearn_skimage.json").read_text())["result"]
NAMES = list(RESULT)
SAME = ("ari", "ami", "nmi", "rand", "homogeneity", "completeness", "fmi")

maps = hnp.arrays(np.int64, (4, 5), elements=st.integers(0, 3))


def golden_pair(name):
    return CASES[f"{name}__true"], CASES[f"{name}__pred"]


def near(value):
    return pytest.approx(value, abs=1e-9, nan_ok=True)


@pytest.mark.parametrize("name", NAMES)
def test_scores_are_those_of_the_libraries(name):
    official, found = RESULT[name], clustering_scores(**sides(*golden_pair(name)))
    for measure in SAME:
        assert getattr(found, measure) == near(official[measure]), measure
    assert found.nmi == near(official["v_measure"])
    assert [found.voi_split, found.voi_merge] == near(official["voi_split_merge"])
    adapted = [found.are, found.are_precision, found.are_recall]
    assert adapted == near(official["adapted_rand_error"])


@pytest.mark.parametrize("name", NAMES)
def test_scores_without_background_are_those_of_the_libraries(name):
    official, found = RESULT[name], clustering_scores(**sides(*golden_pair(name)), background=False)
    assert [found.voi_split, found.voi_merge] == near(official["voi_ignore0"])
    expected = math.nan if official["ari_fg"] is None else official["ari_fg"]
    assert found.ari == near(expected)


@settings(deadline=None, max_examples=25)
@given(maps, maps, st.permutations([1, 2, 3]), st.integers(1, 10**12))
def test_relabelling_and_void_padding_change_nothing(true, pred, order, factor):
    renamed = np.array([0, *order]) * factor
    expected = near(asdict(clustering_scores(prediction=pred, truth=true)))
    assert asdict(clustering_scores(prediction=pred, truth=renamed[true])) == expected
    assert asdict(clustering_scores(prediction=renamed[pred], truth=true)) == expected
    padded = np.pad(true, 1, constant_values=-1), np.pad(pred, 1, constant_values=9)
    assert asdict(clustering_scores(**sides(*padded))) == expected


def test_void_everywhere_leaves_nothing_to_compare():
    found = clustering_scores(prediction=[[1, 2]], truth=[[-1, -1]])
    assert all(math.isnan(value) for value in asdict(found).values())


def test_a_single_object_pixel_has_no_pair_to_judge():
    found = clustering_scores(prediction=[[0, 1]], truth=[[0, 1]])
    assert found.ari == 1
    assert math.isnan(found.are)


@pytest.mark.parametrize("split", [0, 7, len(NAMES)])
def test_merged_metrics_score_as_one_that_saw_everything(split):
    whole, left, right = (ClusteringMetric() for _ in range(3))
    for rank, name in enumerate(NAMES):
        whole.update(**sides(*golden_pair(name)))
        (left if rank < split else right).update(**sides(*golden_pair(name)))
    merged = merge_all(pickle.loads(pickle.dumps([left, right])))
    assert merged.compute() == near(whole.compute())


def test_undefined_scores_are_left_out_of_their_mean():
    metric = ClusteringMetric()
    metric.update(prediction=[[0, 0]], truth=[[0, 0]])  # no adapted Rand error without objects
    metric.update(prediction=[[1, 1]], truth=[[1, 1]])
    scores = metric.compute()
    assert (scores["ari"], scores["are"], scores["images"]) == (1, 0, 2)
    assert math.isnan(ClusteringMetric().compute()["ari"])


def test_bad_input_is_told_in_one_line():
    for true, pred, told in (
        ([[1, 2]], [[1], [2]], "of the same"),
        ([[1.0]], [[1]], "integer labels"),
        ([[float("nan")]], [[1]], "integer labels"),
    ):
        with pytest.raises(CongealError, match=told) as caught:
            clustering_scores(prediction=pred, truth=true)
        assert "\n" not in str(caught.value)
    with pytest.raises(CongealError, match="background"):
        ClusteringMetric().merge(ClusteringMetric(background=False))
