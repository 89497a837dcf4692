import json
import os
import signal
import subprocess
import sys
import time

import pytest

from congeal import training
from congeal.cli.settings import METHOD, TRAINING
from congeal.cli.train import default_folder
from congeal.errors import CongealError
from congeal.models import load, save_model

# A training of a few seconds.
SHORT = ["--epochs", 1, "--steps-per-epoch", 1, "--batch-size", 2, "--crop", 64]
SHORT += ["--validation-images", 1, "--dimensions", 4, "--samples", 64]


@pytest.fixture
def asked(monkeypatch):
    """What the training is asked for, in place of doing it."""
    calls = []

    def train(model, data, *, output, **settings):
        calls.append({"model": model, "data": data, "output": output, **settings})
        return save_model(
            model or stand_in(), output, card="", metrics={"validation matching_ap@0.5": 0.5}
        )

    def stand_in():
        from congeal.methods.rpe import RPE

        return RPE(dimensions=4)

    monkeypatch.setattr(training, "train", train)
    return calls


VALUES = {
    "int": "2",
    "float": "0.75",
    "bool": "",
    "floats": "0.5,2",
    "names": "cell,dirt",
    "options": "grid=6",
}
EXPECTED = {
    "1": 1,
    "2": 2,
    "0.75": 0.75,
    "": True,
    "0.5,2": (0.5, 2.0),
    "cell,dirt": ("cell", "dirt"),
    "grid=6": {"grid": 6},
}


@pytest.mark.parametrize("setting", TRAINING, ids=lambda setting: setting.name)
def test_every_training_setting_reaches_the_training(run, asked, desk, setting):
    value = setting.choices[0] if setting.choices else VALUES.get(setting.kind, "auto")
    result = run("train", "photos", setting.option, *([value] if value else []))
    assert result.exit_code == 0, result.output
    assert asked[0][setting.name] == (value if setting.kind == "str" else EXPECTED[value])


def test_every_method_setting_reaches_the_model(run, monkeypatch, desk):
    from congeal.methods import rpe

    given = {}

    def record(**settings):
        given.update(settings)
        raise CongealError("enough")

    monkeypatch.setattr(rpe, "RPE", record)
    for setting in METHOD:
        value = setting.choices[0] if setting.choices else VALUES.get(setting.kind, "compact")
        run("train", "photos", setting.option, *([value] if value else []))
        expected = value if setting.kind == "str" else EXPECTED[value]
        assert given[setting.name] == expected


def test_without_settings_the_training_chooses(run, asked, desk):
    result = run("train", "photos", "--what", "cells", "--licence", "CC0-1.0")
    assert asked[0]["model"] is None
    assert (asked[0]["what"], asked[0]["licence"]) == ("cells", "CC0-1.0")
    assert asked[0].keys() == {"model", "data", "output", "val", "resume", "what", "licence"}
    assert result.stdout.splitlines()[:2] == [
        f"model: {os.path.join('runs', 'photos')}",
        "  validation matching_ap@0.5 0.500",
    ]


def test_settings_of_the_method_join_those_chosen_by_the_images(run, asked, desk):
    run("train", "photos", "--dimensions", 6)
    config = asked[0]["model"].config
    assert config.dimensions == 6
    assert config.coordinates == training.suggest_settings(open_photos())["coordinates"]


def open_photos():
    from congeal.data import open_dataset

    return open_dataset("photos", "train")


def test_the_same_seed_gives_the_same_weights(run, asked, desk):
    import torch

    for seed in (1, 1, 2):
        run("train", "photos", "--dimensions", 6, "--seed", seed)
    first, second, third = (
        torch.cat([p.flatten() for p in call["model"].parameters()]) for call in asked
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, third)


def test_json_tells_folder_scores_and_settings(run, asked, desk):
    told = json.loads(run("train", "photos", "-o", "m", "--json").stdout)
    assert told["model"] == "m"
    assert told["metrics"] == {"validation matching_ap@0.5": 0.5}
    assert told["settings"]["dimensions"] == 4


def test_the_folder_is_named_after_the_data(desk):
    assert default_folder("photos").as_posix() == "runs/photos"
    assert default_folder("a/b/").as_posix() == "runs/b"
    assert default_folder("a/set 1.json").as_posix() == "runs/set-1"
    assert default_folder("nuclei:fluorescence").as_posix() == "runs/nuclei-fluorescence"
    assert default_folder(".").as_posix() == "runs/desk"


def test_a_small_training_leaves_a_model_that_segments(run, desk):
    result = run("train", "photos", "-o", "m", *SHORT)
    assert result.exit_code == 0, result.output
    assert run("segment", "m", "photos/images").exit_code == 0
    again = run("train", "photos", "-o", "m", *SHORT)
    assert again.exit_code == 2
    assert "holds a training already" in again.stderr
    assert run("train", "photos", "-o", "m", *SHORT, "--resume").exit_code == 0


def test_a_training_can_begin_with_another_model(run, asked, desk):
    from congeal.methods.rpe import RPE

    first = save_model(RPE(dimensions=8), desk / "first", card="")
    assert run("train", "photos", "--start", first).exit_code == 0
    assert asked[0]["model"].settings == load(first).settings


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["stiks"], "did you mean 'sticks'"),
        (["photos", "--optimizer", "adam"], "did you mean 'adamw'"),
        (["photos", "--encoder", "compactt"], "did you mean 'compact'"),
        (["photos", "--encoder", "resnet18d0"], "did you mean 'resnet18d'"),
        (["photos", "--method", "rep"], "did you mean 'rpe'"),
        (["photos", "--background", "heads"], "did you mean 'head'"),
        (["photos", "--margin", "1.5"], "margin"),
        (["photos", "--batch-size", "0"], "batch_size"),
        (["photos", "--scale", "a"], "--scale"),
        (["photos", "--start", "nowhere/x"], "found nothing"),
        (["photos", "--start", "first", "--dimensions", "8"], "leave out: dimensions"),
        (["photos", "--batch", "3"], "did you mean --batch-size?"),
        (["photos", "--output", "photos/images/cell0.png"], "cannot write"),
        (["photos", "--val", "nowhere/x"], "no such folder"),
    ],
)
def test_what_is_given_wrong_is_told_in_one_line(fails, desk, words, said):
    assert said in fails("train", *words)


@pytest.mark.slow
def test_ctrl_c_leaves_a_model_and_says_so(environment, desk):
    words = ["train", "photos", "-o", "m", "--max-minutes", "5", *map(str, SHORT[2:])]
    process = subprocess.Popen(
        [sys.executable, "-m", "congeal.cli", *words],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    log = desk / "m" / "log.csv"
    while process.poll() is None and not (log.exists() and log.read_text().count("\n") > 1):
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 130, stderr
    assert stdout == ""
    assert stderr.splitlines()[-1] == "stopped: m holds the model so far; --resume goes on"
    assert "Traceback" not in stderr
    load(desk / "m")
