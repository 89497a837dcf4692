"""The experiments on SegSort run, and leave their numbers with the paper's beside them."""

import numpy as np
import pytest
from typer.testing import CliRunner

from congeal.cli import app
from congeal.data.drawn import DrawnDataset
from congeal.experiments import EXPERIMENTS
from congeal.experiments.intervals import half_width
from congeal.experiments.segsort_training import QUICK, score, train_segsort
from congeal.experiments.segsort_unsupervised import GPB, embedding_hierarchy
from congeal.methods.segsort import SegSort

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


def test_regions_of_an_embedding_are_as_large_as_the_image():
    image = DrawnDataset("shapes", "val", size=48, count=1)[0].image
    found = embedding_hierarchy(SegSort(dimensions=8), image)
    assert found.regions.shape == (48, 48)
    assert set(GPB) >= {"covering_ods", "voi_ois"}
