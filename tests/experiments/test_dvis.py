"""Every experiment of DVIS runs from the command line and says what the paper says."""

import csv
import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from congeal.cli import app
from congeal.experiments.dvis import DVIS_EXPERIMENTS
from congeal.experiments.dvis.cost import count_operations
from congeal.experiments.dvis.small import QUICK
from congeal.experiments.dvis.unseen import ShapesOf


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in DVIS_EXPERIMENTS if n not in ("table1", "table5")])
def test_an_experiment_that_trains_runs_quickly_and_ends_in_a_claim(name, tmp_path):
    told = run(name, tmp_path)
    assert all(np.isfinite(value) for value in told["numbers"].values())


@pytest.mark.parametrize("name", ["table1", "table5"])
def test_an_experiment_tells_the_papers_figure_beside_ours(name, tmp_path):
    told = run(name, tmp_path)
    with (tmp_path / f"dvis_{name}.csv").open() as file:
        assert len(list(csv.DictReader(file))) >= 5
    assert told["numbers"]


def run(name, folder):
    words = ["experiments", "run", f"dvis.{name}", "--quick", "--json", "-o", str(folder)]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    (told,) = json.loads(result.stdout)
    assert (folder / f"dvis_{name}.png").stat().st_size > 5000
    assert told["claims"]
    assert all(claim[part] for claim in told["claims"] for part in ("text", "paper", "here"))
    return told


def test_operations_follow_from_the_sizes():
    few, many = (count_operations("resnet18", 65, candidates=n) for n in (1, 10))
    assert many["verification"] == 10 * few["verification"]
    assert many["encoder"] == few["encoder"]
    # a product of 1 x 1 per pixel of the stride-2 map: 2 x channels in x channels out
    assert few["value"] % 2 == 0
    wide = count_operations("resnet18", 129, candidates=1)
    assert wide["encoder"] > 2 * few["encoder"]


def test_the_unseen_classes_are_in_no_training_image():
    discs = ShapesOf(("disc",), "train", QUICK, seed=0)
    stars = ShapesOf(("star",), "test", QUICK, seed=0)
    assert not np.array_equal(discs[0].labels, stars[0].labels)
    assert np.array_equal(discs[1].image, discs[1].image)
    assert discs[0].labels.max() >= 2
