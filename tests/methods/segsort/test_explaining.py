"""Explanations from the command line: sheets, segments, the page, the map of prototypes."""

import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from congeal.cli import app
from congeal.data.drawn import DrawnDataset
from congeal.data.resized import ResizedImage
from congeal.methods import RPE
from congeal.methods.segsort import SegSort
from congeal.methods.segsort.prototypes import INDEXED
from congeal.models import load, save_model
from congeal.prediction.explaining import explain_image
from congeal.segmentation.resize import resize_labels

NAMES = ("disc", "square", "triangle", "star")


@pytest.fixture
def model(tmp_path):
    """An untrained model with an index of five images, saved."""
    made = SegSort(dimensions=8, class_names=NAMES, k=3)
    made.finish(DrawnDataset("shapes", "train", count=5, size=64))
    return save_model(made, tmp_path / "model", card="")


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(DrawnDataset("shapes", "test", count=1, size=64)[0].image.squeeze()).save(path)
    return path


def call(*words, code=0):
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, f"{result.output}{result.exception!r}"
    return result.output


def test_explain_writes_sheet_segments_page_and_map(model, photo, tmp_path):
    out = tmp_path / "out"
    told = call("segment", model, photo, "-o", out, "-f", "semantic", "--explain")
    folder = out / "explanations"
    assert str(folder / "index.html") in told
    assert {one.name for one in folder.iterdir()} == {
        *("photo_explanation.png", "photo_segments.png", "prototypes.png", "index.html")
    }
    segments = np.asarray(Image.open(folder / "photo_segments.png"))
    assert segments.shape == (64, 64)
    assert segments.min() == 1
    page = (folder / "index.html").read_text()
    assert "train-0000" in page
    assert "share of votes" in page


def test_the_sheet_names_what_the_vote_was_of(model, photo):
    learnt = load(model)
    maps = learnt.predict_maps(np.asarray(Image.open(photo)))
    for one in learnt.explain(maps):
        assert len(one.matches) == 3
        found = [match.class_id for match in one.matches]
        assert one.share == pytest.approx(found.count(one.class_id) / 3)
        likeness = [match.similarity for match in one.matches]
        assert likeness == sorted(likeness, reverse=True)


def test_a_sheet_starts_with_the_largest_segment_of_each_class(model, photo):
    image = np.asarray(Image.open(photo))
    _, segments, found = explain_image(load(model), image)
    areas = np.bincount(segments.ravel())
    kinds = {one.class_id for one in found}
    first, others = found[: len(kinds)], found[len(kinds) :]
    assert {one.class_id for one in first} == kinds
    for one in first:
        own = [areas[other.segment] for other in found if other.class_id == one.class_id]
        assert areas[one.segment] == max(own)
    for part in (first, others):
        shown = [(one.class_id == 0, -areas[one.segment]) for one in part]
        assert shown == sorted(shown)


def test_what_is_dropped_from_the_index_changes_the_answers_at_once(model, photo, tmp_path):
    def classes(folder):
        call("segment", model, photo, "-o", tmp_path / folder, "-f", "semantic")
        return set(np.unique(np.asarray(Image.open(tmp_path / folder / "photo_semantic.png"))))

    before = classes("before")
    kept, *others = load(model).index.rows()
    call("index", model, *(word for row in others for word in ("--drop", row.name)))
    assert classes("after") <= set(kept.classes)
    call("index", model, "--drop", kept.name)
    assert classes("empty") == {0}
    assert before


def test_the_list_tells_images_segments_classes_and_bytes(model):
    result = CliRunner().invoke(app, ["index", str(model), "--json"])  # progress goes to stderr
    told = json.loads(result.stdout)
    learnt = load(model)
    assert told["images"] == 5
    assert told["segments"] == len(learnt.index) == sum(row["segments"] for row in told["index"])
    held = [getattr(learnt.index, name) for name in INDEXED if name != "picture_sizes"]
    assert told["bytes"] == sum(one.nbytes for one in held)
    assert all(0 in row["classes"] for row in told["index"])


def test_pictures_of_training_images_stay_with_their_names(model):
    learnt = load(model)
    shown = {name: learnt.training_picture(name) for name in learnt.index.names}
    learnt.forget_image("train-00001")
    assert learnt.training_picture("train-00001") is None
    for name in learnt.index.names:
        assert (learnt.training_picture(name) == shown[name]).all()
        truth = DrawnDataset("shapes", "train", count=5, size=64)
        image = truth[truth.names().index(name)].image
        error = learnt.training_picture(name).astype(float).mean(2) - image.mean(2)
        assert np.abs(error).mean() < 30  # JPEG, stretched


def test_models_without_an_index_do_not_explain(photo, tmp_path):
    other = save_model(RPE(dimensions=4), tmp_path / "other", card="")
    told = call("segment", other, photo, "-o", tmp_path / "out", "--explain", code=2)
    assert "answers by training segments" in told
    empty = save_model(SegSort(dimensions=4), tmp_path / "empty", card="")
    words = ["segment", empty, photo, "-o", tmp_path / "o2", "-f", "semantic", "--explain"]
    assert "index" in call(*words, code=2)


def test_explanations_follow_the_size_of_a_pixel(tmp_path, photo):
    made = SegSort(dimensions=8, class_names=NAMES, k=3, pixel_size=0.5)
    made.finish(DrawnDataset("shapes", "train", count=5, size=64))
    model = save_model(made, tmp_path / "sized", card="")
    twice = np.asarray(Image.open(photo)).repeat(2, 0).repeat(2, 1)
    Image.fromarray(twice).save(tmp_path / "twice.png")
    words = ("-f", "semantic", "--explain", "--pixel-size", 0.25)
    call("segment", model, tmp_path / "twice.png", "-o", tmp_path / "out", *words)
    found = np.asarray(Image.open(tmp_path / "out" / "explanations" / "twice_segments.png"))
    _, segments, _ = explain_image(load(model), ResizedImage(twice, 0.5).pixels())
    np.testing.assert_array_equal(found, resize_labels(segments, (128, 128)))
