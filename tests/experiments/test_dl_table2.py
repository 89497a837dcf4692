"""The table of networks, tried with narrow ones."""

import math

import pytest
import torch

from congeal.experiments import dl_table2
from congeal.experiments.cost import forward_cost
from congeal.experiments.dl_table2 import PAPER_MILLIONS, draw_dl_table2
from congeal.methods.discriminative import Discriminative


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def test_the_table_has_every_network_with_its_cost_and_scores(tmp_path, table, monkeypatch):
    made = draw_dl_table2(tmp_path, quick=True)
    assert (made.png.name, made.csv.name) == ("dl_table2.png", "dl_table2.csv")
    rows = table(made)
    assert {row["network"] for row in rows} == set(PAPER_MILLIONS)
    for row in rows:
        assert float(row["fps"]) > 0
        assert all(0 <= float(row[name]) <= 1 for name in ("ap", "ap_gt", "ap@0.5", "ap_gt@0.5"))
    assert all(math.isfinite(value) for value in made.numbers.values())
    monkeypatch.setattr(dl_table2, "train", None)  # what is kept is not trained again
    assert draw_dl_table2(tmp_path, quick=True).numbers == made.numbers


def test_enet_has_the_parameters_that_the_paper_names():
    network = Discriminative(name="enet", coordinates="none").network
    millions = sum(p.numel() for p in network.parameters()) / 1e6
    assert millions == pytest.approx(PAPER_MILLIONS["enet"], rel=0.02)


def test_a_larger_image_takes_more_memory():
    network = torch.nn.Conv2d(3, 64, 3)
    large, small, again = (forward_cost(network, (side, side)) for side in (1024, 256, 1024))
    assert large.seconds > small.seconds
    for cost in (large, again):  # what came before does not count: 256 MB, and a copy
        assert cost.megabytes is None or 240 < cost.megabytes < 800
    assert small.megabytes is None or 12 < small.megabytes < 80  # 16 MB
