from __future__ import annotations

import json
import pickle
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from cases.sides import sides
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from congeal.errors import CongealError
from congeal.metrics.matching import matching
from congeal.metrics.metric import merge_all
from congeal.metrics.nuclei import NucleiMetric, nuclei_scores
from congeal.metrics.panoptic import panoptic_counts

GOLDEN = Path(__file__).parent / "golden"
CASES = np.load(GOLDEN / "cases.npz")
HOVERNET, SEG, CELLPOSE = (
    json.loads((GOLDEN / "label_matching" / f"{name}.json").read_text())
    for name in ("hovernet", "ctc_seg", "cellpose")
)
# Without background cellpose takes the first object for it (an AP of 1.1 is among the results).
CELLPOSE_NAMES = [name for name in CELLPOSE["result"] if not name.startswith("partition")]

shapes = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=6)
pairs_of_maps = shapes.flatmap(
    lambda shape: st.tuples(
        hnp.arrays(np.int64, shape, elements=st.integers(0, 4)),
        hnp.arrays(np.int64, shape, elements=st.integers(0, 4)),
    )
)


def golden_pair(name):
    return CASES[f"{name}__true"], CASES[f"{name}__pred"]


def masks(labels):
    return [labels == label for label in sorted(set(labels[labels > 0].tolist()))]


def iou_slowly(trues, preds):
    pairs = [[(a & b).sum() / (a | b).sum() for b in preds] for a in trues]
    return np.array(pairs).reshape(len(trues), len(preds))


def aggregated_slowly(trues, preds, pairs):
    shared = sum((trues[t] & preds[p]).sum() for t, p in pairs)
    below = sum((trues[t] | preds[p]).sum() for t, p in pairs)
    below += sum(mask.sum() for t, mask in enumerate(trues) if t not in {t for t, _ in pairs})
    below += sum(mask.sum() for p, mask in enumerate(preds) if p not in {p for _, p in pairs})
    return shared / below if below else 0.0


@pytest.mark.parametrize("name", list(HOVERNET))
@pytest.mark.parametrize("score", ["aji", "aji_plus", "dice2", "dice1"])
def test_scores_are_those_of_hover_net(name, score):
    found = nuclei_scores(**sides(*golden_pair(name)))
    assert getattr(found, score) == pytest.approx(HOVERNET[name][score], abs=1e-9)


@pytest.mark.parametrize("name", list(HOVERNET))
def test_panoptic_quality_of_one_class_is_that_of_hover_net(name):
    # hover_net knows no void, so background is a segment of another class here
    true, pred = (np.where(side, side, 60_000) for side in golden_pair(name))
    kinds = [{label: int(label == 60_000) for label in np.unique(side)} for side in (true, pred)]
    found, expected = (
        panoptic_counts(**sides(true, pred), truth_classes=kinds[0], prediction_classes=kinds[1])[
            0
        ],
        HOVERNET[name],
    )
    assert found.rq == pytest.approx(expected["dq"], abs=1e-9)
    sq = found.iou_sum / (found.tp + 1e-6)  # as it is kept from dividing by zero there
    assert sq == pytest.approx(expected["sq"], abs=1e-9)
    assert found.rq * sq == pytest.approx(expected["pq"], abs=1e-9)


@pytest.mark.parametrize("name", list(SEG))
def test_seg_is_that_of_the_cell_tracking_challenge(name):
    found, expected = nuclei_scores(**sides(*golden_pair(name))), SEG[name]
    assert found.seg == pytest.approx(expected["SEG"], abs=1e-9)
    assert found.n_true == len(expected["labels_ref"])


@pytest.mark.parametrize("name", CELLPOSE_NAMES)
def test_average_precision_of_cellpose_is_that_of_matching(name):
    found, expected = (
        matching(**sides(*golden_pair(name)), threshold=CELLPOSE["thresholds"]),
        CELLPOSE["result"][name],
    )
    counts = [(m.tp, m.fp, m.fn) for m in found]
    assert counts == list(zip(expected["tp"], expected["fp"], expected["fn"], strict=True))
    theirs = [0.0 if np.isnan(ap) else ap for ap in expected["ap"]]  # both maps empty
    assert [m.ap for m in found] == pytest.approx(theirs, abs=1e-7)  # float32 there


@settings(deadline=None)
@given(pairs_of_maps)
def test_scores_are_those_of_masks_compared_one_by_one(maps):
    found = nuclei_scores(**sides(*maps))
    trues, preds = masks(maps[0]), masks(maps[1])
    iou = iou_slowly(trues, preds)
    first = [(t, int(row.argmax())) for t, row in enumerate(iou) if len(row) and row.max() > 0]
    assert found.aji == pytest.approx(aggregated_slowly(trues, preds, first), abs=1e-12)
    meeting = list(zip(*np.nonzero(iou), strict=True))
    shared = sum((trues[t] & preds[p]).sum() for t, p in meeting)
    both = sum(trues[t].sum() + preds[p].sum() for t, p in meeting)
    assert found.dice2 == pytest.approx(2 * shared / both if both else 0, abs=1e-12)
    covered = [iou[t, p] for t, p in meeting if (trues[t] & preds[p]).sum() > trues[t].sum() / 2]
    assert found.seg == pytest.approx(sum(covered) / max(len(trues), 1), abs=1e-12)


