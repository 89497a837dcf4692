from __future__ import annotations

import json
import pickle
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from cases.sides import sides
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from congeal.errors import CongealError
from congeal.metrics import Objects, ProposalMetric, proposal_recall

GOLDEN = Path(__file__).parent / "golden" / "proposals_ar"
RESULT = json.loads((GOLDEN / "result.json").read_text())


@cache
def images():
    """Objects and proposals of each golden image."""
    data = np.load(GOLDEN / "cases.npz")
    height, width = data["shape"]
    known, true, pred = (
        np.unpackbits(data[key], axis=1)[:, : height * width].reshape(-1, height, width) > 0
        for key in ("valid", "gt", "prop")
    )
    return [
        (
            Objects.from_masks(true[data["gt_img"] == image], void=~known[image]),
            Objects.from_masks(pred[data["prop_img"] == image]),
        )
        for image in range(len(known))
    ]


def metric_of(chosen):
    metric = ProposalMetric(RESULT["N"])
    for image in chosen:
        metric.update(**sides(*images()[image]), image=image)
    return metric


def line(*spans, length=20, **kinds):
    masks = np.zeros((len(spans), 1, length), bool)
    for mask, (start, end) in zip(masks, spans, strict=True):
        mask[0, start:end] = True
    return Objects.from_masks(masks, **kinds)


def close(found, expected):
    return np.abs(np.asarray(found) - np.array(expected)).max() < 1e-9


def test_iou_of_every_object_is_that_of_the_official_programmes():
    found = metric_of(range(10)).result()
    assert close(found.best, RESULT["max_jaccard_per_object"])
    assert close(found.paired, RESULT["greedy_jaccard_per_object"])


def test_recalls_are_those_of_the_official_programmes():
    found = metric_of(range(10)).result()
    assert close(found.average_recall(), RESULT["mcg_average_recall"])
    assert close(found.recall(0.5), RESULT["mcg_recall_gt_05"])
    assert close(found.recall(0.7), RESULT["mcg_recall_gt_07"])
    assert close(found.recall(0.85), RESULT["mcg_recall_gt_085"])
    one_to_one = RESULT["greedy_one_to_one_average_recall"]
    assert close(found.average_recall(one_to_one=True), one_to_one)
    assert close(found.hosang(), RESULT["hosang_AR"])


def test_numbers_go_by_name():
    scores = metric_of(range(10)).compute()
    for column, count in enumerate(RESULT["N"]):
        expected = {
            "ar": RESULT["mcg_average_recall"],
            "recall_0.5": RESULT["mcg_recall_gt_05"],
            "recall_0.7": RESULT["mcg_recall_gt_07"],
            "recall_0.85": RESULT["mcg_recall_gt_085"],
            "mean_iou": np.mean(RESULT["max_jaccard_per_object"], axis=1),
            "ar_one_to_one": RESULT["greedy_one_to_one_average_recall"],
            "ar_hosang": RESULT["hosang_AR"],
        }
        for name, values in expected.items():
            assert scores[f"{name}@{count}"] == pytest.approx(values[column], abs=1e-9)
    assert (scores["images"], scores["objects"], scores["predicted"]) == (10, 29, 84)


def test_merged_halves_in_any_order_score_as_the_whole():
    whole = metric_of(range(10)).compute()
    left, right = metric_of(range(9, 0, -2)), metric_of(range(0, 10, 2))
    merged = left.merge(pickle.loads(pickle.dumps(right)))
    assert merged is left
    assert merged.compute() == whole


def test_an_image_without_proposals_still_counts_its_objects():
    found = proposal_recall(prediction=line(), truth=line((0, 5), (6, 9)), counts=[1, 5])
    assert found.best.tolist() == found.paired.tolist() == [[0, 0], [0, 0]]
    assert found.average_recall().tolist() == found.hosang().tolist() == [0, 0]


def test_without_objects_there_is_no_recall():
    scores = ProposalMetric([1])
    scores.update(prediction=line((0, 5)), truth=line())
    assert np.isnan(scores.compute()["ar@1"])
    assert np.isnan(scores.compute()["ar_hosang@1"])
    assert scores.compute()["predicted"] == 1


