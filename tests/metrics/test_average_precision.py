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
from sklearn.metrics import average_precision_score

from congeal.errors import CongealError
from congeal.metrics import AveragePrecisionMetric, Objects, average_precision
from congeal.metrics.average_precision import eleven_point_area, envelope_area

GOLDEN = Path(__file__).parent / "golden" / "voc_apr"
RESULTS = {
    ("notie", "sds_matlab_ap"): {"variant": "sds"},
    ("ties", "sds_matlab_ap"): {"variant": "sds"},
    ("notie", "fcis_voc07_ap"): {"variant": "fcis"},
    ("notie", "chainercv_voc07_ap"): {"variant": "fcis"},
    ("notie", "chainercv_area_ap"): {"variant": "fcis", "curve": "area"},
}
LONG = np.ones((1, 12), bool)


@cache
def images(name):
    """True and predicted objects of each image of a golden set."""
    data = np.load(GOLDEN / f"{name}.npz")
    height, width = data["shape"]
    masks = np.unpackbits(data["pred_masks"], axis=1)[:, : height * width]
    masks = masks.reshape(-1, height, width)
    pairs = []
    for image, labels in enumerate(data["gt_labelmaps"]):
        mine, found = data["gt_img"] == image, data["pred_img"] == image
        ids, kinds = data["gt_instance"][mine].tolist(), data["gt_class"][mine].tolist()
        pairs.append(
            (
                Objects.from_labels(labels, dict(zip(ids, kinds, strict=True))),
                Objects.from_masks(
                    masks[found], data["pred_class"][found], data["pred_score"][found]
                ),
            )
        )
    return pairs


def score(pairs, **settings):
    truth, prediction = ([pair[k] for pair in pairs] for k in (0, 1))
    return average_precision(prediction=prediction, truth=truth, **settings)


def line(*spans, length=10, **kinds):
    """Objects on one line of pixels, by their first pixel and the one after their last."""
    masks = np.zeros((len(spans), 1, length), bool)
    for mask, (start, end) in zip(masks, spans, strict=True):
        mask[0, start:end] = True
    return Objects.from_masks(masks, **kinds)


def at(found, threshold):
    return found.mean([threshold])


@pytest.mark.parametrize(("name", "key"), RESULTS)
def test_every_class_and_threshold_is_that_of_the_official_programme(name, key):
    expected = json.loads((GOLDEN / f"{name}_result.json").read_text())
    found = score(images(name), **RESULTS[name, key])
    assert found.thresholds == tuple(expected["thresholds"])
    assert np.abs(found.table - np.array(expected[key])).max() < 1e-9


def test_the_two_averages_are_means_over_their_own_thresholds():
    found = score(images("notie"))
    scores = found.as_dict()
    assert scores["apr_vol"] == pytest.approx(found.table.mean(), abs=1e-12)
    assert scores["apr_dvis"] == pytest.approx(found.table[4:].mean(), abs=1e-12)
    assert scores["apr@0.5"] == pytest.approx(found.table[4].mean(), abs=1e-12)
    assert scores["apr_vol"] != scores["apr_dvis"]


def test_an_average_whose_thresholds_were_not_measured_is_nan():
    scores = score(images("notie"), thresholds=[0.5, 0.6, 0.7, 0.8, 0.9]).as_dict()
    assert np.isnan(scores["apr_vol"])
    assert scores["apr_dvis"] == score(images("notie")).as_dict()["apr_dvis"]


@pytest.mark.parametrize(("variant", "ap"), [("sds", 0), ("fcis", 1)])
def test_an_iou_of_exactly_the_threshold_matches_in_one_variant_only(variant, ap):
    true, pred = line((0, 10)), line((0, 5))
    found = average_precision(
        prediction=[pred], truth=[true], variant=variant, thresholds=[0.5, 0.49]
    )
    assert at(found, 0.5) == pytest.approx(ap)
    assert at(found, 0.49) == pytest.approx(1)


