from __future__ import annotations

import json
import pickle
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from congeal.errors import CongealError
from congeal.metrics import CityscapesMetric, Objects, cityscapes_scores, instance_ids

GOLDEN = Path(__file__).parent / "golden" / "cityscapes"
SETS = ("notie", "ties")
CAR, PERSON, ROAD = 26, 24, 7


@cache
def images(name):
    """Ids, predictions and distances of each image of a golden set."""
    data = np.load(GOLDEN / f"{name}.npz")
    _, height, width = data["gt"].shape
    masks = np.unpackbits(data["pred_masks"], axis=1)[:, : height * width]
    masks = masks.reshape(-1, height, width)
    rows = []
    for image, ids in enumerate(data["gt"]):
        mine, near = data["pred_img"] == image, data["dist_img"] == image
        pred = Objects.from_masks(masks[mine], data["pred_class"][mine], data["pred_score"][mine])
        measured = zip(data["dist_median"][near], data["dist_conf"][near], strict=True)
        rows.append((ids, pred, dict(zip(data["dist_inst"][near].tolist(), measured, strict=True))))
    return rows


def score(name, distances):
    ids, pred, near = (list(column) for column in zip(*images(name), strict=True))
    return cityscapes_scores(prediction=pred, truth=ids, distances=near if distances else None)


def expected_scores(name, key):
    averages = json.loads((GOLDEN / f"{name}_result.json").read_text())[key]["averages"]
    return averages, averages["classes"]


def same(one, two):
    return np.array_equal(np.isnan(one), np.isnan(two)) and np.nanmax(np.abs(one - two)) < 1e-9


def boxes(*spans, size=(40, 100), classes=None, scores=None):
    """Predicted full columns from a first to the one after the last."""
    masks = np.zeros((len(spans), *size), bool)
    for mask, (start, end) in zip(masks, spans, strict=True):
        mask[:, start:end] = True
    return Objects.from_masks(masks, classes or [CAR] * len(spans), scores)


def scene(*spans, size=(40, 100)):
    """A map of ids: columns from a first to the one after the last, with an id."""
    ids = np.full(size, ROAD)
    for start, end, value in spans:
        ids[:, start:end] = value
    return ids


def car(ids, pred, distances=None):
    """AP of cars at each threshold."""
    near = None if distances is None else [distances]
    table = cityscapes_scores(prediction=[pred], truth=[ids], distances=near).table
    return table[0, 2] if distances is None else table[:, 2]


@pytest.mark.parametrize("name", SETS)
def test_every_class_and_threshold_is_that_of_the_official_programme(name):
    data = np.load(GOLDEN / f"{name}.npz")
    assert same(score(name, False).table, data["ap"])
    assert same(score(name, True).table, data["ap_dist"])


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("distances", [False, True])
def test_means_are_those_of_the_official_programme(name, distances):
    whole, classes = expected_scores(name, "with_distance" if distances else "no_distance")
    names = {"allAp": "ap", "allAp50%": "ap@0.5"}
    if distances:
        names |= {"allAp100m": "ap_100m", "allAp50m": "ap_50m", "allAp50%50m": "ap_50m@0.5"}
    found = score(name, distances)
    for theirs, ours in names.items():
        assert found.as_dict()[ours] == pytest.approx(whole[theirs], abs=1e-9)
        short = theirs.removeprefix("all")
        for label, values in found.per_class().items():
            value = classes[label][short[0].lower() + short[1:]]
            expected = np.nan if value is None else value
            assert values[ours] == pytest.approx(expected, abs=1e-9, nan_ok=True)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("named", [False, True])
def test_merged_halves_in_any_order_score_as_the_whole(name, named):
    left, right = (CityscapesMetric(distances=True) for _ in range(2))
    for image, (ids, pred, near) in list(enumerate(images(name)))[::-1]:
        part = left if image % 2 else right
        part.update(prediction=pred, truth=ids, distances=near, image=image if named else None)
    merged = left.merge(pickle.loads(pickle.dumps(right)))
    assert merged is left
    np.testing.assert_array_equal(merged.result().table, score(name, True).table)


