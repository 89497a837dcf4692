"""What protocols make of results with maps of classes and boundaries, and of each class."""

from __future__ import annotations

import copy
import io
import json
import math
import pickle

import numpy as np
import pytest
from rich.console import Console

from congeal.errors import CongealError
from congeal.evaluation import evaluate
from congeal.evaluation.comparison import Comparison
from congeal.evaluation.examples import FOUND, INVENTED, MISSED
from congeal.evaluation.judge import make_judge
from congeal.metrics import (
    BsdsBoundaryMetric,
    Objects,
    SemanticMetric,
    coco_scores,
    corner_boundaries,
    matching,
)
from congeal.segmentation import Segmentation


class Says:
    """Answers with the results it was given, one after the other."""

    def __init__(self, *results: Segmentation) -> None:
        self.results, self.calls = results, 0

    def segment(self, image: np.ndarray) -> Segmentation:
        self.calls += 1
        return self.results[(self.calls - 1) % len(self.results)]


def headline(found):
    return found.metrics[found.headline]


def true_maps(data, **more):
    names = data.class_names[1:]
    return Says(
        *(
            Segmentation.from_maps(np.maximum(sample.semantic, 0), class_names=names, **more)
            for sample in data
        )
    )


@pytest.mark.parametrize("name", ["miou", "contour-f1", "trimap", "unsupervised"])
@pytest.mark.parametrize("kind", ["streets", "has_classes"])
def test_a_true_semantic_map_has_the_best_score(name, kind, world):
    data = world(kind)
    found = evaluate(true_maps(data), data, protocol=name, report=False)
    if name == "trimap" and kind == "has_classes":
        assert math.isnan(headline(found))  # without void there is no band to look at
    else:
        assert headline(found) == pytest.approx(1)


def test_the_semantic_map_is_read_and_not_the_objects(world):
    data = world("has_classes", count=1)
    sample, names = data[0], data.class_names[1:]
    noise = np.random.default_rng(0).integers(0, 3, sample.labels.shape)
    result = Segmentation.from_labels(
        sample.labels, classes=sample.classes, class_names=names, semantic=noise
    )
    metric = SemanticMetric(3)
    metric.update(prediction=noise, truth=sample.semantic)
    found = evaluate(Says(result), data, protocol="miou", report=False)
    assert headline(found) == metric.compute()["miou"] < 0.5
    assert headline(evaluate(Says(result), data, protocol="coco", report=False)) == pytest.approx(1)


def test_classes_of_the_map_are_brought_to_the_data_by_name(world):
    data = world("has_classes", count=1)
    swapped = np.array([0, 2, 1])[data[0].semantic]
    result = Segmentation.from_maps(swapped, class_names=("dog", "cat"))
    assert headline(evaluate(Says(result), data, protocol="miou", report=False)) == 1
    strange = Segmentation.from_maps(swapped * 4, class_names=tuple("abcdefgh"))
    with pytest.raises(CongealError, match=r"classes 1 to 2 as in has_classes, got 8 \(h\)"):
        evaluate(Says(strange), data, protocol="miou")


def test_stuff_of_a_panoptic_image_comes_from_the_semantic_map(world, perfect):
    data = world("streets", count=1)
    sample = data[0]
    labels = np.maximum(sample.labels, 0)
    names = data.class_names[1:]
    options = {"classes": sample.classes, "class_names": names}
    mapped = Segmentation.from_labels(labels, semantic=np.maximum(sample.semantic, 0), **options)
    bare = Segmentation.from_labels(labels, **options)
    scores = [
        evaluate(Says(one), data, protocol="panoptic", report=False).metrics
        for one in (
            mapped,
            bare,
            Segmentation.from_maps(mapped.semantic, class_names=data.class_names[1:]),
        )
    ]
    assert [one["pq_stuff"] for one in scores] == pytest.approx([1, 0, 1])
    assert [one["pq_things"] for one in scores] == pytest.approx([1, 1, 0])


def test_the_boundary_map_is_read_at_the_thresholds_of_the_benchmark(world):
    data = world("drawn", count=2)
    lines = [np.roll(corner_boundaries(s.labels), 1, 0) * np.float32(0.35) for s in data]
    for line in lines:
        line[[0, 93], 5:90] = 0.2  # where nobody drew any
    metric = BsdsBoundaryMetric()
    for line, sample in zip(lines, data, strict=True):
        metric.update(prediction=line.astype(np.float64), truth=sample.boundaries)
    model = Says(*(Segmentation.from_maps(boundary=line) for line in lines))
    found = evaluate(model, data, protocol="bsds-boundaries", report=False)
    for name, value in metric.compute().items():
        assert found.metrics[name] == pytest.approx(value, nan_ok=True), name
    assert found.metrics["thresholds"] == 99
    assert 0.2 < found.metrics["ods_threshold"] < 0.35


