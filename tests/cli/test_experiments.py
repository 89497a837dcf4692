import subprocess
import sys
import time

import pytest

from congeal.clock import now
from congeal.experiments import EXPERIMENTS, Experiment
from congeal.experiments.loss import draw_loss


@pytest.mark.parametrize("words", [[], ["list"]])
def test_experiments_are_listed(run, words):
    result = run("experiments", *words)
    assert result.exit_code == 0
    for name in ("rpe.loss", "rpe.margins", "rpe.digits", "rpe.gradient", "rpe.similarities"):
        assert name in result.stdout
    assert "congeal experiments run NAME" in result.stdout


def test_the_list_is_json_too(said):
    found = {row["name"]: row["what"] for row in said("experiments", "list")}
    assert "rpe.trajectories" in found
    assert all(found.values())


def test_an_experiment_leaves_a_picture_and_its_numbers(run, desk):
    result = run("experiments", "run", "rpe.loss", "--quick", "-o", "out")
    assert result.exit_code == 0, result.output
    assert (desk / "out" / "loss.png").is_file()
    assert (desk / "out" / "loss.csv").read_text().startswith("similarity,positive")
    assert "out/loss.png" in result.stdout
    assert "gap_to_formula" in result.stdout


def test_json_tells_files_and_numbers(said, desk):
    (made,) = said("experiments", "run", "rpe.loss", "--quick", "--output", "out", "--seed", 2)
    assert made["name"] == "rpe.loss"
    assert made["png"] == "out/loss.png"
    assert made["numbers"]["gap_to_formula"] < 1e-12


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rpe.los"], "did you mean 'rpe.loss'"),
        (["rpe.loss", "--seed", "-1"], "--seed"),
        (["rpe.loss", "--quik"], "did you mean --quick"),
    ],
)
def test_what_is_given_wrong_is_told_in_one_line(fails, desk, words, said):
    assert said in fails("experiments", "run", *words)


def test_help_explains_without_loading_anything_heavy(run, environment):
    assert "Usage" in run("experiments", "--help").stdout
    code = (
        "import sys\n"
        "sys.argv = ['congeal', 'experiments', '--help']\n"
        "from congeal.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'numpy', 'matplotlib'} & set(sys.modules)))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert ran.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(("words", "counted"), [([], True), (["--processor-time"], False)])
def test_minutes_of_an_experiment_pass_in_sleep_unless_the_processor_is_counted(
    run, desk, monkeypatch, words, counted
):
    passed = []

    def sleeps(folder, **asked):
        started = now()
        time.sleep(0.1)
        passed.append(now() - started)
        return draw_loss(folder, **asked)

    monkeypatch.setitem(EXPERIMENTS, "rpe.loss", Experiment(sleeps, "sleeps"))
    result = run("experiments", "run", "rpe.loss", "--quick", "-o", "out", *words)
    assert result.exit_code == 0, result.output
    assert (passed[0] >= 0.1) == counted
