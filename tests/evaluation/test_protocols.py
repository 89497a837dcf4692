from __future__ import annotations

import io
import json
import math
from dataclasses import replace

import pytest
from rich.console import Console

from congeal.data import open_dataset
from congeal.data.sample import Subset
from congeal.errors import CongealError
from congeal.evaluation import evaluate
from congeal.evaluation.adapters import ADAPTERS, missing_truth
from congeal.evaluation.judge import badness_of
from congeal.metrics import (
    PROTOCOLS,
)
from congeal.segmentation import Segmentation

NAMES = tuple(PROTOCOLS)
WORLDS = {
    **dict.fromkeys(NAMES, "plain"),
    **dict.fromkeys(("coco", "apr", "apr-dvis", "apr-fcis"), "has_classes"),
    **{name: "drawn" for name in NAMES if name.startswith("bsds")},
    **{name: "streets" for name in NAMES if PROTOCOLS[name].truth in ("semantic", "panoptic")},
    **{name: "streets" for name in NAMES if name.startswith("cityscapes")},
}
BEST = dict.fromkeys(NAMES, 1.0) | {"hausdorff": 0.0, "voi": 0.0}
# What nothing at all scores, where that is not 0: a single region or cluster is still a partition,
# and annotators agree whatever is predicted.
EMPTY = {"bsds-humans": 1.0}
BETTER_THAN_NOTHING = ("bsds-regions", "unsupervised", "voi")
# The benchmark matches with a few random outliers, and thins predictions only.
TOLERANCE = {"bsds-boundaries": 0.02, "bsds-humans": 0.02}


def scored(name, data, model, embeds, **options):
    if name == "retrieval":
        model, options = embeds(model, data), {"measure": {"memory": data, "k": 1}, **options}
    return evaluate(model, data, protocol=name, report=False, **options)


def headline(found):
    return found.metrics[found.headline]


def test_every_protocol_can_be_fed():
    assert set(ADAPTERS) == set(PROTOCOLS)


@pytest.mark.parametrize("name", NAMES)
def test_a_perfect_model_has_the_best_score(name, world, perfect, embeds):
    data = world(WORLDS[name])
    found = scored(name, data, perfect(data), embeds)
    assert found.protocol == name
    near = TOLERANCE.get(name, 1e-6)
    assert headline(found) == pytest.approx(BEST[name], abs=near)
    for row in found.per_image:
        assert row[found.headline] == pytest.approx(BEST[name], abs=near)
    assert found.metrics["images"] == 3


@pytest.mark.parametrize("name", [name for name in NAMES if name != "retrieval"])
def test_a_model_that_finds_nothing_has_the_worst(name, world, nothing, embeds):
    found = scored(name, world(WORLDS[name]), nothing, embeds)
    value = headline(found)
    if name == "hausdorff":
        assert math.isnan(value)
        assert found.metrics["one_empty"] == 9
    elif name in BETTER_THAN_NOTHING:
        assert abs(value - BEST[name]) > 0.1
    else:
        assert value == pytest.approx(EMPTY.get(name, 0.0), abs=TOLERANCE.get(name, 1e-9))
    json.dumps(found.to_dict(), allow_nan=False)


def test_where_no_segment_is_found_nothing_is_said_of_retrieval(world, perfect, nothing, embeds):
    data = world("streets")

    class Forgets:
        def __init__(self):
            self.model, self.calls = perfect(data), 0

        def segment(self, image):
            self.calls += 1
            return (self.model if self.calls <= 3 else nothing).segment(image)

    found = scored("retrieval", data, Forgets(), embeds)
    assert math.isnan(headline(found))
    assert found.headline == "retrieval_miou@1"


def test_the_memory_of_retrieval_reports_progress(world, perfect, embeds):
    data, told = world("streets"), []
    evaluate(
        embeds(perfect(data), data),
        data,
        protocol="retrieval",
        measure={"memory": data, "k": 1},
        on_memory=lambda *what: told.append(what),
    )
    assert told == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("miou", "semantic maps for protocol miou, plain has label maps of objects"),
        ("trimap", "semantic maps"),
        ("contour-f1", "semantic maps"),
        ("unsupervised", "semantic maps"),
        ("retrieval", "semantic maps"),
        ("panoptic", "label maps of objects and semantic maps"),
        ("cityscapes", "the classes of Cityscapes"),
        ("cityscapes-distances", "the classes of Cityscapes"),
        ("bsds-humans", "several annotations of each image"),
        ("bsds-regions", "several annotations of each image"),
    ],
)
def test_truth_that_a_protocol_cannot_use_is_told_in_one_line(name, told, world, nothing):
    with pytest.raises(CongealError, match=f"expected {told}") as caught:
        evaluate(nothing, world("plain"), protocol=name)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