@settings(deadline=None)
@given(pairs_of_maps)
def test_aji_plus_assigns_the_largest_total_iou(maps):
    trues, preds = masks(maps[0]), masks(maps[1])
    iou = iou_slowly(trues, preds)
    few, swapped = (iou, False) if len(trues) <= len(preds) else (iou.T, True)
    ranked = []
    for order in permutations(range(few.shape[1]), few.shape[0]):
        pairs = [(r, c) for r, c in enumerate(order) if few[r, c] > 0]
        total = sum(few[pair] for pair in pairs)
        pairs = [pair[::-1] for pair in pairs] if swapped else pairs
        ranked.append((total, aggregated_slowly(trues, preds, pairs)))
    best = max(total for total, _ in ranked)
    found = nuclei_scores(**sides(*maps)).aji_plus
    assert min(abs(found - score) for total, score in ranked if total > best - 1e-9) < 1e-12


@settings(deadline=None)
@given(pairs_of_maps, st.integers(1, 10**12), st.integers(0, 9))
def test_larger_labels_and_padding_by_void_change_nothing(maps, factor, guess):
    true, pred = maps
    padded = (
        np.pad(true * factor, 2, constant_values=-1),
        np.pad(pred * factor, 2, constant_values=guess),
    )
    assert nuclei_scores(**sides(*padded)) == nuclei_scores(prediction=pred, truth=true)


@pytest.mark.parametrize(
    ("true", "pred", "objects"),
    [
        ([[0, 0]], [[0, 0]], (0, 0)),
        ([[1, 2]], [[0, 0]], (2, 0)),
        ([[0, 0]], [[1, 2]], (0, 2)),
        ([[-1, -1]], [[1, 2]], (0, 0)),
        ([[-1, 0]], [[1, 1]], (0, 1)),
        (np.zeros((0, 4), int), np.zeros((0, 4), int), (0, 0)),
    ],
)
def test_maps_without_objects_or_all_void_score_zero(true, pred, objects):
    found = nuclei_scores(prediction=pred, truth=true)
    assert (found.aji, found.aji_plus, found.dice2, found.dice1, found.seg) == (0,) * 5
    assert (found.n_true, found.n_pred) == objects


def test_the_metric_averages_over_images_and_seg_over_objects():
    metric = NucleiMetric()
    for name in HOVERNET:
        metric.update(**sides(*golden_pair(name)))
    found = metric.compute()
    for score in ("aji", "aji_plus", "dice2", "dice1"):
        mean = np.mean([expected[score] for expected in HOVERNET.values()])
        assert found[score] == pytest.approx(mean, abs=1e-9)
    sizes = [len(SEG[name]["labels_ref"]) for name in HOVERNET]
    seg = np.average([SEG[name]["SEG"] for name in HOVERNET], weights=sizes)
    assert found["seg"] == pytest.approx(seg, abs=1e-9)
    assert (found["images"], found["objects"]) == (len(HOVERNET), sum(sizes))


def test_images_without_any_object_enter_no_mean():
    metric = NucleiMetric()
    metric.update(**sides(*golden_pair("identical")))
    metric.update(prediction=[[0, 0]], truth=[[0, 0]])
    found = metric.compute()
    assert (found["aji"], found["dice1"], found["seg"], found["images"]) == (1, 1, 1, 2)


def test_parts_merge_into_the_whole_and_can_be_pickled():
    whole, parts = NucleiMetric(), [NucleiMetric() for _ in range(3)]
    for rank, name in enumerate(SEG):
        whole.update(**sides(*golden_pair(name)))
        parts[rank % 3].update(**sides(*golden_pair(name)))
    merged = merge_all(pickle.loads(pickle.dumps(part)) for part in parts)
    assert merged.compute() == pytest.approx(whole.compute(), abs=1e-12)


def test_of_no_objects_nothing_can_be_said():
    metric = NucleiMetric()
    metric.update(prediction=[[0, 0]], truth=[[0, -1]])
    found = metric.compute()
    assert all(np.isnan(found[name]) for name in ("aji", "aji_plus", "dice2", "dice1", "seg"))


def test_bad_input_is_told_in_one_line():
    with pytest.raises(CongealError, match="of the same"):
        nuclei_scores(prediction=np.zeros((3, 2), int), truth=np.zeros((2, 3), int))
    with pytest.raises(CongealError, match="integer labels in prediction"):
        nuclei_scores(prediction=[[float("nan")]], truth=[[1]])
