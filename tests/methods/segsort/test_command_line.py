"""SegSort from the command line: train, resume, segment, evaluate, index."""

import pytest
import torch
from typer.testing import CliRunner

from congeal.cli import app
from congeal.data import drawn
from congeal.data.drawn import DrawnDataset
from congeal.models import load


@pytest.fixture
def run(monkeypatch, tmp_path):
    monkeypatch.setitem(drawn.COUNTS, "train", 6)
    monkeypatch.setitem(drawn.COUNTS, "val", 3)
    monkeypatch.setitem(drawn.COUNTS, "test", 2)
    monkeypatch.chdir(tmp_path)

    def call(*words, code=0):
        result = CliRunner().invoke(app, [str(word) for word in words])
        assert result.exit_code == code, f"{result.output}{result.exception!r}"
        return result.stdout

    return call


def test_from_the_command_line_train_resume_segment_evaluate_and_index(run, tmp_path):
    data = "shapes:size=48"
    words = ["train", data, "--method", "segsort", "-o", "model", "--batch-size", 2]
    words += ["--set", "steps_per_epoch=1", "--set", "dimensions=8", "--set", "workers=0"]
    run(*words, "--epochs", 1)
    run(*words, "--epochs", 2, "--resume")
    model = load("model")
    assert [row.name for row in model.indexed_images()] == DrawnDataset("shapes", count=6).names()

    image = DrawnDataset("shapes", "test", size=48, count=1)[0].image
    from PIL import Image

    Image.fromarray(image).save(tmp_path / "photo.png")
    run("segment", "model", "photo.png", "-o", "out", "-f", "semantic", "-f", "probabilities")
    assert {one.name for one in (tmp_path / "out").iterdir()} >= {
        "photo_semantic.png",
        "photo_probabilities.npz",
    }
    assert "miou" in run("evaluate", "model", data, "--json")

    before = load("model").index.classes
    assert "6 images" in run("index", "model")
    run("index", "model", "--add", data, "--split", "test")
    assert len(load("model").index.classes) > len(before)
    run("index", "model", "--drop", "test-00000", "--drop", "test-00001")
    assert torch.equal(load("model").index.classes, before)
    run("index", "model", "--drop", "nobody", code=2)