def test_all_other_protocols_take_any_objects(world):
    plain = world("plain")
    suited = {name for name in NAMES if missing_truth(PROTOCOLS[name], plain, plain[0]) is None}
    assert suited == {name for name in NAMES if PROTOCOLS[name].truth == "instances"} | {
        *("coco", "coco-agnostic", "apr", "apr-dvis", "apr-fcis", "proposals", "proposals-hosang"),
        "bsds-boundaries",  # the outlines of the objects stand for an annotator
    }


def test_without_annotators_the_outlines_of_labels_are_the_true_boundaries(world, perfect):
    plain = world("plain")
    found = evaluate(perfect(plain), plain, protocol="bsds-boundaries", limit=1, report=False)
    assert found.metrics["ods"] > 0.98  # predictions are thinned, the truth is not
    assert "annotators" not in found.curves  # nobody to agree with


def test_boundaries_alone_do_not_make_regions(world, nothing):
    class Lines(world):
        def __getitem__(self, index):
            return replace(super().__getitem__(index), annotations=())

    assert evaluate(nothing, Lines("drawn"), protocol="bsds-boundaries", limit=1, report=False)
    with pytest.raises(CongealError, match="has label maps of objects and several annotations"):
        evaluate(nothing, Lines("drawn"), protocol="bsds-regions")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"protocol": "panotic"}, "did you mean 'panoptic'"),
        ({"protocol": "cvppp", "thresholds": [0.5]}, "unknown setting of protocol cvppp"),
        ({"protocol": "cvppp", "measure": {"numberin": 1}}, "did you mean 'numbering'"),
        ({"protocol": "cvppp", "quick": True}, "bsds-boundaries for a quick estimate"),
        ({"protocol": "coco", "measure": {"max_detections": "many"}}, "protocol coco"),
    ],
)
def test_what_cannot_be_measured_is_told_in_one_line(options, told, world, nothing):
    with pytest.raises(CongealError, match=told) as caught:
        evaluate(nothing, world("plain"), **options)
    assert "\n" not in str(caught.value)


def test_the_protocol_of_the_data_is_the_default(world, perfect):
    data = world("streets", protocol="miou")
    found = evaluate(perfect(data), data, report=False)
    assert (found.protocol, found.headline, found.notes) == ("miou", "miou", ())


def test_unnamed_classes_of_the_data_must_be_given(world, perfect):
    class Unnamed(world):
        def __init__(self):
            super().__init__("has_classes")
            self.class_names = ()

    class Raw:
        def segment(self, image):
            sample = Unnamed()[0]
            return Segmentation.from_labels(sample.labels, classes=sample.classes)

    with pytest.raises(CongealError, match=r"\['classes'\] for protocol miou"):
        evaluate(Raw(), Unnamed(), protocol="miou")
    found = evaluate(Raw(), Unnamed(), protocol="miou", measure={"classes": 3}, limit=1)
    assert headline(found) == 1


