from __future__ import annotations

import gzip
import json
import pickle
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from congeal.errors import CongealError
from congeal.metrics import CocoMetric, CocoResult, Objects, coco_scores

GOLDEN = Path(__file__).parent / "golden" / "coco"
SETS = ("basic", "ties", "crowded", "edge")
NAMES = ("ap", "ap@0.5", "ap@0.75", "ap_small", "ap_medium", "ap_large")
NAMES += ("ar@1", "ar@10", "ar@100", "ar_small", "ar_medium", "ar_large")


@cache
def read(name):
    return json.loads(gzip.decompress((GOLDEN / f"{name}.json.gz").read_bytes()))


@cache
def curves(name):
    return dict(np.load(GOLDEN / f"{name}_result.npz"))


@cache
def images(name):
    """Id, true and predicted objects of each image of a golden set."""
    data = read(name)
    return [
        (
            image["id"],
            *(
                Objects.from_coco(
                    [one for one in side if one["image_id"] == image["id"]],
                    (image["height"], image["width"]),
                )
                for side in (data["gt"]["annotations"], data["dets"])
            ),
        )
        for image in data["gt"]["images"]
    ]


def classes_of(name):
    return [category["id"] for category in read(name)["gt"]["categories"]]


def metric_of(name, chosen=None, **settings):
    metric = CocoMetric(classes_of(name), **settings)
    for image, true, pred in images(name) if chosen is None else chosen:
        metric.update(prediction=pred, truth=true, image=image)
    return metric


def square(*boxes, size=(60, 60), **kinds):
    """Objects that fill boxes (top, left, bottom, right)."""
    masks = np.zeros((len(boxes), *size), bool)
    for mask, (top, left, bottom, right) in zip(masks, boxes, strict=True):
        mask[top:bottom, left:right] = True
    return Objects.from_masks(masks, **kinds)


def assert_same(one: CocoResult, two: CocoResult):
    np.testing.assert_array_equal(one.precision, two.precision)
    np.testing.assert_array_equal(one.recall, two.recall)
    assert one.as_dict() == two.as_dict()


@pytest.mark.parametrize("name", SETS)
def test_numbers_and_curves_are_those_of_the_official_tool(name):
    found, expected = metric_of(name).result(), curves(name)
    for axis in ("precision", "recall", "scores"):
        assert np.abs(getattr(found, axis) - expected[axis]).max() < 1e-9, axis
    scores = found.as_dict()
    result = read(f"{name}_result")
    assert [scores[key] for key in NAMES] == pytest.approx(result["stats"], abs=1e-9)
    assert scores["predicted"] == result["n_dt"]
    assert found.classes == tuple(expected["catIds"])


@pytest.mark.parametrize("name", SETS)
def test_class_agnostic_curves_are_those_of_the_official_tool(name):
    found, expected = metric_of(name, class_agnostic=True).result(), curves(name)
    for axis in ("precision", "recall"):
        theirs = expected[f"classagnostic_{axis}"]
        assert np.abs(getattr(found, axis) - theirs).max() < 1e-9, axis
    recall = expected["classagnostic_recall"][:, 0, 0]
    for column, limit in enumerate((1, 10, 100, 1000)):
        assert found.ar(limit) == pytest.approx(recall[:, column].mean(), abs=1e-9)


@pytest.mark.parametrize("name", SETS)
def test_single_matches_are_those_of_the_official_tool(name):
    run = metric_of(name).evaluation()
    thresholds = run.params.iouThrs.tolist()
    numbers = {image: n for n, image in enumerate(sorted(row[0] for row in images(name)), 1)}
    rows = {
        (image["image_id"], image["category_id"]): image
        for image in run.evalImgs
        if image is not None and image["aRng"] == run.params.areaRng[0]
    }
    for expected in read(f"{name}_result")["matches"]:
        row = rows[numbers[expected["image_id"]], expected["category_id"]]
        t = int(np.argmin(np.abs(np.array(thresholds) - expected["iou"])))
        matched = np.asarray(row["dtMatches"][t]) > 0
        assert matched.tolist() == [m > 0 for m in expected["dtMatches"]]
        assert row["dtIgnore"][t].tolist() == expected["dtIgnore"]
        assert (np.asarray(row["gtMatches"][t]) > 0).tolist() == [
            m > 0 for m in expected["gtMatches"]
        ]


def test_per_class_means_average_to_the_whole():
    found = metric_of("basic").result()
    known = [value for value in found.per_class().values() if value > -1]
    assert np.mean(known) == pytest.approx(found.ap(), abs=1e-12)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("class_agnostic", [False, True])
def test_merged_halves_in_any_order_score_as_the_whole(name, class_agnostic):
    whole = metric_of(name, class_agnostic=class_agnostic)
    halves = [
        metric_of(name, images(name)[start::2][::-1], class_agnostic=class_agnostic)
        for start in (1, 0)
    ]
    merged = halves[0].merge(pickle.loads(pickle.dumps(halves[1])))
    assert merged is halves[0]
    assert_same(merged.result(), whole.result())


def test_images_without_ids_count_in_the_order_they_come():
    whole, left, right = (CocoMetric(classes_of("ties")) for _ in range(3))
    for rank, (_, true, pred) in enumerate(images("ties")):
        whole.update(prediction=pred, truth=true)
        (left if rank < 5 else right).update(prediction=pred, truth=true)
    assert_same(left.merge(right).result(), whole.result())


def test_the_function_scores_as_the_class():
    true, pred = ([row[k] for row in images("basic")] for k in (1, 2))
    found = coco_scores(prediction=pred, truth=true, classes=classes_of("basic"))
    assert_same(found, metric_of("basic").result())


