import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
import yaml
from typer.testing import CliRunner

from congeal import training
from congeal.cli import app
from congeal.cli.train import default_folder
from congeal.methods.rpe import RPE
from congeal.models import load, read_config, save_model
from congeal.training import Outcome

# A training of a few seconds.
SHORT = ["--epochs", 1, "--batch-size", 2, "--crop", 64, "--set", "steps_per_epoch=1"]
SHORT += ["--set", "validation_images=1", "--set", "dimensions=4", "--set", "samples=64"]


@pytest.fixture
def asked(monkeypatch):
    """What the training is asked for, in place of doing it."""
    calls = []

    def run_training(method, data, *, output, **wish):
        calls.append({"method": method, "data": data, "output": output, **wish})
        scores = {"validation matching_ap@0.5": 0.5}
        return Outcome(save_model(RPE(dimensions=4), output, card="", metrics=scores))

    monkeypatch.setattr(training, "run_training", run_training)
    return calls


@pytest.mark.parametrize(
    ("option", "value", "name", "expected"),
    [
        ("--max-minutes", "2.5", "max_minutes", 2.5),
        ("--epochs", "3", "epochs", 3),
        ("--batch-size", "2", "batch_size", 2),
        ("--crop", "96", "crop", 96),
        ("--seed", "7", "seed", 7),
        ("--device", "cpu", "device", "cpu"),
        ("--precision", "32", "precision", "32"),
        ("--half", None, "half", True),
    ],
)
def test_options_of_the_training_reach_it(run, asked, desk, option, value, name, expected):
    result = run("train", "photos", option, *([value] if value else []))
    assert result.exit_code == 0, result.output
    assert asked[0]["settings"] == {f"training.{name}": expected}


def test_minutes_count_from_the_start_of_the_command(run, asked, desk):
    before = time.monotonic()
    run("train", "photos", "--max-minutes", "1")
    assert before <= asked[0]["start_time"] <= time.monotonic()


def test_method_task_preset_start_and_the_card_reach_the_training(run, asked, desk):
    words = ["--method", "rpe", "--task", "instances", "--preset", "paper", "--start", "first"]
    run("train", "photos", *words, "--what", "cells", "--licence", "CC0-1.0", "--val", "more")
    call = asked[0]
    names = ("method", "task", "preset", "start", "what", "licence", "val", "resume")
    expected = ("rpe", "instances", "paper", "first", "cells", "CC0-1.0", "more", False)
    assert tuple(call[name] for name in names) == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [([], "auto"), (["--from-scratch"], None), (["--start", "first"], "first")],
)
def test_a_training_starts_from_a_model_unless_from_scratch(run, asked, desk, words, expected):
    run("train", "photos", *words)
    assert asked[0]["start"] == expected


def test_two_ways_to_start_are_refused_in_one_line(run, asked, desk):
    result = run("train", "photos", "--start", "first", "--from-scratch")
    assert (result.exit_code, asked) == (2, [])
    assert "expected --start or --from-scratch, got both (--start first)" in result.stderr


def test_the_end_says_where_the_model_is_and_how_good(run, asked, desk):
    result = run("train", "photos")
    assert asked[0]["method"] is None
    assert result.stdout.splitlines()[:2] == [
        f"model: {os.path.join('runs', 'photos')}",
        "  validation matching_ap@0.5 0.500",
    ]


def test_json_tells_folder_scores_and_settings(run, asked, desk):
    told = json.loads(run("train", "photos", "-o", "m", "--json").stdout)
    assert told["model"] == "m"
    assert told["metrics"] == {"validation matching_ap@0.5": 0.5}
    assert told["settings"]["network"]["dimensions"] == 4


def test_the_help_fits_on_a_screen(environment):
    wide = {"COLUMNS": "80", "TERMINAL_WIDTH": "80"}
    lines = CliRunner(env=wide).invoke(app, ["train", "--help"]).stdout.splitlines()
    assert len(lines) <= 48
    assert max(map(len, lines)) <= 80
    options = [line for line in lines if re.match(r"\W*--\w", line)]
    assert 15 <= len(options) <= 25


def test_the_folder_is_named_after_the_data(desk):
    assert default_folder("photos").as_posix() == "runs/photos"
    assert default_folder("a/b/").as_posix() == "runs/b"
    assert default_folder("a/set 1.json").as_posix() == "runs/set-1"
    assert default_folder("nuclei:fluorescence").as_posix() == "runs/nuclei-fluorescence"
    assert default_folder(".").as_posix() == "runs/desk"


def printed(run, *words):
    result = run("train", "photos", "--print-config", *words)
    assert result.exit_code == 0, result.output
    return yaml.safe_load(result.stdout)


