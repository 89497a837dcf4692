"""Cityscapes and CVPPP from the folder of the data to the scores, by the command line."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from congeal.cli import app
from congeal.data import open_dataset
from congeal.data.drawn_files import write_cityscapes, write_cvppp
from congeal.metrics import CityscapesMetric, Objects
from congeal.models import load

SHORT = ["epochs=1", "batch_size=2", "crop=64", "tuning_share=0", "threads=1", "overlays=false"]


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def run(*words):
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return result.stdout


def train(data, model, *settings):
    given = [word for one in (*SHORT, *settings) for word in ("--set", one)]
    run("train", data, "--method", "discriminative", "--output", model, *given)


def evaluate(model, data, *words):
    told = run("evaluate", model, data, "--split", "val", "--json", "--no-report", *words)
    return json.loads(told)


def test_streets_are_trained_written_and_scored_as_cityscapes(tmp_path):
    data, model = write_cityscapes(tmp_path / "streets", 4, 2, size=(64, 128)), tmp_path / "model"
    train(data, model, "steps_per_epoch=4", "min_area=0")
    stuff = load(model).config.decoding.stuff
    assert "road" in stuff
    assert not {"car", "person"} & set(stuff)
    scores = evaluate(model, data, "-o", tmp_path / "own")
    assert scores["protocol"] == "cityscapes"
    told = evaluate(model, data, "-o", tmp_path / "told", "--true-classes")
    assert told["metrics"]["ap@0.5"] >= scores["metrics"]["ap@0.5"]
    assert told["metrics"]["predicted"] > 0

    images = data / "leftImg8bit" / "val" / "lindau"
    run("segment", model, images, "-o", tmp_path / "out", "-f", "cityscapes")
    metric = CityscapesMetric()
    for sample in open_dataset(data, "val"):
        truth = data / "gtFine" / "val" / "lindau" / f"{sample.name}_gtFine_instanceIds.png"
        ids = np.array(Image.open(truth)).astype(np.int64)
        metric.update(
            prediction=written(tmp_path / "out" / f"{sample.name}_leftImg8bit_pred.txt", ids),
            truth=ids,
        )
    own = metric.compute()
    for name in ("ap", "ap@0.5", "predicted"):
        assert own[name] == pytest.approx(scores["metrics"][name], nan_ok=True, abs=1e-6)


def written(text, like):
    """The objects that the files of a prediction tell, each mask as it is."""
    rows = [line.split() for line in text.read_text().splitlines()]
    labels = np.zeros(like.shape, int)
    for number, (mask, _, _) in enumerate(rows, start=1):
        labels[np.array(Image.open(text.parent / mask)) > 0] = number
    kinds = {k: int(row[1]) for k, row in enumerate(rows, start=1)}
    return Objects.from_labels(labels, kinds, {k + 1: float(r[2]) for k, r in enumerate(rows)})


def test_plants_are_trained_written_and_scored_as_cvppp(tmp_path):
    data, model = write_cvppp(tmp_path / "plants", 12, size=(106, 100)), tmp_path / "model"
    train(data, model, "steps_per_epoch=4")
    scores = evaluate(model, data, "-o", tmp_path / "own")
    assert scores["protocol"] == "cvppp"
    assert 0 <= scores["metrics"]["sbd"] <= 1
    told = evaluate(model, data, "-o", tmp_path / "told", "--true-classes")["metrics"]
    assert told["fbd"] == 1  # foreground is as told, whatever the leaves
    run("segment", model, data / "plant001_rgb.png", "-o", tmp_path / "out", "-f", "labels")
    with Image.open(tmp_path / "out" / "plant001_rgb_labels.png") as drawn:
        assert drawn.size == (100, 106)


@pytest.mark.slow
def test_leaves_of_drawn_rosettes_are_learnt(tmp_path):
    data, model = write_cvppp(tmp_path / "plants", 60, size=(106, 100), objects=(4, 8)), "model"
    train(data, tmp_path / model, "steps_per_epoch=250", "crop=96", "batch_size=8")
    metrics = evaluate(tmp_path / model, data, "-o", tmp_path / "own")["metrics"]
    assert metrics["sbd"] > 0.6
    assert metrics["abs_dic"] < 2
