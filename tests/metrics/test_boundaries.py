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
from congeal.metrics import (
    BoundaryIouMetric,
    ContourF1Metric,
    DavisMetric,
    boundary_band,
    boundary_f,
    boundary_iou,
    contour_f1,
    merge_all,
    region_j,
)

GOLDEN = Path(__file__).parent / "golden" / "boundary_f"
CASES = np.load(GOLDEN / "cases.npz")
RESULT = json.loads((GOLDEN / "result.json").read_text())
PAIRS = [(CASES["gt"][k], CASES["pred"][k], CASES["void"][k]) for k in range(len(CASES["gt"]))]
MAPS = list(zip(CASES["mc_gt"], CASES["mc_pred"], strict=True))
# Where a contour runs over a pixel twice, the port counts that pixel twice.
TWICE = {1, 8, 10}

exactly = {"abs": 1e-9, "nan_ok": True}
semantic = hnp.arrays(np.int64, (6, 7), elements=st.integers(-1, 2))


@pytest.mark.parametrize("bound", ["0.008", "1", "2", "5", "10"])
def test_boundary_f_is_that_of_davis(bound):
    ours = [boundary_f(prediction=pred, truth=true, bound=float(bound)) for true, pred, _ in PAIRS]
    assert ours == pytest.approx(RESULT["davis"][bound], **exactly)


def test_void_is_outside_both_masks_as_in_davis():
    ours = [
        (boundary_f(prediction=p, truth=t, void=v), region_j(prediction=p, truth=t, void=v))
        for t, p, v in PAIRS
    ]
    official = RESULT["davis_void_0008"], RESULT["jaccard_void"]
    np.testing.assert_allclose(np.transpose(ours), official, atol=1e-9)


@pytest.mark.parametrize("width", ["0.005", "0.02", "0.05"])
def test_boundary_iou_is_that_of_its_authors(width):
    ours = [
        boundary_iou(prediction=pred, truth=true, width=float(width)) for true, pred, _ in PAIRS
    ]
    official = [float("nan") if v is None else v for v in RESULT["boundary_iou"][width]]
    assert ours == pytest.approx(official, **exactly)


def test_bands_have_the_pixels_of_the_authors():
    assert [boundary_band(t).sum() for t, _, _ in PAIRS] == RESULT["boundary_iou_pixels_gt_002"]


@pytest.mark.parametrize("limit", ["1", "2", "5", "10"])
def test_contour_f1_agrees_with_a_port_that_takes_the_image_border_for_contour(limit):
    """A frame of background makes a contour of the border here too."""
    compared = 0
    for k, (true, pred) in enumerate(MAPS):
        official = RESULT["bfscore_python_per_image_class"][limit][k]
        if isinstance(official, str):  # the port crashed
            continue
        found = contour_f1(
            prediction=np.pad(pred, 1),
            truth=np.pad(true, 1),
            thresholds=[float(limit)],
            background=False,
        )
        for name, value in enumerate(official, start=1):
            if value is not None:
                tolerance = 0.01 if k in TWICE else 1e-9
                assert found[name][0] == pytest.approx(value, abs=tolerance), (k, name)
                compared += 1
    assert compared > 12


def contour_f1_slowly(true, pred, limit):
    def contour(labels, name):
        points = []
        for y, x in np.argwhere(labels == name):
            for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                inside = 0 <= v < labels.shape[0] and 0 <= u < labels.shape[1]
                if inside and labels[v, u] not in (name, -1):
                    points.append((y, x))
                    break
        return np.array(points).reshape(-1, 2)

    pred = np.where(true == -1, -1, pred)
    found = {}
    for name in set(true[true >= 0].tolist()):
        a, b = contour(true, name), contour(pred, name)
        if not len(a) and not len(b):
            continue
        if not len(a) or not len(b):
            found[name] = 0.0
            continue
        gaps = np.sqrt(((a[:, None] - b[None]) ** 2).sum(-1))
        p, r = (gaps.min(0) < limit).mean(), (gaps.min(1) < limit).mean()
        found[name] = 2 * p * r / (p + r) if p + r else 0.0
    return found


@settings(deadline=None, max_examples=60)
@given(semantic, semantic, st.sampled_from([1.0, 1.5, 3.0]))
def test_contour_f1_follows_its_definition_point_by_point(true, pred, limit):
    found = {
        name: f[0]
        for name, f in contour_f1(prediction=pred, truth=true, thresholds=[limit]).items()
    }
    assert found == pytest.approx(contour_f1_slowly(true, pred, limit))