@pytest.mark.parametrize(
    ("name", "kind", "maps"),
    [
        ("coco", "has_classes", {"semantic": np.zeros((96, 96), int)}),
        ("matching", "plain", {"boundary": np.zeros((96, 96))}),
        ("miou", "has_classes", {"boundary": np.zeros((96, 96))}),
        ("bsds-boundaries", "drawn", {"semantic": np.zeros((96, 96), int)}),
    ],
)
def test_a_result_without_the_compared_map_is_rejected_in_one_line(name, kind, maps, world):
    with pytest.raises(CongealError, match=f"for protocol {name}, got Segmentation") as caught:
        evaluate(Says(Segmentation.from_maps(**maps)), world(kind), protocol=name)
    assert "\n" not in str(caught.value)


def flawed(data):
    """All objects found; of image 0 one cat is called a dog."""
    results = []
    for index, sample in enumerate(data):
        classes = sample.classes.copy()
        classes[0] += index == 0
        results.append(
            Segmentation.from_labels(sample.labels, classes=classes, class_names=("cat", "dog"))
        )
    return Says(*results)


def test_average_precision_of_each_class_is_told_by_its_name(world):
    data = world("has_classes")
    found = evaluate(flawed(data), data, protocol="coco", report=False)
    again = flawed(data)
    pairs = [
        (
            Objects.from_labels(s.labels, s.classes.tolist()),
            Objects.from_labels(s.labels, again.segment(s.image).classes.tolist()),
        )
        for s in data
    ]
    truth, found_objects = map(list, zip(*pairs, strict=True))
    expected = coco_scores(prediction=found_objects, truth=truth).per_class()
    assert (found.metrics["ap/1"], found.metrics["ap/2"]) == (expected[1], expected[2])
    assert found.metrics["ap"] == pytest.approx(np.mean(list(expected.values())))
    rows = {row["score"]: row["value"] for row in found.rows()}
    assert (rows["ap of cat"], rows["ap of dog"]) == (expected[1], expected[2])
    for name in ("apr", "apr-dvis"):
        names = [
            row["score"] for row in evaluate(flawed(data), data, protocol=name, report=False).rows()
        ]
        assert {"apr@0.5 of cat", "apr_vol of dog"} <= set(names)


def test_matching_reports_each_class_and_a_class_agnostic_headline(world, tmp_path):
    data = world("has_classes")
    found = evaluate(flawed(data), data, thresholds=(0.5, 0.9), output=tmp_path)
    assert headline(found) == 1
    # Cats: 5 of 6 found. Dogs: all 3 found, and one cat called a dog.
    assert found.metrics["matching_ap@0.5/1"] == pytest.approx(5 / 6)
    assert found.metrics["recall@0.5/1"] == pytest.approx(5 / 6)
    assert found.metrics["matching_ap@0.5/2"] == pytest.approx(3 / 4)
    assert found.metrics["precision@0.5/2"] == pytest.approx(3 / 4)
    # Of both: 8 found with their class, one missed as a cat and too many as a dog.
    assert found.metrics["classed_ap@0.5"] == pytest.approx(8 / 10)
    assert [row["class"] for row in found.class_rows()] == ["cat", "dog"]
    console = Console(file=io.StringIO(), width=120)
    console.print(found.table())
    assert "0.5 cat" in console.file.getvalue()
    assert "Each class at IoU 0.5" in (tmp_path / "report.html").read_text()
    written = json.loads((tmp_path / "evaluation.json").read_text())
    assert written["class_names"] == ["background", "cat", "dog"]
    assert written["metrics"]["matching_ap@0.5/2"] == pytest.approx(3 / 4)


def test_matching_reports_no_classes_if_model_or_data_have_none(world, perfect):
    plain, has_classes = world("plain"), world("has_classes")
    blind = Says(*(Segmentation.from_labels(sample.labels) for sample in has_classes))
    for data, model in ((plain, perfect(plain)), (has_classes, blind)):
        found = evaluate(model, data, protocol="matching", report=False)
        assert found.class_rows() == []
        assert not any("/" in name for name in found.metrics)