def test_the_printed_settings_are_what_would_run(run, desk):
    told = printed(run, "--set", "loss.margin=0.4", "--set", "batch_size=4", "--epochs", "3")
    assert (told["method"], told["task"]) == ("rpe", "instances")
    assert told["loss"]["margin"] == 0.4
    assert (told["training"]["batch_size"], told["training"]["epochs"]) == (4, 3)
    assert not (desk / "runs").exists()


def test_a_file_of_settings_says_the_same_as_options(run, desk):
    first = printed(run, "--set", "margin=0.4", "--seed", "3")
    (desk / "my.yaml").write_text(yaml.safe_dump(first))
    assert printed(run, "--config", "my.yaml") == first
    # what is given beside it wins
    assert printed(run, "--config", "my.yaml", "--set", "margin=0.3")["loss"]["margin"] == 0.3


def test_a_preset_gives_way_to_what_is_set(run, desk):
    told = printed(run, "--preset", "paper", "--set", "dimensions=32", "--epochs", "1")
    assert told["network"]["encoder"] == "resnet101"
    assert told["network"]["dimensions"] == 32
    assert told["training"]["augmentation"] == "kong2018"


def test_a_small_training_leaves_a_model_that_segments(run, desk):
    result = run("train", "photos", "-o", "m", *SHORT)
    assert result.exit_code == 0, result.output
    assert run("segment", "m", "photos/images").exit_code == 0
    again = run("train", "photos", "-o", "m", *SHORT)
    assert again.exit_code == 2
    assert "already holds a training" in again.stderr
    assert run("train", "photos", "-o", "m", *SHORT, "--resume").exit_code == 0


def test_resuming_with_other_settings_is_refused(run, fails, desk):
    assert run("train", "photos", "-o", "m", *SHORT).exit_code == 0
    result = run("train", "photos", "-o", "m", *SHORT, "--set", "margin=0.1", "--resume")
    assert result.exit_code == 2
    assert "loss.margin was" in result.stderr


def test_a_training_can_begin_with_another_model(run, desk):
    first = save_model(RPE(dimensions=4, foreground_threshold=0.6), desk / "first", card="")
    result = run("train", "photos", "--start", first, "-o", "m", *SHORT, "--set", "tuning_share=0")
    assert result.exit_code == 0, result.output
    assert load(desk / "m").config.decoding.foreground_threshold == 0.6
    before = load(first).network.encoder.state_dict()
    after = load(desk / "m").network.encoder.state_dict()
    weights = [name for name in before if name.endswith("weight")]
    moved = max(float((before[name] - after[name]).abs().max()) for name in weights)
    assert 0 < moved < 0.1  # one step away from where it began
    assert read_config(desk / "m").training["steps"] == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["stiks"], "did you mean 'sticks'"),
        (["photos", "--set", "optimizer=adam"], "optimizer"),
        (["photos", "--set", "encoder=compactt"], "did you mean 'compact'"),
        (["photos", "--set", "encoder=resnet18d0"], "did you mean 'resnet18d'"),
        (["photos", "--method", "rep"], "did you mean 'rpe'"),
        (["photos", "--task", "instance"], "did you mean 'instances'"),
        (["photos", "--preset", "papre"], "did you mean 'paper'"),
        (["photos", "--set", "loss.background=heads"], "loss.background"),
        (["photos", "--set", "margin=1.5"], "loss.margin"),
        (["photos", "--set", "marign=0.5"], "did you mean 'margin'"),
        (["photos", "--batch-size", "0"], "batch_size"),
        (["photos", "--set", "scale_range=a"], "scale_range"),
        (["photos", "--set", "max_minutes=inf"], "max_minutes"),
        (["photos", "--start", "nowhere/x"], "found nothing"),
        (["photos", "--config", "nowhere.yaml"], "cannot read nowhere.yaml"),
        (["photos", "--batch", "3"], "did you mean --batch-size?"),
        (["photos", "--val", "nowhere/x"], "no such folder"),
    ],
)
def test_what_is_given_wrong_is_told_in_one_line(fails, desk, words, said):
    assert said in fails("train", *words)


def test_a_folder_that_is_a_file_is_told(run, desk):
    result = run("train", "photos", "--output", "photos/images/cell0.png", *SHORT)
    assert result.exit_code == 2
    assert "cell0.png" in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_a_model_and_says_so(environment, desk, number):
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
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 128 + number, stderr
    assert stdout == ""
    assert stderr.splitlines()[-1] == "stopped: m holds the model so far; --resume continues"
    assert "Traceback" not in stderr
    load(desk / "m")
