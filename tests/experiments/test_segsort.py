"""The experiments on SegSort run, and leave their numbers with the paper's beside them."""

from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from congeal.cli import app
from congeal.data.drawn import DrawnDataset
from congeal.data.registry import open_dataset
from congeal.experiments import (
    EXPERIMENTS,
    segsort_ablations,
    segsort_training,
    segsort_unsupervised,
)
from congeal.experiments.intervals import half_width
from congeal.experiments.segsort_training import FULL, QUICK, mean_score, score, train_segsort

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


def test_minutes_seeds_and_images_are_those_asked_for(tmp_path, monkeypatch):
    asked = []

    def train(effort, seed, *rest):
        asked.append((effort.minutes, effort.tested, seed))
        return train_segsort(replace(effort, minutes=None), seed, *rest)

    monkeypatch.setattr(segsort_unsupervised, "train_segsort", train)
    words = ["experiments", "run", "segsort.unsupervised", "--quick", "--minutes", "0.5"]
    words += ["--seeds", "2", "--images", "1", "-o", str(tmp_path)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert asked == [(0.5, 1, seed) for _ in range(2) for seed in (0, 1)]
    assert "held" in done.output
    assert "gpb-owt-ucm (published)" in (tmp_path / "segsort_unsupervised.csv").read_text()


def test_a_training_by_the_clock_ends_in_time():
    effort = replace(QUICK, minutes=0.02)
    _, seconds = train_segsort(effort)
    assert seconds >= 1.2


def test_settings_are_compared_on_validation_images_and_methods_on_test_images(monkeypatch):
    assert FULL.split == "test"
    seen = []

    def spy(name, split="train", **more):
        seen.append(split)
        return open_dataset(name, split, **more)

    monkeypatch.setattr(segsort_training, "open_dataset", spy)
    mean_score(replace(QUICK, split="test", seeds=1), 0, {}, segsort_ablations.SPLIT)
    assert set(seen) == {"train", "val"}
