"""The toy of the page Add a method lives a whole life on the command line, from outside."""

import json
import os
import re
import signal
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

TRAIN = ["--method", "toy", "--batch-size", 2, "--crop", 64, "--seed", 3, "--epochs", 40]
TRAIN += ["--set", "learning_rate=0.02", "--set", "warmup=0", "--set", "keep=last"]


@pytest.fixture(scope="session")
def unbroken(shell, folder):
    """The folder of a training that nothing interrupted."""
    shell.run("train", folder, "-o", "unbroken", *TRAIN)
    return shell.folder / "unbroken"


def assert_same(one, other):
    left, right = (load_file(folder / "model.safetensors") for folder in (one, other))
    assert left.keys() == right.keys()
    assert all(np.array_equal(left[name], right[name]) for name in left)


def test_it_is_listed_with_the_built_in_methods(shell):
    listed = shell.run_json("methods", "--json")
    names = {one["name"]: one["tasks"] for one in listed}
    assert names["toy"] == ["instances", "semantic"]
    assert "rpe" in names
    told = shell.run_json("methods", "toy", "--json")
    assert {"network.width", "decoding.threshold"} <= {one["name"] for one in told["settings"]}


def test_an_unknown_method_gets_one_line_with_the_nearest_name(shell):
    said = shell.run("train", "discs", "--method", "tay", "-o", "none", code=2)
    assert said.splitlines()[-1].startswith("error: unknown method 'tay'; did you mean 'toy'?")
    assert "Traceback" not in said


def test_killed_and_resumed_it_ends_with_the_weights_of_an_unbroken_training(
    shell, folder, unbroken, until
):
    process = shell.start("train", folder, "-o", "killed", *TRAIN)
    until(shell.folder / "killed" / "checkpoints" / "last.ckpt")
    os.kill(process, signal.SIGKILL)
    assert shell.wait() == -signal.SIGKILL
    shell.run("train", folder, "-o", "killed", *TRAIN, "--resume")
    assert_same(shell.folder / "killed", unbroken)


def test_it_learns_and_its_losses_are_in_the_log(unbroken):
    lines = (unbroken / "log.csv").read_text().splitlines()
    assert "entropy" in lines[0].split(",")
    told = json.loads((unbroken / "config.json").read_text())
    assert told["method"] == "toy"
    assert told["training"]["finished"]
    assert told["settings"]["class_names"] == ["disc", "square"]


def test_it_is_tuned_segments_and_is_evaluated(shell, folder, unbroken):
    shell.run("tune", unbroken, folder, "-o", "tuned")
    tuned = json.loads((shell.folder / "tuned" / "config.json").read_text())
    assert tuned["training"]["tuned"]["images"] == 2
    assert_same(shell.folder / "tuned", unbroken)
    shell.run("segment", unbroken, folder / "images/val", "-o", "found", "-f", "labels")
    assert len(list((shell.folder / "found").glob("*_labels.png"))) == 2
    told = shell.run_json("evaluate", unbroken, folder, "--json", "--split", "val")
    assert told["metrics"]["images"] == 2
    assert told["metrics"]["ap@0.5"] > 0.3


def test_its_other_task_fills_the_semantic_map(shell, folder):
    shell.run("train", folder, "-o", "semantic", *TRAIN, "--epochs", 2, "--task", "semantic")
    shell.run("segment", "semantic", folder / "images/val", "-o", "maps", "-f", "semantic")
    assert len(list((shell.folder / "maps").glob("*_semantic.png"))) == 2
    how = ["--protocol", "miou", "--split", "val", "--json"]
    assert "miou" in shell.run_json("evaluate", "semantic", folder, *how)["metrics"]


def test_data_without_classes_is_refused_for_it_before_anything_is_trained(shell):
    said = shell.run("train", "discs", "-o", "bare", *TRAIN, "--task", "semantic", code=2)
    line = "error: expected images with classes for task semantic, discs has none; "
    assert said.splitlines()[-1].startswith(
        line + "docs/how-to/classes.md shows how to provide them"
    )
    assert not (shell.folder / "bare").exists()


def test_the_contract_suite_holds_for_all_methods_of_the_package(shell):
    suite = Path(__file__).parents[1] / "test_contract.py"
    wanted = ["-k", "toy or two-stage or lines", "-p", "no:cacheprovider", "-p", "no:xdist"]
    said = shell.run(suite, "-v", *wanted, module="pytest")
    cases = ("toy-instances", "toy-semantic", "two-stage-instances", "lines-boundaries")
    counts = {case: len(re.findall(rf"\[{case}.*PASSED", said)) for case in cases}
    assert len(set(counts.values())) == 1
    assert min(counts.values()) > 30, said[-3000:]