def test_no_detection_at_all_scores_zero_where_the_official_loader_fails():
    true = square((0, 0, 50, 50), classes=[3])
    for found in (
        coco_scores(prediction=[], truth=[true]),
        coco_scores(prediction=[true.take([])], truth=[true]),
    ):
        assert found.ap() == found.ar(1) == found.ap(size="medium") == 0
        assert found.ap(size="small") == -1


def test_no_object_at_all_scores_minus_one():
    pred = square((0, 0, 50, 50), classes=[3])
    scores = coco_scores(prediction=[pred], truth=[pred.take([])]).as_dict()
    assert {scores[key] for key in NAMES} == {-1}
    assert (scores["objects"], scores["predicted"]) == (0, 1)
    assert {CocoMetric().compute()[key] for key in NAMES} == {-1}
    assert {CocoMetric(class_agnostic=True).compute()[key] for key in NAMES[:6]} == {-1}


def test_a_crowd_takes_any_number_of_detections_and_none_counts():
    true = square((0, 0, 20, 20), (30, 0, 60, 60), crowd=[False, True])
    right = square((0, 0, 20, 20), scores=[0.1])
    inside = square((0, 0, 20, 20), (30, 0, 40, 9), (41, 9, 50, 30), scores=[0.1, 0.9, 0.8])
    assert_same_scores = (
        coco_scores(prediction=[right], truth=[true]).ap(),
        coco_scores(prediction=[inside], truth=[true]).ap(),
    )
    assert assert_same_scores == (pytest.approx(1), pytest.approx(1))
    assert coco_scores(prediction=[right], truth=[true]).objects == 1


def test_void_is_a_crowd_of_every_class():
    labels = np.zeros((40, 40), int)
    labels[:10, :10], labels[20:] = 1, -1
    true = Objects.from_labels(labels, classes=[4])
    pred = square(
        (0, 0, 10, 10), (21, 0, 40, 9), (22, 10, 35, 30), size=(40, 40), classes=[4, 4, 5],
        scores=[0.1, 0.9, 0.8],
    )  # fmt: skip
    assert coco_scores(prediction=[pred], truth=[true]).ap() == pytest.approx(1)
    assert coco_scores(prediction=[pred], truth=[true], class_agnostic=True).ap() == pytest.approx(
        1
    )


def test_void_everywhere_leaves_nothing_to_score():
    blank = Objects.from_labels(np.full((60, 60), -1))
    scores = coco_scores(prediction=[square((0, 0, 20, 20))], truth=[blank]).as_dict()
    assert scores["ap"] == scores["ar@100"] == -1


def test_an_iou_of_exactly_the_threshold_is_a_match():
    true, pred = square((0, 0, 10, 10)), square((0, 0, 10, 5))
    found = coco_scores(prediction=[pred], truth=[true])
    assert found.ap(0.5) == pytest.approx(1)
    assert found.ap(0.55) == 0


def test_only_the_best_detections_up_to_the_limit_count():
    true = square((0, 0, 10, 10))
    pred = square((30, 30, 40, 40), (0, 0, 10, 10), scores=[0.9, 0.8])
    found = coco_scores(prediction=[pred], truth=[true], max_detections=[1, 2])
    assert (found.ar(1), found.ar(2), found.ar()) == (0, 1, 1)


def test_the_stated_area_decides_what_is_small():
    one = square((0, 0, 10, 10))
    large = Objects.from_rle(one.rle(), one.size, areas=[10_000])
    found = coco_scores(prediction=[one], truth=[large])
    assert found.ap(size="large") == pytest.approx(1)
    assert found.ap(size="small") == -1


def test_nothing_is_printed(capsys):
    metric_of("edge").compute()
    assert capsys.readouterr().out == ""


def test_masks_are_kept_as_codes():
    metric = CocoMetric()
    one = square((0, 0, 900, 900), size=(1000, 1000))
    for image in range(20):
        metric.update(prediction=one, truth=one, image=image)
    assert len(pickle.dumps(metric)) < 20_000


@pytest.mark.parametrize(
    ("act", "told"),
    [
        (
            lambda m: m.update(prediction=square(size=(60, 61)), truth=square()),
            "of the same",
        ),
        (
            lambda m: m.update(prediction=square(), truth=square((0, 0, 1, 1), classes=[9])),
            "unknown class '9'",
        ),
        (
            lambda m: m.update(prediction=square((0, 0, 1, 1), classes=[9]), truth=square()),
            "unknown class '9'",
        ),
        (
            lambda m: m.update(prediction=square((0, 0, 1, 1), scores=[np.nan]), truth=square()),
            "finite scores",
        ),
        (lambda m: m.merge(CocoMetric((1,))), "same settings"),
        (
            lambda m: m.update(prediction=square(), truth=square((0, 0, 9, 9)), image=7),
            "two different results for 7",
        ),
        (lambda m: CocoMetric(max_detections=(10, 1)), "ascending from 1"),
        (lambda m: CocoMetric(max_detections=()), "ascending from 1"),
        (lambda m: m.result().ap(0.52), "threshold of 0.5"),
        (
            lambda m: coco_scores(prediction=[square()] * 2, truth=[square()]),
            "predictions for 1 images, got 2",
        ),
    ],
)
def test_bad_input_is_told_in_one_line(act, told):
    metric = CocoMetric((1, 2))
    metric.update(prediction=square(), truth=square(), image=7)
    with pytest.raises(CongealError, match=told) as caught:
        act(metric)
    assert "\n" not in str(caught.value)