def test_an_overlap_of_exactly_the_threshold_is_no_match():
    assert car(scene((0, 20, 26000)), boxes((0, 10)))[0] == 0
    assert car(scene((0, 20, 26000)), boxes((0, 11)))[0] == 1


def test_of_several_predictions_of_an_object_only_the_best_is_right():
    ids = scene((0, 20, 26000))
    pair = [car(ids, boxes((0, 20), (0, 19), scores=scores))[0] for scores in ([1, 0.5], [0.5, 1])]
    # points (P, R) = (1/2, 1), (1, 1), (1, 0): the first has no width, the last two have half each
    assert pair == [1, 1]
    assert car(ids, boxes((0, 20), (0, 19), scores=[0.5, 0.5]))[0] == 0.75


def test_the_curve_has_one_point_for_each_score():
    ids = scene((0, 20, 26000), (30, 50, 26001))
    pred = boxes((0, 20), (60, 80), (30, 50), scores=[0.9, 0.9, 0.8])
    recall, precision = [1, 0.5, 0], [2 / 3, 1 / 2, 1]
    around = [1, *recall, 0]
    area = sum(p * (a - b) / 2 for p, a, b in zip(precision, around, around[2:], strict=False))
    assert car(ids, pred)[0] == pytest.approx(area)


@pytest.mark.parametrize(("value", "rows"), [(CAR, 12), (1, 12), (26001, 9)])
def test_predictions_on_void_groups_or_tiny_objects_are_ignored(value, rows):
    ids = scene((0, 20, 26000))
    ids[:rows, 90:] = value
    guess = np.zeros((2, 40, 100), bool)
    guess[0, :, :20], guess[1, :rows, 80:] = True, True
    pred = Objects.from_masks(guess, [CAR, CAR], [0.5, 0.9])
    # half of the pixels are ignored: not more than the lowest threshold
    assert car(ids, pred)[0] < 1
    ids[0, 89] = value
    assert car(ids, pred)[0] == 1
    assert car(ids, pred)[1] < 1


def test_groups_of_other_classes_excuse_nothing():
    ids = scene((0, 20, 26000), (50, 80, PERSON))
    assert car(ids, boxes((0, 20), (50, 80), scores=[0.5, 0.9]))[0] < 1


def test_a_group_that_is_tiny_as_well_counts_twice():
    ids = scene((0, 20, 26000))
    ids[:9, 50:60] = CAR  # 90 pixels
    guess = np.zeros((2, 40, 100), bool)
    guess[0, :, :20], guess[1, :16, 50:60] = True, True
    assert car(ids, Objects.from_masks(guess, [CAR, CAR], [0.5, 0.9])).tolist() == [1] * 10


def test_objects_below_the_least_size_are_not_looked_for():
    ids = np.full((40, 100), ROAD)
    ids[:9, :11], ids[20:30, :10] = 26000, 26001
    found = cityscapes_scores(prediction=[boxes()], truth=[ids])
    assert found.objects == 1
    ids[20:30, :10] = ROAD
    assert np.isnan(cityscapes_scores(prediction=[boxes((0, 9))], truth=[ids]).as_dict()["ap"])


def test_distances_leave_out_what_is_far_badly_measured_or_small():
    ids = scene((0, 30, 26000), (30, 60, 26001), (60, 90, 26002))
    ids[:20, 95:] = 26003  # 100 pixels
    near = {26000: (40.0, 1.0), 26001: (80.0, 0.5), 26002: (20.0, 0.4), 26003: (9.0, 1.0)}
    pred = boxes((0, 30), (30, 60), (60, 90), scores=[0.5, 0.8, 0.9])
    found = cityscapes_scores(prediction=[pred], truth=[ids], distances=[near])
    assert found.ranges == ("", "100m", "50m")
    assert found.objects == 4
    any_distance, hundred, fifty = car(ids, pred, near)[:, 0]
    assert any_distance < 1  # the small one is missed
    assert hundred == fifty == 1


