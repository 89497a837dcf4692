"""Trainings that fail, each by a fault of its own, end with the line that names the fault."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from congeal.data import DrawnDataset
from congeal.data.alignment import align_masks
from congeal.methods import find_method
from congeal.training.diagnosis import diagnose

# A training of two updates on crops of 64 px; what it scores is near zero.
SHORT = [
    "--from-scratch",
    "--epochs",
    1,
    "--batch-size",
    2,
    "--crop",
    64,
    "--set",
    "steps_per_epoch=2",
]
SHORT += ["--set", "dimensions=4", "--set", "samples=64", "--set", "validation_images=1"]
SHORT += [
    "--from-scratch",
    "--set",
    "tuning_share=0",
    "--set",
    "foreground_threshold=0.99",
    "--device",
    "cpu",
]


def scenes(folder, change=lambda labels: labels, *, size=96, radius=9, count=6):
    """Discs on a folder of images and masks, the masks changed by a fault."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:size, :size]
    for index in range(count):
        labels = np.zeros((size, size), np.uint8)
        for number, (y, x) in enumerate(rng.integers(8, size - 8, (7, 2)), 1):
            labels[(rows - y) ** 2 + (columns - x) ** 2 < radius**2] = number
        image = np.where(labels > 0, 160, 40) + rng.normal(0, 4, labels.shape)
        for name, pixels in (("images", image), ("masks", change(labels))):
            (folder / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{index}.png")
    return folder


def told(run, folder, *options):
    """The lines behind the score."""
    result = run("train", folder, "--output", folder / "model", *SHORT, *options)
    assert result.exit_code == 0, result.output
    _, found, lines = result.stderr.partition("likely causes:\n")
    assert found, result.stderr
    return lines.splitlines()


def test_few_updates(run, tmp_path):
    lines = told(run, scenes(tmp_path))
    assert lines[0].startswith("  only 2 updates were made")
    assert lines[1:] == ["  more on a score near 0: docs/how-to/ap-is-zero.md"]


def test_a_start_model_is_suggested_where_none_was_taken(run, tmp_path):
    lines = told(run, scenes(tmp_path), "--set", "steps_per_epoch=1")
    assert lines[0].startswith("  only 1 update was made")
    assert lines[0].endswith("or begin with --start nuclei")
    data, model = DrawnDataset("discs", count=2, size=64), find_method("rpe")()
    assert "--start" not in diagnose(model, data, 1, started=True)[0]
    other = find_method("dvis")()  # the model that ships does not fit it
    assert "--start" not in diagnose(other, data, 1)[0]


def test_binary_masks(run, tmp_path):
    lines = told(run, scenes(tmp_path, lambda labels: 255 * (labels > 0)))
    assert "if these are binary masks, label their connected components first" in lines[1]


def test_one_object_in_each_image(run, tmp_path):
    lines = told(run, scenes(tmp_path, lambda labels: labels == 1))
    assert "has one object only" in lines[1]


def test_objects_below_the_spacing_of_the_embedding(run, tmp_path):
    lines = told(run, scenes(tmp_path, radius=1.1), "--set", "stride=4")
    assert lines[1].startswith("  objects are too small for the network")
    assert "a point every 4 pixels" in lines[1]
    assert "--set input.scale=" in lines[1]


def test_masks_shifted_against_images(run, tmp_path):
    lines = told(run, scenes(tmp_path, lambda labels: np.roll(labels, (7, -5), (0, 1))))
    assert "moved 7 px up and 5 px right" in lines[1]


def test_masks_turned(run, tmp_path):
    lines = told(run, scenes(tmp_path, np.flipud))
    assert "only when upside down" in lines[1]


def test_masks_of_other_images(run, tmp_path):
    rng = np.random.default_rng(1)
    lines = told(run, scenes(tmp_path, lambda labels: np.rot90(np.roll(labels, rng.integers(96)))))
    assert "do not follow edges of the images" in lines[1]


def test_a_training_that_scores_gets_no_advice(run, tmp_path):
    options = ["--start", "nuclei", "--epochs", 1, "--batch-size", 2, "--crop", 64]
    quick = ["--set", "steps_per_epoch=1", "--set", "learning_rate=1e-6", "--set", "tuning_share=0"]
    folder = scenes(tmp_path)
    result = run("train", folder, "--output", tmp_path / "model", *options, *quick)
    assert result.exit_code == 0, result.output
    assert "likely wrong" not in result.stderr


def test_json_has_the_advice(said, tmp_path):
    found = said("train", scenes(tmp_path), "--output", tmp_path / "model", *SHORT)
    assert found["advice"][0].startswith("only 2 updates were made")


@pytest.mark.parametrize("kind", ["rods", "worms", "fibres", "rings", "cells", "rosettes"])
def test_good_masks_are_called_good(kind):
    samples = list(DrawnDataset(kind, "train", count=4))
    found = align_masks(samples)
    assert (found.is_shifted, found.is_unrelated, found.transform) == (False, False, None)
    moved = [replace(s, labels=np.roll(s.labels, 9, 0)) for s in samples]
    assert align_masks(moved).shift == (-9, 0)