@pytest.mark.parametrize(("variant", "ap"), [("sds", 1), ("fcis", 6 / 11)])
def test_a_second_detection_may_take_the_next_best_object_in_one_variant_only(variant, ap):
    true = Objects.from_masks([LONG, LONG])
    pred = Objects.from_masks([LONG, LONG], scores=[0.9, 0.8])
    assert at(
        average_precision(prediction=[pred], truth=[true], variant=variant), 0.5
    ) == pytest.approx(ap)


@pytest.mark.parametrize(("variant", "ap"), [("sds", 1), ("fcis", 0.5)])
def test_detections_on_images_without_any_object_count_in_one_variant_only(variant, ap):
    one, blank = line((0, 5), scores=[0.5]), line()
    noise = line((2, 4), scores=[0.9])
    found = average_precision(
        prediction=[one, noise], truth=[one, blank], variant=variant, curve="area"
    )
    assert at(found, 0.5) == pytest.approx(ap)


@pytest.mark.parametrize("variant", ["sds", "fcis"])
def test_an_image_with_objects_of_other_classes_counts_its_detections(variant):
    one, other = line((0, 5), classes=[1], scores=[0.5]), line((0, 5), classes=[2])
    noise = line((2, 4), classes=[1], scores=[0.9])
    found = average_precision(
        prediction=[one, noise], truth=[one, other], variant=variant, curve="area"
    )
    assert found.table[0].tolist() == [0.5, 0]


@pytest.mark.parametrize("variant", ["sds", "fcis"])
def test_equal_scores_count_in_stable_order(variant):
    true = line((0, 5))
    pred = line((5, 10), (0, 5), scores=[0.5, 0.5])
    found = average_precision(prediction=[pred], truth=[true], variant=variant, curve="area")
    assert at(found, 0.5) == 0.5
    back = average_precision(
        prediction=[pred.take([1, 0])], truth=[true], variant=variant, curve="area"
    )
    assert at(back, 0.5) == 1


def test_a_class_without_objects_is_nan_and_left_out_of_means():
    true = line((0, 5), classes=[1])
    found = average_precision(prediction=[line((0, 5), classes=[2])], truth=[true], classes=[1, 2])
    assert found.table[0, 0] == 0
    assert np.isnan(found.table[:, 1]).all()
    assert found.mean() == 0


def test_empty_predictions_score_zero_and_an_empty_truth_nan():
    one, blank = line((0, 5)), line()
    assert average_precision(prediction=[blank], truth=[one]).mean() == 0
    for truth in ([blank], []):
        scores = average_precision(prediction=[one][: len(truth)], truth=truth).as_dict()
        assert np.isnan(scores["apr_vol"])
        assert np.isnan(scores["apr@0.5"])


@pytest.mark.parametrize(("removed", "ap"), [(False, 0), (True, 1)])
def test_void_is_background_unless_it_is_removed(removed, ap):
    true = Objects.from_labels([[1, 1, 1, -1, -1, -1, -1]])
    pred = Objects.from_labels([[1, 1, 1, 1, 1, 1, 1]])
    found = average_precision(prediction=[pred], truth=[true], remove_void=removed)
    assert at(found, 0.5) == ap


def test_void_everywhere_leaves_nothing_to_score():
    blank, pred = Objects.from_labels([[-1, -1]]), Objects.from_labels([[1, 1]])
    for removed in (False, True):
        assert np.isnan(
            average_precision(prediction=[pred], truth=[blank], remove_void=removed).mean()
        )


@pytest.mark.parametrize("variant", ["sds", "fcis"])
@pytest.mark.parametrize("name", ["notie", "ties"])
def test_merged_halves_in_any_order_score_as_the_whole(name, variant):
    whole, left, right = (AveragePrecisionMetric(variant=variant) for _ in range(3))
    pairs = list(enumerate(images(name)))
    for image, pair in pairs:
        whole.update(**sides(*pair), image=image)
    for image, pair in pairs[::-1]:
        (left if image % 3 else right).update(**sides(*pair), image=image)
    merged = left.merge(pickle.loads(pickle.dumps(right)))
    assert merged is left
    np.testing.assert_array_equal(merged.result().table, whole.result().table)
    assert merged.compute() == whole.compute()