def test_objects_without_a_distance_are_not_near():
    ids = scene((0, 30, 26000))
    found = car(ids, boxes((0, 30)), {})
    assert found[0, 0] == 1
    assert np.isnan(found[1:]).all()


def test_classes_that_are_not_scored_take_no_part():
    ids = scene((0, 20, 26000), (30, 60, 29001))
    pred = boxes((0, 20), (30, 60), (60, 90), classes=[CAR, 29, 999])
    found = cityscapes_scores(prediction=[pred], truth=[ids])
    assert found.as_dict()["ap"] == 1
    assert (found.objects, found.predicted) == (1, 1)


def test_empty_predictions_score_zero_and_an_empty_truth_nan():
    found = cityscapes_scores(prediction=[boxes()], truth=[scene((0, 20, 26000))])
    assert found.as_dict()["ap"] == 0
    assert np.isnan(found.per_class()["bus"]["ap"])
    assert np.isnan(cityscapes_scores(prediction=[boxes((0, 20))], truth=[scene()]).as_dict()["ap"])
    empty = boxes((5, 5))
    assert cityscapes_scores(prediction=[empty], truth=[scene((0, 20, 26000))]).as_dict()["ap"] == 0


@pytest.mark.parametrize("value", [0, -1, 1])
def test_void_everywhere_leaves_nothing_to_score(value):
    found = cityscapes_scores(prediction=[boxes((0, 20))], truth=[np.full((40, 100), value)])
    assert np.isnan(found.as_dict()["ap"])
    assert found.objects == 0


def test_predictions_that_are_all_dropped_score_zero():
    ids = scene((0, 20, 26000), (50, 80, 0))
    assert car(ids, boxes((50, 80))).tolist() == [0] * 10


def test_no_masks_are_kept():
    metric = CityscapesMetric()
    metric.update(
        prediction=boxes((0, 20), size=(400, 1000)), truth=scene((0, 20, 26000), size=(400, 1000))
    )
    assert len(pickle.dumps(metric)) < 5000


@given(
    hnp.arrays(np.int64, (4, 6), elements=st.integers(-1, 4)),
    hnp.arrays(np.int64, (4, 6), elements=st.sampled_from([7, 24, 26])),
)
def test_ids_keep_objects_classes_groups_and_void(labels, classes):
    ids = instance_ids(labels, classes)
    assert ((ids == -1) == (labels == -1)).all()
    np.testing.assert_array_equal(ids[labels == 0], classes[labels == 0])
    for label in set(labels[labels > 0]):
        (value,) = set(ids[labels == label])
        assert value // 1000 == classes[labels == label][0]
        assert (ids == value).sum() == (labels == label).sum()


@pytest.mark.parametrize(
    ("act", "told"),
    [
        (
            lambda m: m.update(prediction=boxes(size=(40, 99)), truth=scene()),
            "of the same",
        ),
        (lambda m: m.update(prediction=boxes(), truth=scene() + 0.5), "integer labels in ids"),
        (lambda m: m.update(prediction=boxes(), truth=scene()[None]), r"label map \(H, W\)"),
        (
            lambda m: m.update(prediction=boxes((0, 9), scores=[np.nan]), truth=scene()),
            "finite scores, got nan",
        ),
        (lambda m: m.merge(CityscapesMetric(distances=True)), "same settings"),
        (lambda m: m.merge(CityscapesMetric({26: "car"})), "same settings"),
        (lambda m: cityscapes_scores(prediction=[], truth=[scene()]), "for 1 images, got 0"),
        (lambda m: instance_ids([[1, 1]], [[26]]), "of the same"),
        (lambda m: instance_ids([[1]], [[0]]), "a class of up to 1000 objects, got 0 for object 1"),
        (lambda m: instance_ids([range(1, 1003)], [[26] * 1002]), "up to 1000 objects, got 26"),
    ],
)
def test_bad_input_is_told_in_one_line(act, told):
    with pytest.raises(CongealError, match=told) as caught:
        act(CityscapesMetric())
    assert "\n" not in str(caught.value)