@settings(deadline=None, max_examples=30)
@given(semantic, semantic, st.integers(0, 2))
def test_void_padding_changes_nothing_whatever_is_predicted_there(true, pred, guess):
    padded = np.pad(true, 2, constant_values=-1), np.pad(pred, 2, constant_values=guess)
    assert contour_f1(**sides(*padded)) == contour_f1(prediction=pred, truth=true)


def test_a_contour_in_one_map_only_scores_zero_and_in_none_is_left_out():
    whole, halves = np.ones((4, 6), int), np.repeat([[1, 1, 1, 2, 2, 2]], 4, axis=0)
    assert contour_f1(prediction=whole, truth=whole) == {}
    assert contour_f1(prediction=halves, truth=whole) == {1: [0, 0, 0]}
    assert contour_f1(prediction=whole, truth=halves, thresholds=(5,)) == {1: [0], 2: [0]}
    assert contour_f1(prediction=halves, truth=-whole) == {}
    assert list(contour_f1(prediction=halves - 1, truth=halves - 1, background=False)) == [1]


def test_unknown_predicted_classes_only_take_their_pixels_away():
    true = np.repeat([[1, 1, 1, 2, 2, 2]], 4, axis=0)
    assert list(contour_f1(prediction=true * 7, truth=true, thresholds=(5,))) == [1, 2]


def metrics_of(pairs, maps):
    davis, iou, contour = DavisMetric(), BoundaryIouMetric(), ContourF1Metric((1, 5))
    for true, pred, void in pairs:
        davis.update(prediction=pred, truth=true, void=void)
        iou.update(prediction=pred, truth=true)
    for true, pred in maps:
        contour.update(prediction=pred, truth=true)
    return davis, iou, contour


def test_merged_metrics_score_as_one_that_saw_everything():
    parts = zip(metrics_of(PAIRS[:4], MAPS[:5]), metrics_of(PAIRS[4:], MAPS[5:]), strict=True)
    for whole, both in zip(metrics_of(PAIRS, MAPS), parts, strict=True):
        merged = merge_all(pickle.loads(pickle.dumps(both)))
        assert merged.compute() == pytest.approx(whole.compute(), abs=1e-12)


def test_means_are_over_objects_and_images():
    davis, iou, contour = metrics_of(PAIRS, MAPS)
    assert davis.compute()["f"] == pytest.approx(np.mean(RESULT["davis_void_0008"]))
    assert davis.compute()["j"] == pytest.approx(np.mean(RESULT["jaccard_void"]))
    known = [v for v in RESULT["boundary_iou"]["0.02"] if v is not None]
    assert iou.compute() == {"boundary_iou": pytest.approx(np.mean(known)), "objects": 14}
    means = [
        np.mean([f[1] for f in contour_f1(**sides(*pair), thresholds=(1, 5)).values()])
        for pair in MAPS
    ]
    assert contour.compute()["contour_f1@5"] == pytest.approx(np.mean(means))


def test_scores_without_any_image_are_nan():
    for metric in (DavisMetric(), BoundaryIouMetric(), ContourF1Metric()):
        counted = ("images", "objects")
        assert all(np.isnan(v) for k, v in metric.compute().items() if k not in counted)


MASK = np.ones((3, 4), bool)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: boundary_f(prediction=MASK.T, truth=MASK), "of the same"),
        (lambda: boundary_f(prediction=MASK * 1.0, truth=MASK), "boolean masks"),
        (lambda: boundary_f(prediction=MASK, truth=MASK * np.nan), "boolean masks"),
        (
            lambda: boundary_f(prediction=MASK, truth=MASK, void=MASK[:2]),
            "of the same",
        ),
        (lambda: boundary_f(prediction=MASK, truth=MASK, bound=0), "positive bound"),
        (lambda: boundary_f(prediction=MASK, truth=MASK, bound=float("nan")), "positive bound"),
        (lambda: boundary_iou(prediction=MASK, truth=MASK, width=-1), "positive width"),
        (lambda: region_j(prediction=MASK.T, truth=MASK), "of the same"),
        (lambda: contour_f1(prediction=MASK.T * 1, truth=MASK * 1), "of the same"),
        (lambda: contour_f1(prediction=MASK * 1, truth=MASK * 1.0), "integer labels"),
        (
            lambda: contour_f1(prediction=MASK * 1, truth=MASK * 1, thresholds=[0]),
            "positive thresholds",
        ),
        (lambda: DavisMetric().merge(DavisMetric(1)), "same settings"),
        (lambda: BoundaryIouMetric().merge(BoundaryIouMetric(1)), "same settings"),
        (lambda: ContourF1Metric().merge(ContourF1Metric((3,))), "same settings"),
    ],
)
def test_bad_input_is_told_in_one_line(call, told):
    with pytest.raises(CongealError) as caught:
        call()
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
