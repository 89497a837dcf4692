from __future__ import annotations

import gc
import io
import json
import weakref
from functools import partial

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from congeal.data.sample import Dataset, Sample
from congeal.errors import CongealError
from congeal.evaluation import Evaluation, evaluate
from congeal.evaluation.comparison import Comparison
from congeal.evaluation.examples import (
    FOUND,
    INVENTED,
    MISSED,
    RankedExamples,
    draw_example,
    draw_mistakes,
    number_alike,
)
from congeal.evaluation.judge import make_judge
from congeal.figures import colour_labels
from congeal.metrics import MatchingMetric, matching
from congeal.segmentation import Segmentation


def truth_of(index, side=24):
    """Three bars; drawn so that the image tells the labels."""
    labels = np.zeros((side, side), np.int64)
    for rank in range(3):
        labels[2 + 7 * rank : 6 + 7 * rank, 2 : side - 2 - index % 5] = rank + 1
    return labels


class Bars(Dataset):
    """Images whose gray values are their labels; nothing is kept between calls."""

    def __init__(self, count=6, split="test", side=24, void=False):
        self.name, self.split = "bars", split
        self._count, self._side, self._void = count, side, void
        self.given = []

    def __len__(self):
        return self._count

    def __getitem__(self, index):
        if not 0 <= index < self._count:
            raise IndexError(index)
        labels = truth_of(index, self._side)
        image = labels[..., None].astype(np.uint8)
        self.given += [weakref.ref(image), weakref.ref(labels)]
        if self._void:
            labels[:8] = -1
        return Sample(f"bar-{index}", image, labels)

    def names(self):
        return [f"bar-{i}" for i in range(self._count)]


class Knows:
    """Finds the bars, except those it is told to miss: image index -> number of bars missed."""

    def __init__(self, missed=None):
        self.missed = missed or {}
        self.calls = 0

    def segment(self, image):
        labels = image[..., 0].astype(np.int64)
        few = self.missed.get(self.calls, 0)
        self.calls += 1
        return Segmentation.from_labels(np.where(labels > few, labels, 0))


class Fails:
    def __init__(self, error):
        self.error = error

    def segment(self, image):
        raise self.error


def test_a_perfect_model_scores_one_everywhere():
    found = evaluate(Knows(), Bars(), report=False)
    for threshold in ("0.5", "0.6", "0.7", "0.8", "0.9"):
        for name in ("matching_ap", "precision", "recall", "f1", "pq"):
            assert found.metrics[f"{name}@{threshold}"] == 1
    assert found.metrics["images"] == 6
    assert found.metrics["objects"] == found.metrics["predicted"] == 18
    assert found.metrics["seconds_per_image"] >= 0


def test_scores_are_those_of_the_metric_over_all_objects():
    model, data = Knows({0: 1, 3: 3, 4: 2}), Bars()
    found = evaluate(model, data, thresholds=(0.5, 0.8), report=False)
    metric, again = MatchingMetric((0.5, 0.8)), Knows({0: 1, 3: 3, 4: 2})
    for sample in data:
        metric.update(prediction=again.segment(sample.image).labels, truth=sample.labels)
    assert found.metrics.items() >= metric.compute().items()
    assert found.metrics["recall@0.5"] == pytest.approx(12 / 18)


def test_each_image_has_its_name_scores_and_counts_in_order():
    found = evaluate(Knows({1: 2}), Bars(3), thresholds=(0.5,), report=False)
    assert [row["name"] for row in found.per_image] == ["bar-0", "bar-1", "bar-2"]
    row = found.per_image[1]
    assert row["matching_ap@0.5"] == pytest.approx(1 / 3)
    assert (row["tp@0.5"], row["fp@0.5"], row["fn@0.5"]) == (1, 0, 2)
    assert (row["true"], row["predicted"]) == (3, 1)
    assert row["seconds"] >= 0


def test_void_is_left_out_of_the_counts():
    found = evaluate(Knows(), Bars(2, void=True), thresholds=(0.5,), report=False)
    assert found.metrics["objects"] == 4
    assert found.metrics["matching_ap@0.5"] == 1


