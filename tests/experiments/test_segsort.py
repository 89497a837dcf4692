"""The experiments on SegSort run, and leave their numbers with the paper's beside them."""

from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from congeal.cli import app
from congeal.data.drawn import DrawnDataset
from congeal.data.registry import open_dataset
from congeal.experiments import EXPERIMENTS, segsort_scores, segsort_training, segsort_unsupervised
from congeal.experiments.intervals import half_width
from congeal.experiments.segsort_scores import score
from congeal.experiments.segsort_training import FULL, QUICK, train_segsort

NAMES = [name for name in EXPERIMENTS if name.startswith("segsort.")]


@pytest.mark.parametrize("name", NAMES)
def test_a_quick_run_leaves_picture_table_and_numbers(name, tmp_path, table):
    made = EXPERIMENTS[name].draw(tmp_path, quick=True)
    rows = table(made)
    assert len(rows) >= 2
    assert made.png.name == f"segsort_{name.partition('.')[2]}.png"
    assert all(np.isfinite(value) for value in made.numbers.values())


def test_from_the_command_line(tmp_path):
    words = ["experiments", "run", "segsort.k", "--quick", "-o", str(tmp_path)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "k 15:" in done.output


def test_the_true_classes_score_one():
    truth = {s.image.tobytes(): s.semantic for s in DrawnDataset("shapes", "val", size=48, count=2)}
    assert score(lambda image: truth[image.tobytes()], QUICK)["miou"] == 1.0


def test_one_seed_gives_one_model():
    one, other = (train_segsort(QUICK, seed=3)[0] for _ in range(2))
    assert (one.index.prototypes == other.index.prototypes).all()


def test_an_interval_needs_two_values():
    assert half_width([0.5]) == 0.0
    assert half_width([0.5, 0.5]) == 0.0


@pytest.fixture
def trainings(monkeypatch):
    """What is asked of each training, with a few updates in place of minutes."""
    asked = []

    def train(effort, seed=0, settings=None, *rest):
        asked.append((effort.minutes, effort.tested, seed, dict(settings or {})))
        return train_segsort(replace(effort, minutes=None), seed, settings, *rest)

    for module in (segsort_scores, segsort_unsupervised):
        monkeypatch.setattr(module, "train_segsort", train)
    return asked


def run(folder, name, *words):
    done = CliRunner().invoke(
        app, ["experiments", "run", f"segsort.{name}", "--quick", "-o", str(folder), *words]
    )
    assert done.exit_code == 0, done.output
    return done.output


def test_minutes_seeds_and_images_are_those_asked_for(tmp_path, trainings):
    told = run(tmp_path, "unsupervised", "--minutes", "0.5", "--seeds", "2", "--images", "1")
    blind = {"loss.unsupervised": True}
    assert trainings == [(0.5, 1, seed, how) for how in (blind, {}) for seed in (0, 1)]
    assert "held" in told
    assert "gpb-owt-ucm (published)" in (tmp_path / "segsort_unsupervised.csv").read_text()


def test_an_interrupted_run_continues_with_missing_trainings(tmp_path, trainings, monkeypatch):
    def stop(*asked):
        raise KeyboardInterrupt

    run(tmp_path, "kappa", "--seeds", "1")
    first = (tmp_path / "segsort_kappa.csv").read_text()
    monkeypatch.setattr(segsort_scores, "train_segsort", stop)
    run(tmp_path, "kappa", "--seeds", "1")
    assert (tmp_path / "segsort_kappa.csv").read_text() == first
    with pytest.raises(AssertionError, match="stopped"):
        run(tmp_path, "kappa", "--seeds", "2")


def test_settings_that_are_those_of_every_training_share_one(tmp_path, trainings):
    for name in ("kappa", "grid", "memory"):
        run(tmp_path, name, "--seeds", "1")
    assert [settings for *_, settings in trainings] == [
        {"loss.concentration": 5.0},
        {},  # kappa 10, a grid of 5, a memory of 2
        {"loss.grid": 3},
        {"loss.memory": 0},
    ]


def test_a_training_of_other_minutes_is_another_one(tmp_path, trainings):
    for minutes in ("1", "2"):
        run(tmp_path, "memory", "--seeds", "1", "--minutes", minutes)
    assert [minutes for minutes, *_ in trainings] == [1, 1, 2, 2]


def test_a_training_by_the_clock_ends_in_time():
    effort = replace(QUICK, minutes=0.02)
    _, seconds = train_segsort(effort)
    assert seconds >= 1.2


@pytest.mark.parametrize(("name", "split"), [("kappa", "val"), ("supervised", "test")])
def test_settings_are_compared_on_validation_images_and_losses_on_test_images(
    name, split, tmp_path, monkeypatch
):
    seen = []

    def spy(data, part="train", **more):
        seen.append(part)
        return open_dataset(data, "val", **more)

    monkeypatch.setattr(segsort_scores, "open_dataset", spy)
    monkeypatch.setattr(segsort_training, "QUICK", replace(QUICK, split=FULL.split))
    run(tmp_path, name, "--seeds", "1")
    assert set(seen) == {split}