def test_a_model_without_classes_on_data_with_classes_is_noted(world):
    data = world("has_classes")

    class Finds:
        def segment(self, image):
            return Segmentation.from_labels((image[..., 0] // 80).astype(int))

    assert "no classes" in evaluate(Finds(), data, protocol="coco", report=False).notes[0]
    for name in ("coco-agnostic", "cvppp", "matching", "proposals"):
        assert evaluate(Finds(), data, protocol=name, report=False).notes == ()


@pytest.mark.parametrize(
    ("measure", "told"),
    [
        ({}, "expected a dataset as memory"),
        ({"memory_limit": 0}, "at least one image, got 0"),
        ({"k": 99}, "k from 1 to 5, the prototypes, got 99"),
    ],
)
def test_an_unusable_memory_is_rejected(measure, told, world, perfect, embeds):
    data = world("streets")
    if measure:
        measure = {"memory": data, "memory_limit": 1, **measure}
    with pytest.raises(CongealError, match=told):
        evaluate(embeds(perfect(data), data), data, protocol="retrieval", measure=measure)


def test_retrieval_needs_an_embedding(world, perfect):
    data = world("streets")
    with pytest.raises(CongealError, match="an embedding for protocol retrieval, got none"):
        evaluate(perfect(data), data, protocol="retrieval", measure={"memory": data})


@pytest.mark.parametrize("name", ["cvppp", "miou", "hausdorff", "coco"])
def test_the_page_shows_the_worst_images_by_the_headline_first(name, world, perfect, tmp_path):
    data = world(WORLDS[name] if name != "coco" else "has_classes")

    class Tires:
        def __init__(self):
            self.model, self.calls = perfect(data), 0

        def segment(self, image):
            found = self.model.segment(image)
            self.calls += 1
            return found.select(range(len(found) - self.calls + 1))

    found = evaluate(Tires(), data, protocol=name, output=tmp_path)
    page = (tmp_path / "report.html").read_text()
    cases = page[page.index("Worst images</h2>") :]
    assert found.headline in cases
    if name != "hausdorff":  # which does not know what was missed
        order = [cases.index(f"{data.kind}-{index}") for index in (2, 1, 0)]
        assert order == sorted(order)
    written = json.loads((tmp_path / "evaluation.json").read_text())
    assert next(iter(written["metrics"])) == found.headline
    assert written["protocol"] == name


def test_images_of_which_nothing_can_be_said_are_no_failures():
    counts = {"true": 2, "predicted": 0}
    assert badness_of("coco", "ap", {"ap": math.nan, **counts}) == -math.inf
    assert badness_of("apr", "apr_vol", {"apr_vol": math.nan, **counts}) == -math.inf
    assert badness_of("hausdorff", "hd", {"hd": math.nan, **counts}) == math.inf
    assert badness_of("voi", "voi", {"voi": 2.0, **counts}) == 2
    assert badness_of("cvppp", "sbd", {"sbd": 0.0, "true": 0, "predicted": 0}) == -math.inf


def test_the_table_has_the_headline_first_and_classes_by_name(world, perfect):
    data = world("streets")
    found = evaluate(perfect(data), data, protocol="miou", report=False)
    names = [row["score"] for row in found.rows()]
    assert names[0] == "miou"
    assert "iou of car" in names
    console = Console(file=io.StringIO(), width=100)
    console.print(found.table())
    assert "Perfect on streets (test, miou)" in console.file.getvalue()
    assert "nan" not in console.file.getvalue()


def test_a_quick_estimate_says_that_it_is_one(world, perfect):
    data = world("drawn")
    found = evaluate(perfect(data), data, protocol="bsds-boundaries", quick=True, report=False)
    assert (found.metrics["quick"], found.metrics["thresholds"]) == (1, 9)
    assert found.notes == ("a quick estimate: 9 thresholds instead of 99",)
    assert json.loads(json.dumps(found.to_dict()))["metrics"]["quick"] == 1


def test_one_photograph_of_coco(pack, perfect):
    pack("coco_mini")
    data = Subset(open_dataset("coco_mini", "val"), [0])
    for name in ("coco", "coco-agnostic", "apr", "miou", "panoptic"):
        found = evaluate(perfect(data), data, protocol=name, report=False)
        assert headline(found) == pytest.approx(1, abs=1e-6), name
        assert found.protocol == name


def test_one_street_of_camvid(pack, perfect):
    pack("camvid")
    data = Subset(open_dataset("camvid", "test"), [0])
    found = evaluate(perfect(data), data, report=False)
    assert (found.protocol, headline(found)) == ("miou", 1)


def test_one_photograph_of_several_annotators(pack, perfect):
    pack("bsds500")
    data = Subset(open_dataset("bsds500", "test"), [0])
    found = evaluate(perfect(data), data, report=False, quick=True)
    assert found.protocol == "bsds-boundaries"
    assert 0.5 < headline(found) < 1  # a person against all five
    regions = evaluate(perfect(data), data, protocol="bsds-regions", report=False)
    assert 0.4 < headline(regions) < 1