def test_the_file_holds_data_protocol_metrics_and_images(tmp_path):
    found = evaluate(Knows({1: 1}), Bars(3), output=tmp_path / "run", report=False)
    written = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert written == found.to_dict()
    assert (written["data"], written["split"], written["protocol"]) == ("bars", "test", "matching")
    assert written["model"] == "Knows"
    assert {"matching_ap@0.5", "pq@0.9", "images", "objects"} < set(written["metrics"])
    assert len(written["per_image"]) == 3
    assert not (tmp_path / "run" / "report.html").exists()


def test_nothing_is_written_without_an_output_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    evaluate(Knows(), Bars(2))
    assert list(tmp_path.iterdir()) == []


def test_the_page_shows_the_worst_images_first(tmp_path):
    evaluate(Knows({2: 3, 4: 1}), Bars(6), output=tmp_path)
    page = (tmp_path / "report.html").read_text()
    cases = page[page.index("Worst images</h2>") :]
    order = [cases.index(f"bar-{index}") for index in (2, 4, 0)]
    assert order == sorted(order)
    assert "data:image/" in page
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_the_page_lists_images_without_anything_to_find_last(tmp_path):
    class Blank(Bars):
        def __getitem__(self, index):
            sample = super().__getitem__(index)
            return sample if index else Sample("blank", sample.image * 0, sample.labels * 0)

    evaluate(Knows({1: 1, 2: 1}), Blank(3), output=tmp_path)
    listed = (tmp_path / "report.html").read_text().split("Images</h2>")[1]
    assert listed.index("bar-2") < listed.index("blank")


def test_a_limit_looks_at_the_first_images_only():
    data = Bars(6)
    found = evaluate(Knows(), data, limit=2, report=False)
    assert [row["name"] for row in found.per_image] == ["bar-0", "bar-1"]
    looked_over, scored = data.given[:-4], data.given[-4:]
    assert len(scored) == 4
    assert len(looked_over) <= 12  # each image once or twice, for what is wrong in masks
    assert evaluate(Knows(), data, limit=100, report=False).metrics["images"] == 6


def test_progress_is_told_after_each_image():
    told = []
    evaluate(Knows(), Bars(3), report=False, on_image=lambda *what: told.append(what))
    assert [(number, count, row["name"]) for number, count, row in told] == [
        (1, 3, "bar-0"),
        (2, 3, "bar-1"),
        (3, 3, "bar-2"),
    ]


@pytest.mark.parametrize("report", [False, True])
def test_images_are_let_go_after_they_are_scored(report):
    data, alive = Bars(8), []

    def count(*_):
        gc.collect()
        alive.append(sum(given() is not None for given in data.given))

    evaluate(Knows(), data, report=report, on_image=count)
    assert max(alive) <= 4  # image and labels, of the present sample and the one before


def test_only_the_worst_examples_are_kept_and_they_are_small():
    found = evaluate(Knows({5: 3, 13: 2}), Bars(14, side=1290), thresholds=(0.5,))
    assert len(found.examples) == 12
    assert [e.scores["name"] for e in found.examples[:3]] == ["bar-5", "bar-13", "bar-0"]
    for example in found.examples:
        for picture in (example.image, example.truth, example.prediction, example.mistakes):
            assert picture.shape == (430, 430, 3)
            assert picture.dtype == np.uint8


def offered(pairs, keep=3):
    data, worst = Bars(), RankedExamples(keep)
    judge = make_judge("matching", data, thresholds=(0.5, 0.9))
    for index, (true, pred) in enumerate(pairs):
        sample = Sample(str(index), np.zeros((1, len(true), 1), np.uint8), np.array([true]))
        one = Comparison(sample, Segmentation.from_labels(np.array([pred])), data)
        row = {"name": str(index), **judge.update(one)}
        worst.offer(judge.badness(row), partial(draw_example, row, judge, one))
    return [example.scores["name"] for example in worst.worst_first()]