@pytest.mark.parametrize("name", ["matching", "coco", "miou", "panoptic"])
def test_judges_of_parts_merge_to_the_judge_of_the_whole(name, world):
    data, model = world("has_classes"), flawed(world("has_classes"))
    looks = [Comparison(sample, model.segment(sample.image), data) for sample in data]
    whole, *parts = (make_judge(name, data) for _ in range(3))
    for index, one in enumerate(looks):
        whole.update(one)
        parts[index % 2].update(one)
    merged = pickle.loads(pickle.dumps(parts[0])).merge(copy.deepcopy(parts[1]))
    assert merged.compute() == pytest.approx(whole.compute(), nan_ok=True)
    assert next(iter(merged.compute())) == merged.headline == whole.headline
    assert merged.gather() is merged  # of one process
    assert merged.notes == whole.notes


def test_a_judge_of_another_protocol_or_settings_is_not_merged(world):
    data = world("has_classes")
    with pytest.raises(CongealError, match="judge of protocol miou, got coco"):
        make_judge("miou", data).merge(make_judge("coco", data))
    with pytest.raises(CongealError, match="same settings"):
        make_judge("matching", data).merge(make_judge("matching", data, thresholds=[0.9]))


@pytest.mark.parametrize(
    "name", ["matching", "boundary-iou", "davis", "aji", "seg", "hausdorff", "coco", "apr"]
)
def test_where_nothing_is_there_and_nothing_found_nothing_can_be_said(name, world, nothing):
    class Empty(world):
        def __getitem__(self, index):
            sample = super().__getitem__(index)
            sample.labels[:] = 0
            return sample

    data = Empty("plain")
    found = evaluate(nothing, data, protocol=name, report=False)
    assert math.isnan(headline(found))
    assert found.to_dict()["metrics"][found.headline] is None
    assert all(row[found.headline] is None for row in found.to_dict()["per_image"])


@pytest.mark.parametrize(
    ("name", "kind", "told"),
    [
        ("matching", "has_classes", "true positives have a green outline"),
        ("miou", "has_classes", "misclassified pixels are red"),
        ("panoptic", "streets", "Segments are objects of thing classes"),
        ("bsds-boundaries", "drawn", "the fraction of annotators"),
    ],
)
def test_the_page_draws_and_explains_what_the_protocol_judges(
    name, kind, told, world, perfect, tmp_path
):
    data = world(kind)
    found = evaluate(perfect(data), data, protocol=name, output=tmp_path)
    assert told in (tmp_path / "report.html").read_text()
    assert [example.mistakes.shape for example in found.examples] == [(96, 96, 3)] * 3


def colours(picture):
    return {tuple(colour) for colour in np.unique(picture.reshape(-1, 3), axis=0).tolist()}


def test_pixels_of_the_wrong_class_are_drawn_red(world):
    data = world("has_classes", count=1)
    right, names = data[0].semantic, data.class_names[1:]
    wrong = right.copy()
    wrong[80:90, 60:] = 2
    pictures = [
        evaluate(Says(Segmentation.from_maps(one, class_names=names)), data, protocol="miou")
        .examples[0]
        .mistakes
        for one in (right, wrong)
    ]
    changed = (pictures[0] != pictures[1]).any(-1)
    assert np.array_equal(changed, right != wrong)
    assert (pictures[1][changed][:, 0] > pictures[1][changed][:, 1]).all()


def test_boundaries_are_drawn_as_found_missed_or_in_vain(world):
    data = world("drawn", count=1)
    true = corner_boundaries(data[0].labels).astype(np.float32)
    half, extra = true.copy(), true.copy()
    half[40:] = 0
    extra[1, 5:90] = 1

    def drawn(line):
        model = Says(Segmentation.from_maps(boundary=line))
        return colours(evaluate(model, data, protocol="bsds-boundaries").examples[0].mistakes)

    assert FOUND in drawn(true)
    assert not {MISSED, INVENTED} & drawn(true)
    assert {FOUND, MISSED} <= drawn(half)
    assert {FOUND, INVENTED} <= drawn(extra)


def test_objects_of_one_class_are_cut_out_of_both_maps(world):
    data = world("has_classes", count=1)
    one = Comparison(data[0], flawed(data).segment(data[0].image), data)
    true, pred = one.of_class(1)
    assert np.unique(true).tolist() == [0, 1, 3]
    assert np.unique(pred).tolist() == [0, 3]
    assert matching(prediction=pred, truth=true).tp == 1