def test_no_masks_are_kept():
    metric = AveragePrecisionMetric()
    one = line(*[(k, k + 3) for k in range(0, 300, 3)], length=300)
    metric.update(prediction=one, truth=one)
    assert len(pickle.dumps(metric)) < 6000


def test_the_area_under_the_envelope_is_that_of_every_recall_at_its_best_precision():
    hits = np.array([1, 0, 1, 1, 0, 0, 1])
    recall, precision = hits.cumsum() / 5, hits.cumsum() / np.arange(1, 8)
    best = [max(precision[recall >= r]) for r in (0.2, 0.4, 0.6, 0.8)]
    assert envelope_area(recall, precision) == pytest.approx(sum(best) / 5)
    steps = [max(precision[recall >= r], default=0) for r in np.arange(0, 1.1, 0.1)]
    assert eleven_point_area(recall, precision) == pytest.approx(np.mean(steps))


@given(hnp.arrays(np.bool_, st.integers(1, 12)))
def test_the_envelope_is_never_below_the_steps_of_scikit_learn(hits):
    if not hits.any():
        return
    recall = hits.cumsum() / hits.sum()
    precision = hits.cumsum() / np.arange(1, len(hits) + 1)
    steps = average_precision_score(hits, -np.arange(len(hits)))
    assert envelope_area(recall, precision) >= steps - 1e-12
    if (np.diff(precision[hits]) <= 0).all():
        assert envelope_area(recall, precision) == pytest.approx(steps)


@settings(max_examples=30)
@given(
    hnp.arrays(np.int64, (4, 5), elements=st.integers(-1, 3)),
    hnp.arrays(np.int64, (4, 5), elements=st.integers(0, 3)),
    st.permutations([1, 2, 3]),
    st.sampled_from(["sds", "fcis"]),
)
def test_relabelling_and_padding_by_void_change_nothing(true, pred, order, variant):
    names = np.array([0, *order, -1])
    scores = {1: 0.9, 2: 0.8, 3: 0.7}
    found = Objects.from_labels(pred, scores=scores)
    expected = average_precision(
        prediction=[found], truth=[Objects.from_labels(true)], variant=variant, remove_void=True
    )
    wide = np.pad(pred, 2, constant_values=0)
    again = average_precision(
        prediction=[Objects.from_labels(wide, scores=scores)],
        truth=[Objects.from_labels(np.pad(true, 2, constant_values=-1))],
        variant=variant,
        remove_void=True,
    )
    np.testing.assert_array_equal(again.table, expected.table)
    if len({*found.pixels()}) == len(found) and variant == "sds":
        renamed = average_precision(
            prediction=[found], truth=[Objects.from_labels(names[true])], remove_void=True
        )
        np.testing.assert_array_equal(renamed.table[4:], expected.table[4:])


@pytest.mark.parametrize(
    ("act", "told"),
    [
        (lambda m: m.update(prediction=line(length=11), truth=line()), "of the same"),
        (
            lambda m: m.update(prediction=line(), truth=line((0, 1), classes=[9])),
            "unknown class '9'",
        ),
        (
            lambda m: m.update(prediction=line((0, 1), classes=[9]), truth=line()),
            "unknown class '9'",
        ),
        (
            lambda m: m.update(prediction=line((0, 1), scores=[np.nan]), truth=line()),
            "finite scores, got nan",
        ),
        (lambda m: m.merge(AveragePrecisionMetric([1, 2], variant="fcis")), "same settings"),
        (lambda m: AveragePrecisionMetric(variant="sdd"), "did you mean 'sds'"),
        (lambda m: AveragePrecisionMetric(curve="11"), "unknown curve"),
        (lambda m: AveragePrecisionMetric(thresholds=[0, 0.5]), r"thresholds in \(0, 1\]"),
        (lambda m: AveragePrecisionMetric(thresholds=[]), r"thresholds in \(0, 1\]"),
        (
            lambda m: average_precision(prediction=[], truth=[line()]),
            "predictions for 1 images, got 0",
        ),
    ],
)
def test_bad_input_is_told_in_one_line(act, told):
    with pytest.raises(CongealError, match=told) as caught:
        act(AveragePrecisionMetric([1, 2]))
    assert "\n" not in str(caught.value)
