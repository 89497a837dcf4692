import json
from pathlib import Path

import pytest
from rich.progress import Progress

from congeal import demo as module
from congeal.cli import demo as command
from congeal.demo import Demo
from congeal.errors import CongealError
from congeal.evaluation import Evaluation

METRICS = {"matching_ap@0.5": 0.93, "recall@0.5": 0.96, "objects": 400, "images": 64}


@pytest.fixture
def asked(monkeypatch):
    """What the demo is asked for, in place of doing it."""
    calls = []

    def run_demo(output, *, on_stage, on_image, **settings):
        calls.append({"output": output, **settings})
        on_stage("training")
        for done in (1, 2):
            on_image(done, 2, {})
        evaluation = Evaluation("sticks", "test", "m", "matching", (0.5,), METRICS, [])
        return Demo(output / "index.html", output / "model", evaluation, (), 90.0)

    monkeypatch.setattr(module, "run_demo", run_demo)
    return calls


def test_it_ends_with_the_page_and_what_to_do_next(run, asked):
    result = run("demo", "-o", "d", "--minutes", "2", "--images", "2", "--seed", "5")
    assert result.exit_code == 0
    assert asked == [
        {"output": Path("d"), "minutes": 2.0, "seed": 5, "images": 2, "device": "auto"}
    ]
    lines = result.stdout.splitlines()
    assert lines[0].startswith("sticks: 0.930 AP at IoU .5, 96% of 400 objects found")
    assert "page: d/index.html" in lines
    assert any("congeal train my_folder" in line for line in lines)
    assert result.stderr == "training\n"


def test_json_tells_the_same(run, asked):
    told = json.loads(run("demo", "--json").stdout)
    assert told["metrics"] == METRICS
    assert told["page"] == "congeal-demo/index.html"


def test_what_goes_wrong_is_one_line(fails, monkeypatch):
    def fail(output, **settings):
        raise CongealError("expected more than 0 minutes of training, got 0")

    monkeypatch.setattr(module, "run_demo", fail)
    assert "more than 0 minutes" in fails("demo", "--minutes", "0")


def test_ctrl_c_while_training_ends_the_demo(run, monkeypatch):
    def run_demo(output, *, on_stage, **settings):
        on_stage("training")  # which a signal stopped

    monkeypatch.setattr(module, "run_demo", run_demo)
    result = run("demo")
    assert result.exit_code == 130
    assert result.stderr.splitlines() == ["training", "stopped"]


def test_the_time_left_to_evaluate_does_not_count_the_training(monkeypatch):
    seconds = [0.0]
    bar = Progress(disable=True, get_time=lambda: seconds[0])
    monkeypatch.setattr(command, "make_progress", lambda: bar)
    with command._evaluation_bar(64) as on_image:
        seconds[0] = 400.0  # of training
        on_image(1, 64, None)
        seconds[0] = 402.0
        on_image(32, 64, None)
        assert bar.tasks[0].elapsed == 2
