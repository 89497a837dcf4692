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
from scipy import ndimage
from sklearn import metrics as sklearn_metrics

from congeal.errors import CongealError
from congeal.metrics.metric import merge_all
from congeal.metrics.semantic import (
    SemanticMetric,
    TrimapMetric,
    class_iou,
    confusion_matrix,
    mean_iou,
    void_distance,
)

GOLDEN = Path(__file__).parent / "golden" / "semantic"
EXPECTED = json.loads((GOLDEN / "miou_trimap.json").read_text())
with np.load(GOLDEN / "miou_trimap.npz") as maps:
    TRUE, PRED = (maps[side].astype(np.int64) for side in ("gt", "pred"))
TRUE[TRUE == 255] = -1
WIDTHS = EXPECTED["deeplab_trimap"]["widths"]

shapes = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=6)
pairs_of_maps = shapes.flatmap(
    lambda shape: st.tuples(
        hnp.arrays(np.int64, shape, elements=st.integers(-1, 3)),
        hnp.arrays(np.int64, shape, elements=st.integers(-1, 3)),
    )
)


def fed(metric, images=(0, 1, 2, 3, 4, 5, 6, 7)):
    for image in images:
        metric.update(prediction=PRED[image], truth=TRUE[image])
    return metric


def percent(values):
    return np.asarray(values) / 100


def test_the_confusion_is_that_of_voc():
    confusion = fed(SemanticMetric(7)).confusion
    assert confusion[:, :7].tolist() == EXPECTED["voc_matlab"]["raw_confusion_gt_by_pred"]
    assert not confusion[:, 7].any()


def test_class_iou_is_that_of_voc_segsort_and_scikit_learn():
    ours = class_iou(fed(SemanticMetric(7)).confusion)
    assert ours == pytest.approx(percent(EXPECTED["voc_matlab"]["iou_percent"]), abs=1e-12)
    assert ours == pytest.approx(percent(EXPECTED["segsort"]["iou_percent"]), abs=1e-9)
    assert ours == pytest.approx(EXPECTED["sklearn_jaccard"], abs=1e-12)


def test_means_are_those_of_voc_and_segsort():
    found = fed(SemanticMetric(7)).compute()
    for theirs in ("voc_matlab", "segsort"):
        expected = EXPECTED[theirs]["miou_percent"] / 100
        assert found["miou"] == pytest.approx(expected, abs=1e-9)
        assert found["miou_absent_zero"] == pytest.approx(expected, abs=1e-9)
    expected = EXPECTED["segsort"]["pixel_acc_percent"] / 100
    assert found["pixel_accuracy"] == pytest.approx(expected, abs=1e-9)
    assert found["iou/5"] == 0  # predicted, never true
    assert found["images"] == len(TRUE)


def test_trimap_confusions_are_those_of_deeplab():
    confusions = fed(TrimapMetric(7, WIDTHS)).confusion()
    assert confusions[:, :, :7].tolist() == EXPECTED["deeplab_trimap"]["raw_confusions"]


def test_trimap_scores_are_those_of_deeplab():
    metric, expected = fed(TrimapMetric(7, WIDTHS)), EXPECTED["deeplab_trimap"]
    found = metric.compute()
    ours = np.transpose([class_iou(confusion) for confusion in metric.confusion()])
    theirs = percent(expected["iou_percent_class_by_width"])
    assert ours == pytest.approx(theirs, abs=1e-9)
    names = {
        "miou": "miou_percent",
        "pixel_accuracy": "pixel_acc_percent",
        "mean_accuracy": "mean_class_acc_percent",
    }
    for name, theirs in names.items():
        values = [found[f"{name}@{width}"] for width in WIDTHS]
        assert values == pytest.approx(percent(expected[theirs]), abs=1e-9)


def test_every_width_may_be_asked_for_alone():
    metric = fed(TrimapMetric(7))
    found = metric.compute()
    assert metric.confusion().shape == (40, 7, 8)
    assert found["miou@12"] == fed(TrimapMetric(7, (12,))).compute()["miou@12"]


@pytest.mark.parametrize("new", [lambda: SemanticMetric(7), lambda: TrimapMetric(7, (1, 5))])
def test_parts_merge_into_the_whole_and_can_be_pickled(new):
    parts = [fed(new(), images) for images in ([0, 1], [2], [3, 4, 5, 6, 7])]
    merged = merge_all(pickle.loads(pickle.dumps(part)) for part in parts)
    assert merged.compute() == fed(new()).compute()


@settings(deadline=None)
@given(pairs_of_maps)
def test_the_confusion_is_that_of_scikit_learn(maps):
    true, pred = maps
    known = true != -1
    found = confusion_matrix(prediction=pred, truth=true, classes=4)
    expected = np.zeros((4, 5), np.int64)
    if known.any():
        guess = np.where(pred == -1, 4, pred)[known]
        expected = sklearn_metrics.confusion_matrix(true[known], guess, labels=range(5))[:4]
    assert found.tolist() == expected.tolist()


