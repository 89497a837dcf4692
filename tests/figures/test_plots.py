"""Curves, thresholds and contact sheets."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from congeal.errors import CongealError
from congeal.figures import (
    contact_sheet,
    plot_curves,
    plot_precision_recall,
    plot_thresholds,
)
from congeal.figures.plots import read_series

LOG = "epoch,step,train_loss,val_loss,lr\n0,0,2.0,,0.1\n0,1,1.5,,\n0,1,,1.8,\n1,2,nan,,0.05\n"


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text(LOG)
    return path


def test_empty_cells_and_nan_are_skipped(log):
    series = {name: values.tolist() for name, values in read_series(log).items()}
    assert series == {
        "train_loss": [[0, 2], [1, 1.5]],
        "val_loss": [[1, 1.8]],
        "lr": [[0, 0.1], [2, 0.05]],
    }


def test_a_log_cut_off_in_the_middle_of_a_line_is_read_as_far_as_it_goes(log):
    log.write_text(LOG + "1,3,1.")
    assert read_series(log)["train_loss"][-1].tolist() == [3, 1]


def test_a_log_without_the_column_names_those_it_has(log):
    with pytest.raises(CongealError, match=r"'time' in .*epoch, step"):
        read_series(log, x="time")


def test_a_missing_log_is_reported_in_one_line(tmp_path):
    with pytest.raises(CongealError, match=r"cannot read .*gone\.csv: No such file"):
        plot_curves(tmp_path / "gone.csv", tmp_path / "a.png")


def test_curves_of_one_quantity_share_a_panel(log, tmp_path):
    text = plot_curves(log, tmp_path / "a.svg").read_text()
    titles = [t for t in ("loss", "learning rate", "train", "val") if f"<!-- {t} -->" in text]
    assert titles == ["loss", "learning rate", "train", "val"]


def test_curves_are_drawn_from_values_and_from_points(tmp_path):
    noisy = np.random.default_rng(0).exponential(size=300) ** 4
    path = plot_curves({"loss": noisy, "ap": [[5, 0.1], [9, 0.3]]}, tmp_path / "a.png")
    picture = np.asarray(Image.open(path).convert("L"))
    assert picture.min() < 100
    assert (picture == 255).mean() > 0.5


def test_the_same_curves_are_the_same_file(log, tmp_path):
    one = plot_curves(log, tmp_path / "a.svg").read_bytes()
    assert plot_curves(log, tmp_path / "b.svg").read_bytes() == one


@pytest.mark.parametrize("source", [{}, {"loss": []}])
def test_nothing_to_draw_is_an_error_and_leaves_no_file(source, tmp_path):
    with pytest.raises(CongealError, match="got none"):
        plot_curves(source, tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


def test_scores_over_thresholds_are_read_from_their_names(tmp_path):
    metrics = {"matching_ap@0.5": 0.8, "matching_ap@0.9": 0.1, "images": 3, "tp@0.5": 40}
    text = plot_thresholds(metrics, tmp_path / "a.svg").read_text()
    assert "<!-- AP -->" in text
    assert "tp" not in text.lower().split("<!-- ap -->")[1]
    assert "images" not in text.split("<!-- AP -->")[1]


def test_scores_without_thresholds_are_an_error(tmp_path):
    with pytest.raises(CongealError, match=r"recall@0\.5"):
        plot_thresholds({"images": 3}, tmp_path / "a.png")


def test_a_contact_sheet_shows_every_picture_in_its_place(tmp_path):
    rng = np.random.default_rng(0)
    colours = rng.integers(60, 200, (5, 3), np.uint8)
    pictures = [(f"picture {i}", np.full((9, 9, 3), c)) for i, c in enumerate(colours)]
    sheet = np.asarray(Image.open(contact_sheet(pictures, tmp_path / "a.png", 3, 60)))
    assert sheet.shape == (2 * (60 + 36) + 12, 3 * 72 + 12, 3)
    for index, colour in enumerate(colours):
        row, column = divmod(index, 3)
        assert np.array_equal(sheet[12 + row * 96 + 30, 12 + column * 72 + 30], colour)


@pytest.mark.parametrize("shape", [(1, 1), (2, 3000), (3000, 2), (700, 500)])
def test_pictures_of_any_shape_fit_their_place(shape, tmp_path):
    path = contact_sheet([("n" * 300, np.zeros(shape, np.uint8))], tmp_path / "a.png", side=50)
    with Image.open(path) as sheet:
        assert sheet.width == 74


def test_an_empty_contact_sheet_is_an_error(tmp_path):
    with pytest.raises(CongealError, match="got none"):
        contact_sheet([], tmp_path / "a.png")


def test_precision_and_recall_are_drawn_as_lines_and_single_points_as_dots(tmp_path):
    curves = {"model": [(0.1, 0.9), (0.9, 0.4)], "annotators": [(0.7, 0.9)]}
    path = plot_precision_recall(curves, tmp_path / "curve.svg")
    text = path.read_text()
    assert all(word in text for word in ("recall", "precision", "model", "annotators"))
    with pytest.raises(CongealError, match="expected a curve to draw"):
        plot_precision_recall({}, tmp_path / "none.svg")
