"""Boundaries with the embedding loss and without, tried on drawn shapes."""

import numpy as np
import pytest
import torch

from congeal.data.sample import Sample
from congeal.experiments.figure6 import ARMS, PUBLISHED, _canny, _gain, _sobel, draw_figure6
from congeal.metrics.bsds_boundaries import BsdsBoundaryMetric


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def test_all_are_scored_in_one_run_beside_what_is_published(tmp_path, table):
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
    assert _gain(metric, metric, 0) == {"gain": 0, "gain low": 0, "gain high": 0}