def test_void_is_removed_from_objects_and_proposals():
    true = Objects.from_masks([[[1, 1, 1, 1, 0, 0]]], void=[[0, 0, 1, 1, 1, 1]])
    found = proposal_recall(
        prediction=Objects.from_masks([[[1, 0, 0, 1, 1, 1]]]), truth=true, counts=[1]
    )
    assert found.best.tolist() == [[0.5]]


def test_void_everywhere_leaves_no_object():
    true = Objects.from_masks([[[1, 1]]], void=[[1, 1]])
    assert proposal_recall(
        prediction=Objects.from_masks([[[1, 1]]]), truth=true, counts=[1]
    ).best.shape == (1, 0)


def test_recall_at_a_half_is_above_it_while_average_recall_reaches_it():
    found = proposal_recall(prediction=line((0, 5)), truth=line((0, 10)), counts=[1])
    assert found.recall(0.5).tolist() == [0]
    assert found.average_recall().tolist() == [0.1]


def test_one_proposal_may_serve_several_objects_unless_one_to_one():
    found = proposal_recall(prediction=line((0, 10)), truth=line((0, 10), (1, 10)), counts=[1])
    assert found.best.tolist() == [[1, 0.9]]
    assert found.paired.tolist() == [[1, 0]]


def test_proposals_rank_by_score_and_then_as_they_stand():
    true = line((0, 10))
    pred = line((0, 2), (0, 10), (0, 6), scores=[0.5, 0.5, 0.9])
    found = proposal_recall(prediction=pred, truth=true, counts=[1, 2, 3])
    assert found.best.tolist() == [[0.6], [0.6], [1]]


def paired_slowly(iou):
    """Cross out the row and the column of the highest value, over and over."""
    left, paired = iou.copy(), np.zeros(len(iou))
    while left.size and left.max() > 0:
        row, col = np.unravel_index(left.argmax(), left.shape)
        paired[row] = left[row, col]
        left[row], left[:, col] = 0, 0
    return paired


@settings(max_examples=50)
@given(hnp.arrays(np.bool_, (3, 3, 4)), hnp.arrays(np.bool_, (4, 3, 4)))
def test_pairs_are_taken_by_the_highest_iou_left(a, b):
    a = a[a.any((1, 2))]
    iou = np.array([[(x & y).sum() / max((x | y).sum(), 1) for y in b] for x in a]).reshape(-1, 4)
    found = proposal_recall(
        prediction=Objects.from_masks(b), truth=Objects.from_masks(a), counts=[4]
    )
    np.testing.assert_array_equal(found.best[0], iou.max(1))
    distinct = np.unique(iou[iou > 0])
    if len(distinct) == (iou > 0).sum():
        np.testing.assert_array_equal(found.paired[0], paired_slowly(iou))
    assert (found.paired <= found.best).all()


@given(st.integers(0, 6), hnp.arrays(np.int64, (3, 4), elements=st.integers(-1, 3)))
def test_padding_by_void_changes_nothing_whatever_is_proposed_there(width, labels):
    pred = np.ones((2, 3, 4), bool)
    pred[0, :2] = False
    edges = ((0, 0), (width, width), (1, width))
    before = proposal_recall(prediction=Objects.from_masks(pred), truth=Objects.from_labels(labels))
    true = Objects.from_labels(np.pad(labels, edges[1:], constant_values=-1))
    after = proposal_recall(
        prediction=Objects.from_masks(np.pad(pred, edges, constant_values=True)), truth=true
    )
    np.testing.assert_array_equal(after.best, before.best)


@pytest.mark.parametrize(
    ("act", "told"),
    [
        (lambda m: m.update(prediction=line(length=21), truth=line()), "of the same"),
        (
            lambda m: m.update(prediction=line((0, 1), scores=[np.nan]), truth=line()),
            "finite scores, got nan",
        ),
        (lambda m: m.merge(ProposalMetric([1])), "metric of the same settings .*counts"),
        (lambda m: ProposalMetric([10, 1]), "ascending from 1"),
        (lambda m: ProposalMetric([]), "ascending from 1"),
        (
            lambda m: proposal_recall(prediction=line(), truth=line(), counts=[0, 1]),
            "ascending from 1",
        ),
    ],
)
def test_bad_input_is_told_in_one_line(act, told):
    with pytest.raises(CongealError, match=told) as caught:
        act(ProposalMetric([1, 2]))
    assert "\n" not in str(caught.value)
