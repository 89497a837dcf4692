"""Stages, a fitted part, buffers of variable size, and a loss that couples the batch."""

import csv
import signal

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

# Eight epochs of two steps: a stage has eight steps.
TRAIN = ["train", "./shapes", "--method", "two-stage", "--batch-size", 4, "--crop", 32]
TRAIN += ["--epochs", 8, "--set", "steps_per_epoch=2", "--set", "validation_images=1"]
TRAIN += ["--set", "learning_rate=0.02", "--set", "keep=last", "--set", "threads=2"]


@pytest.fixture(scope="session")
def unbroken(shell, folder):
    """The folder of a training that nothing interrupted, and the batches that its losses saw."""
    sizes = shell.folder / "sizes.txt"
    shell.run(*TRAIN, "-o", "whole", TOY_BATCHES=str(sizes))
    return shell.folder / "whole", [int(line) for line in sizes.read_text().split()]


def test_each_stage_has_its_share_of_the_steps_and_its_own_terms_in_the_log(unbroken):
    with (unbroken[0] / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    first = {row["stage"]: int(row["step"]) for row in reversed(rows)}
    assert first == {"map": 1, "verification": 9}
    assert {row["stage"] for row in rows if row["map_entropy"]} == {"map"}
    assert {row["stage"] for row in rows if row["verification_entropy"]} == {"verification"}


def test_the_fitted_part_is_fitted_on_all_training_images_and_saved(unbroken):
    weights = load_file(unbroken[0] / "model.safetensors")
    assert weights["memory.colours"].shape == (4 + 3 + 4 + 3, 3)  # objects of four images


@pytest.mark.parametrize("place", ["map:4", "verification:3", "finish:1"])
def test_killed_anywhere_and_resumed_it_ends_as_if_unbroken(shell, unbroken, place):
    output = place.replace(":", "-")
    shell.run(*TRAIN, "-o", output, code=-signal.SIGKILL, TOY_KILL=place)
    shell.run(*TRAIN, "-o", output, "--resume")
    left, right = (
        load_file(folder / "model.safetensors") for folder in (shell.folder / output, unbroken[0])
    )
    assert left.keys() == right.keys()
    assert all(np.array_equal(left[name], right[name]) for name in left)


def test_resuming_what_is_finished_fits_nothing_again(shell, unbroken):
    before = (unbroken[0] / "model.safetensors").read_bytes()
    shell.run(*TRAIN, "-o", unbroken[0], "--resume", TOY_KILL="finish:1")
    assert (unbroken[0] / "model.safetensors").read_bytes() == before


def test_a_model_with_its_fitted_part_segments(shell, unbroken, tmp_path):
    Image.fromarray(np.eye(40, dtype=np.uint8) * 200).save(tmp_path / "line.png")
    shell.run("segment", unbroken[0], tmp_path / "line.png", "-o", tmp_path / "out", "-f", "csv")
    assert (tmp_path / "out" / "line_objects.csv").exists()


def test_a_loss_that_couples_the_batch_gets_whole_batches(unbroken):
    assert unbroken[1] == [4] * 16


def test_asking_for_two_replicas_of_it_is_refused_in_one_line(shell):
    said = shell.run(*TRAIN, "-o", "split", "--set", "cpu_replicas=2", code=2)
    assert said.splitlines()[-1] == (
        "error: cpu_replicas: expected 1, because the loss of two-stage compares images of a "
        "batch, got 2"
    )
    assert not (shell.folder / "split" / "config.json").exists()
