from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from congeal.data import open_dataset
from congeal.data.sample import ObjectMask, Subset
from congeal.errors import CongealError
from congeal.evaluation import evaluate
from congeal.metrics import (
    CityscapesMetric,
    CocoMetric,
    Objects,
    PanopticMetric,
    boundary_benchmark,
    corner_boundaries,
)
from congeal.metrics.run_lengths import as_rle, encode
from congeal.segmentation import Segmentation


def headline(found):
    return found.metrics[found.headline]


def test_classes_of_model_and_data_are_brought_together_by_name(world):
    data = world("has_classes", count=1)

    class Reversed:
        def segment(self, image):
            return Segmentation.from_labels(
                data[0].labels, classes=[2, 1, 2], class_names=("dog", "cat")
            )

    for name in ("coco", "miou", "panoptic", "apr"):
        assert headline(evaluate(Reversed(), data, protocol=name)) == pytest.approx(1)


def test_a_class_that_the_data_does_not_have_is_told(world):
    class Strange:
        def segment(self, image):
            return Segmentation.from_labels(np.eye(96, dtype=int), classes=[7])

    with pytest.raises(
        CongealError, match=r"measure has_classes-0: expected classes 1 to 2 .* 7 \(class 7\)"
    ):
        evaluate(Strange(), world("has_classes"), protocol="miou")


def test_objects_that_overlap_are_compared_whole_and_crowds_forgive(world):
    data = Heaped()

    class Knows:
        def segment(self, image):
            masks = data.whole()
            return Segmentation.from_masks(
                [*masks, data.crowd()], scores=[0.9, 0.8, 0.7], classes=[1, 1, 1]
            )

    found = evaluate(Knows(), data, protocol="coco", report=False)
    metric = CocoMetric()
    true = Objects.from_masks([*data.whole(), data.crowd()], [1, 1, 1], crowd=[0, 0, 1])
    pred = Objects.from_masks([*data.whole(), data.crowd()], [1, 1, 1], [0.9, 0.8, 0.7])
    metric.update(prediction=pred, truth=true)
    expected = metric.compute()
    known = {name: value for name, value in expected.items() if value != -1}
    assert found.metrics.items() >= known.items()
    assert all(math.isnan(found.metrics[name]) for name in expected.keys() - known.keys())
    assert headline(found) == pytest.approx(1)
    # Protocols that know no crowds are not given any.
    assert evaluate(Knows(), data, protocol="proposals").metrics["objects"] == 2


class Heaped(Subset):
    """One image of two objects, one lying on the other, and a crowd beside them."""

    def __init__(self):
        super().__init__(open_dataset("discs", "test", count=1), [0])
        self.name = "heaped"

    def whole(self):
        masks = np.zeros((2, 40, 40), bool)
        masks[0, 2:20, 2:20] = masks[1, 10:30, 4:18] = True
        return masks

    def crowd(self):
        mask = np.zeros((40, 40), bool)
        mask[32:39, 22:39] = True
        return mask

    def __getitem__(self, index):
        first, second = self.whole()
        labels = np.where(self.crowd(), -1, np.where(second, 2, np.where(first, 1, 0)))
        masks = tuple(
            ObjectMask(as_rle((40, 40), encode(mask)), None, float(mask.sum()), crowd)
            for mask, crowd in ((first, False), (second, False), (self.crowd(), True))
        )
        return replace(
            super().__getitem__(index),
            image=np.zeros((40, 40, 3), np.uint8),
            labels=labels,
            masks=masks,
        )


def test_without_background_what_is_not_predicted_is_no_class(world):
    """Else class 0, which is never true, would pull the mean down."""
    data = world("streets")

    class HalfBlind:
        def __init__(self):
            self.calls = 0

        def segment(self, image):
            sample = data[self.calls]
            self.calls += 1
            return Segmentation.from_labels(
                np.maximum(sample.labels, 0),
                classes=sample.classes,
                class_names=data.class_names[1:],
            )

    found = evaluate(HalfBlind(), data, protocol="miou", report=False)
    assert headline(found) == pytest.approx(2 / 4)  # cars and persons, no road, no sky
    assert math.isnan(found.metrics["iou/0"])
    assert found.to_dict()["metrics"]["iou/0"] is None