def test_an_empty_image_with_nothing_predicted_is_no_failure():
    assert offered([([0, 0], [0, 0]), ([1, 1], [1, 1]), ([1, 2], [1, 0])]) == ["2", "0", "1"]


def test_images_found_equally_badly_are_ranked_by_their_mistakes_then_by_order():
    nothing, two_missed = ([1, 0], [0, 0]), ([1, 2], [0, 0])
    assert offered([nothing, nothing, two_missed]) == ["2", "0", "1"]


def test_a_loose_match_is_worse_than_a_tight_one():
    assert offered([([1, 1, 1], [1, 1, 1]), ([1, 1, 1], [1, 1, 0])]) == ["1", "0"]


def test_mistakes_are_coloured_by_kind_and_void_is_left_alone():
    truth, labels = np.array([[1, 0, 2, 0, 0, -1]]), np.array([[7, 0, 0, 0, 8, 9]])
    drawn = draw_mistakes(
        np.zeros((1, 6, 3), np.uint8), truth, labels, matching(prediction=labels, truth=truth)
    )
    assert tuple(drawn[0, 0]) == FOUND
    assert tuple(drawn[0, 2]) == MISSED
    assert drawn[0, 4].tolist() == [int(0.6 * value) for value in INVENTED]
    assert not drawn[0, [1, 3, 5]].any()


def test_missed_objects_show_through_the_one_that_merged_them():
    truth = np.array([[1, 1, 1, 2, 2, 2]]).repeat(3, 0)
    merged = np.ones((3, 6), int)
    found = matching(prediction=merged, truth=truth, threshold=0.9)
    drawn = draw_mistakes(np.zeros((3, 6, 3), np.uint8), truth, merged, found)
    assert (drawn[:, 2:4] == MISSED).all()
    assert (drawn[:, 0, 1] > MISSED[1]).all()


def test_true_objects_take_the_colours_of_what_was_found_of_them():
    truth = np.repeat([[3, 3, 0, 1, 1, 0, 7, 7, 0, -1]], 2, 0)
    labels = np.repeat([[2, 2, 0, 0, 0, 0, 1, 1, 0, 9]], 2, 0)
    alike = number_alike(truth, labels, matching(prediction=labels, truth=truth))
    assert alike[0].tolist() == [2, 2, 0, 10, 10, 0, 1, 1, 0, -1]  # 1 was not found: a new number
    true, found = colour_labels(alike), colour_labels(labels)
    both = np.isin(truth, (3, 7))
    assert (true[both] == found[both]).all()


def test_a_truth_without_objects_keeps_its_void():
    truth = np.array([[0, -1]])
    assert number_alike(truth, truth * 0, matching(prediction=truth * 0, truth=truth)).tolist() == [
        [0, -1]
    ]


@pytest.mark.parametrize("size", [(1, 1), (3000, 4), (2, 2000)])
def test_images_of_odd_sizes_are_drawn(size):
    class One(Bars):
        def __getitem__(self, index):
            return Sample("odd", np.zeros((*size, 3), np.uint16), np.ones(size, np.int64))

    (example,) = evaluate(Knows(), One(1)).examples
    assert max(example.mistakes.shape) <= 640


def test_the_table_has_a_row_per_threshold():
    found = evaluate(Knows({0: 3}), Bars(2), thresholds=(0.5, 0.75), report=False)
    console = Console(file=io.StringIO(), width=100)
    console.print(found.table())
    text = console.file.getvalue()
    assert "Knows on bars (test)" in text
    assert text.count("0.500") >= 2  # AP of half the objects
    assert "0.75" in text
    assert "2 images, 6 objects" in text


