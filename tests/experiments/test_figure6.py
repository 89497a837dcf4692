"""Boundaries with the embedding loss and without, tried on drawn shapes."""

import numpy as np
import pytest
import torch

from congeal.data.sample import Sample
from congeal.errors import CongealError
from congeal.experiments import figure6
from congeal.experiments.figure6 import ARMS, PUBLISHED, _canny, _gain, _sobel, draw_figure6
from congeal.metrics.bsds_boundaries import BsdsBoundaryMetric


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def test_all_methods_are_scored_in_one_run_with_published_numbers(tmp_path, table):
    made = draw_figure6(tmp_path, quick=True)
    assert (made.png.name, made.csv.name) == ("figure6.png", "figure6.csv")
    rows = table(made)
    measured = {row["method"]: row for row in rows if row["source"] == "measured"}
    assert set(measured) == {*ARMS, "Sobel", "Canny", "human"}
    assert all(0 <= float(row["ods"]) <= 1 for row in measured.values())
    published = {row["method"]: float(row["ods"]) for row in rows if row["source"] == "published"}
    assert published == dict(PUBLISHED)
    assert made.numbers["gain low"] <= made.numbers["gain"] + 1e-9
    (claim,) = made.claims
    assert claim.held == (made.numbers["gain low"] > 0)


def test_an_interrupted_run_is_resumed(tmp_path, table, monkeypatch):
    first = draw_figure6(tmp_path, quick=True)
    kept = sorted((tmp_path / "figure6").glob("*.json"))
    assert len(kept) == len(ARMS) + 2
    told = table(first)
    kept[0].unlink()

    def fails(*args, **settings):
        raise AssertionError("scored again")

    monkeypatch.setattr(figure6, "suppress_non_maxima", fails)  # of Sobel, whose counts are kept
    assert table(draw_figure6(tmp_path, quick=True)) == told
    with pytest.raises(CongealError, match="use another output folder"):
        draw_figure6(tmp_path, quick=True, images=1)


@pytest.mark.parametrize("detect", [_sobel, _canny])
def test_classical_edges_are_thin_and_where_the_step_is(detect):
    image = np.full((40, 50, 3), 60, np.uint8)
    image[:, 20:] = 200
    strength = detect(Sample("step", image, np.zeros((40, 50), np.int64)))
    marked = strength > 0.3
    assert np.flatnonzero(marked[20]).tolist() in ([19], [20])
    assert 0 <= strength.min() <= strength.max() <= 1


def test_the_gain_of_the_same_tables_is_nothing():
    metric = BsdsBoundaryMetric([0.5])
    for found in (3, 8):
        metric.add([[found, 10, found, 10]])
    assert _gain([metric], [metric], 0) == {"gain": 0, "gain low": 0, "gain high": 0}


def test_counts_of_several_trainings_are_added_up():
    one, two, other = (BsdsBoundaryMetric([0.5]) for _ in range(3))
    one.add([[8, 10, 8, 10]])
    two.add([[4, 10, 4, 10]])
    other.add([[5, 10, 5, 10]])
    assert _gain([one, two], [other, other], 0)["gain"] == pytest.approx(0.6 - 0.5)