def test_things_and_stuff_of_streets_are_told_apart(world, perfect):
    data = world("streets")
    scores = evaluate(perfect(data), data, protocol="panoptic", report=False).metrics
    assert (scores["classes_things"], scores["classes_stuff"]) == (2, 2)


def flawed(data):
    """Moved objects, the last of the wrong class, scores that differ: stuff is painted right."""
    sample = data[0]
    moved = np.roll(sample.labels, 3, axis=1)
    labels = np.where((moved > 0) & (sample.labels >= 0), moved, 0)
    labels[(labels == 0) & (sample.semantic == 1)] = 4
    classes = [14, 12, 12, 1]
    return (
        labels,
        classes,
        Segmentation.from_labels(labels, [0.9, 0.4, 0.7, 1.0], classes, data.class_names[1:]),
    )


class Says:
    def __init__(self, result):
        self.result = result

    def segment(self, image):
        return self.result


def test_panoptic_scores_are_those_of_the_metric_fed_by_hand(world):
    data = world("streets", count=1)
    labels, classes, result = flawed(data)
    sample, metric = data[0], PanopticMetric(range(12, 20), range(1, 12))
    true = np.where(sample.labels > 0, sample.labels, 0)
    true[(true == 0) & (sample.semantic == 1)] = 4
    true[(true == 0) & (sample.semantic == 11)] = 5
    by_object = dict(zip(range(1, 6), (14, 12, 14, 1, 11), strict=True))
    metric.update(
        prediction=labels,
        truth=true,
        prediction_classes=dict(zip(range(1, 5), classes, strict=True)),
        truth_classes=by_object,
    )
    found = evaluate(Says(result), data, protocol="panoptic", report=False)
    assert 0.2 < found.metrics["pq"] < 0.9
    for name, value in metric.compute().items():
        assert found.metrics[name] == pytest.approx(value, nan_ok=True), name


def test_street_scores_are_those_of_the_metric_fed_by_hand(world):
    data = world("streets", count=1)
    labels, _, result = flawed(data)
    numbers, metric = {14: 26, 12: 24, 1: 7, 11: 23, -1: 0}, CityscapesMetric()
    official = np.vectorize(numbers.get)(data[0].semantic)
    ids = np.where(data[0].labels > 0, official * 1000 + data[0].labels, official)
    pred = Objects.from_labels(labels, {1: 26, 2: 24, 3: 24, 4: 7}, {1: 0.9, 2: 0.4, 3: 0.7, 4: 1})
    metric.update(prediction=pred, truth=ids)
    found = evaluate(Says(result), data, protocol="cityscapes", report=False)
    assert 0.1 < found.metrics["ap"] < 0.9
    for name, value in metric.compute().items():
        assert found.metrics[name] == pytest.approx(value, nan_ok=True), name


def test_boundary_scores_are_those_of_the_benchmark(world):
    data = world("drawn", count=2)
    moved = [np.roll(sample.labels, 1, axis=0) for sample in data]

    class Moves:
        calls = 0

        def segment(self, image):
            self.calls += 1
            return Segmentation.from_labels(moved[self.calls - 1])

    found = evaluate(Moves(), data, protocol="bsds-boundaries", report=False)
    pairs = [(corner_boundaries(m) * 1.0, s.boundaries) for m, s in zip(moved, data, strict=True)]
    expected = boundary_benchmark(pairs, workers=1).compute()
    assert {name: found.metrics[name] for name in expected} == expected
    assert (expected["quick"], expected["thresholds"]) == (0, 99)


def test_masks_of_single_objects_are_paired_so_that_iou_is_largest(world):
    data = world("plain", count=1)

    class Shifts:
        def segment(self, image):
            labels = np.roll(data[0].labels, 2, axis=1)
            return Segmentation.from_labels(np.where(labels > 1, labels, 0))

    found = evaluate(Shifts(), data, protocol="davis", report=False)
    assert found.metrics["objects"] == 3
    assert 0.5 < found.metrics["j"] < 2 / 3