def test_a_failing_model_is_told_with_the_image_and_leaves_no_file(tmp_path):
    with pytest.raises(CongealError, match="failed on bar-0: image too small") as caught:
        evaluate(Fails(CongealError("image too small")), Bars(), output=tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_defect_of_the_model_keeps_its_own_error_and_names_the_image():
    with pytest.raises(ZeroDivisionError) as caught:
        evaluate(Fails(ZeroDivisionError()), Bars())
    assert caught.value.__notes__ == ["while segmenting bar-0"]


def test_a_result_of_another_size_is_told():
    class Small:
        def segment(self, image):
            return Segmentation.from_labels(np.zeros((5, 6), int))

    with pytest.raises(CongealError, match=r"bar-0 of its size \(24, 24\), got \(5, 6\)"):
        evaluate(Small(), Bars())


@pytest.mark.parametrize(
    ("model", "data", "options", "told"),
    [
        (Knows(), Bars(0), {}, "found none in <bars"),
        (Knows(), Bars(), {"limit": 0}, "at least one image, got 0"),
        (Knows(), Bars(), {"thresholds": (0.5, 5)}, r"thresholds in \(0, 1\]"),
        (object(), Bars(), {}, "got object"),
        (Knows(), "stickz", {}, "sticks"),
        ("no-such-model", Bars(), {}, "no-such-model"),
    ],
)
def test_what_cannot_be_evaluated_is_told_in_one_line(model, data, options, told):
    with pytest.raises(CongealError, match=told) as caught:
        evaluate(model, data, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("named", ["panoptic", "no-such-protocol"])
def test_matching_stands_in_where_the_protocol_of_the_data_cannot_be_had(named):
    data = Bars(2)
    data.protocol = named
    found = evaluate(Knows(), data, report=False)
    assert (found.protocol, found.metrics["matching_ap@0.5"]) == ("matching", 1)
    assert named in found.notes[0]


def test_a_dataset_can_be_named():
    found = evaluate(Knows(), "discs", split="val", limit=2, report=False)
    assert (found.data, found.split) == ("discs", "val")


@pytest.mark.parametrize("below", ["", "run/a"])
def test_a_folder_that_cannot_be_written_is_told_before_the_work(tmp_path, below):
    target, model = tmp_path / "file", Knows()
    target.write_text("mine")
    with pytest.raises(CongealError, match=r"cannot write the evaluation to .*is a file"):
        evaluate(model, Bars(2), output=target / below, report=False)
    assert model.calls == 0
    assert target.read_text() == "mine"


def test_an_evaluation_is_compared_without_its_pictures():
    scores = MatchingMetric((0.5,)).compute()
    one, two = (Evaluation("a", "b", "c", "matching", (0.5,), scores, []) for _ in range(2))
    assert one == two


@pytest.fixture
def a_folder(tmp_path):
    def write(*parts):
        for part in parts:
            for kind in ("images", "masks"):
                target = tmp_path / kind / part
                target.mkdir(parents=True)
                for index in range(4):
                    Image.fromarray(truth_of(index).astype(np.uint8)).save(target / f"{index}.png")
        return tmp_path

    return write


@pytest.mark.parametrize(
    ("parts", "options", "split", "images"),
    [
        (("train", "test"), {}, "test", {4}),
        (("",), {}, "val", {1, 2, 3}),
        (("",), {"split": "all"}, "all", {4}),
    ],
)
def test_images_that_were_not_trained_on_are_the_default(a_folder, parts, options, split, images):
    found = evaluate(Knows(), a_folder(*parts), report=False, **options)
    assert found.split == split
    assert found.metrics["images"] in images


def test_the_page_shows_the_best_images_after_the_worst(tmp_path):
    missed = {index: 1 + (index == 2) for index in range(12)}
    found = evaluate(Knows(missed), Bars(15), output=tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert page.index("Worst images</h2>") < page.index("Best images</h2>")
    worst, best = ([one.scores["name"] for one in some] for some in (found.examples, found.best))
    assert worst == ["bar-2", *(f"bar-{index}" for index in range(12) if index != 2)]
    assert best == ["bar-12", "bar-13", "bar-14"], "none is shown twice"


def test_a_short_evaluation_shows_no_image_twice():
    found = evaluate(Knows(), Bars(3))
    assert (len(found.examples), len(found.best)) == (3, 0)