@settings(deadline=None)
@given(pairs_of_maps)
def test_class_iou_is_that_of_masks(maps):
    true, pred = maps
    known = true != -1
    for label, found in enumerate(
        class_iou(confusion_matrix(prediction=pred, truth=true, classes=4))
    ):
        a, b = (true == label) & known, (pred == label) & known
        if (a | b).any():
            assert found == pytest.approx((a & b).sum() / (a | b).sum(), abs=1e-12)
        else:
            assert np.isnan(found)


@settings(deadline=None)
@given(pairs_of_maps, st.integers(-1, 3))
def test_padding_by_void_changes_nothing_whatever_is_predicted_there(maps, guess):
    true, pred = maps
    padded = np.pad(true, 2, constant_values=-1), np.pad(pred, 2, constant_values=guess)
    assert (
        confusion_matrix(**sides(*padded), classes=4)
        == confusion_matrix(prediction=pred, truth=true, classes=4)
    ).all()


@settings(deadline=None)
@given(hnp.arrays(np.int64, shapes, elements=st.integers(-1, 1)), st.integers(1, 4))
def test_a_band_is_void_grown_by_a_square(true, width):
    void = true == -1
    grown = ndimage.binary_dilation(void, np.ones((2 * width + 1,) * 2))
    assert ((void_distance(true) <= width) == grown).all()
    assert ((void_distance(true) == 0) == void).all()


def test_distances_to_void_are_measured_through_volumes():
    true = np.zeros((2, 3, 4), int)
    true[1, 1, 1] = -1
    assert (void_distance(true) == 1).sum() == 17  # 2 x 3 x 3, one of them void


@pytest.mark.parametrize("metric", [SemanticMetric(2), TrimapMetric(2, (1,))])
def test_a_batch_is_refused_since_bands_and_images_would_be_counted_as_one(metric):
    batch = np.zeros((2, 3, 4), int)
    with pytest.raises(CongealError, match=r"one image, got \(2, 3, 4\)"):
        metric.update(prediction=batch, truth=batch)
    assert metric.compute()["images"] == 0


def test_a_class_in_neither_map_is_skipped_or_zero_as_named():
    confusion = [[3, 1, 0], [0, 0, 0], [0, 0, 0]]
    assert class_iou(confusion) == pytest.approx([0.75, 0, np.nan], nan_ok=True)
    assert mean_iou(confusion) == pytest.approx(0.375)
    assert mean_iou(confusion, "zero") == pytest.approx(0.25)


def test_no_predicted_class_is_a_mistake_on_any_pixel():
    found = SemanticMetric(2)
    found.update(prediction=[[0, -1, 1, 1]], truth=[[0, 0, 1, 1]])
    scores = found.compute()
    assert (scores["iou/0"], scores["iou/1"], scores["pixel_accuracy"]) == (0.5, 1, 0.75)


@pytest.mark.parametrize(
    ("true", "pred"), [([[-1, -1]], [[0, 1]]), (np.zeros((0, 3), int), np.zeros((0, 3), int))]
)
def test_of_void_everywhere_nothing_can_be_said(true, pred):
    for metric in (SemanticMetric(2), TrimapMetric(2, (1,))):
        metric.update(prediction=pred, truth=true)
        found = metric.compute()
        assert found.pop("images") == 1
        assert all(np.isnan(value) for value in found.values())


def test_without_void_there_is_no_band():
    metric = TrimapMetric(2, (1, 40))
    metric.update(prediction=[[0, 1]], truth=[[0, 1]])
    assert not metric.confusion().any()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"prediction": np.zeros((3, 2), int)}, "of the same"),
        ({"prediction": np.full((2, 3), np.nan)}, "integer labels in prediction"),
        ({"prediction": np.full((2, 3), 9)}, "classes up to 6 in the prediction, got 9"),
        ({"truth": np.full((2, 3), 255)}, "classes up to 6 in the ground truth, got 255"),
        ({"classes": 0}, "at least one class, got 0"),
    ],
)
def test_bad_input_is_told_in_one_line(change, told):
    good = {"truth": np.zeros((2, 3), int), "prediction": np.zeros((2, 3), int), "classes": 7}
    with pytest.raises(CongealError, match=told) as caught:
        confusion_matrix(**(good | change))
    assert "\n" not in str(caught.value)


def test_bad_settings_are_told_in_one_line():
    for widths in ((), (0, 1), (3, 2), (2, 2)):
        with pytest.raises(CongealError, match="ascending widths"):
            TrimapMetric(2, widths)
    with pytest.raises(CongealError, match="did you mean 'skip'"):
        mean_iou([[1]], "skipped")
    with pytest.raises(CongealError, match="same number of classes 2, got 3"):
        SemanticMetric(2).merge(SemanticMetric(3))
    with pytest.raises(CongealError, match="same settings"):
        TrimapMetric(2, (1,)).merge(TrimapMetric(2, (2,)))
