"""Classes with and without the pairwise loss: the bands, and that a quick run leaves its files."""

import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from congeal.cli import app
from congeal.experiments.figure9 import ARMS, WIDTHS, contour_band, draw_figure9


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def test_a_band_holds_so_many_pixels_on_either_side_of_a_contour():
    rng = np.random.default_rng(0)
    truth = rng.integers(-1, 3, (6, 7)).repeat(4, 0).repeat(4, 1)
    padded = np.pad(truth, 1, constant_values=-1)
    edge = np.zeros(truth.shape, bool)
    for y, x in np.argwhere(truth >= 0):
        around = [padded[y, x + 1], padded[y + 2, x + 1], padded[y + 1, x], padded[y + 1, x + 2]]
        edge[y, x] = any(one not in (-1, truth[y, x]) for one in around)
    for width in (1, 2, 3):
        near = np.zeros(truth.shape, bool)
        for y, x in np.argwhere(edge):
            rows = slice(max(0, y - width + 1), y + width)
            near[rows, max(0, x - width + 1) : x + width] = True
        assert np.array_equal(contour_band(truth, width), np.where(near, truth, -1))


def test_without_a_contour_the_band_is_empty():
    assert (contour_band(np.ones((3, 3), np.int64), 5) == -1).all()


def test_a_quick_run_scores_both_losses_for_each_seed_over_all_bands(tmp_path, table):
    made = draw_figure9(tmp_path, quick=True)
    assert (made.png.name, made.csv.name) == ("figure9.png", "figure9.csv")
    rows = table(made)
    assert [row["loss"] for row in rows] == [*ARMS] * 2
    assert {row["seed"] for row in rows} == {"0", "1"}
    for row in rows:
        assert all(0 <= float(row[f"band {width} px"]) <= 1 for width in WIDTHS)
    gains = [
        float(b["miou"]) - float(a["miou"]) for a, b in zip(rows[::2], rows[1::2], strict=True)
    ]
    assert made.numbers["miou gain"] == pytest.approx(np.mean(gains))
    assert len(made.claims) == 2

    scores = sorted((tmp_path / "figure9").glob("*.json"))
    assert len(scores) == 2 * len(ARMS)
    told = json.loads(scores[0].read_text())
    told["made"]["miou"] = 0.75  # what an earlier run left is taken as it is
    scores[0].write_text(json.dumps(told))
    again = table(draw_figure9(tmp_path, quick=True))
    assert sum(row["miou"] == "0.75" for row in again) == 1


def test_from_the_command_line_with_one_seed_and_one_image(tmp_path):
    words = ["experiments", "run", "rpe.figure9", "--quick", "-o", str(tmp_path)]
    done = CliRunner().invoke(app, [*words, "--seeds", "1", "--images", "1"])
    assert done.exit_code == 0, done.output
    assert "miou gain" in done.output
    scores = [json.loads(one.read_text()) for one in (tmp_path / "figure9").glob("*.json")]
    assert [one["plan"]["images"][1] for one in scores] == [1] * len(ARMS)
