"""Every method on the same images: tried with two updates, through the command line."""

import csv
import json

import pytest
from typer.testing import CliRunner

from congeal.cli import app
from congeal.errors import CongealError
from congeal.experiments.compare import draw_compare
from congeal.methods.registry import find_method, method_names

INSTANCES = [name for name in method_names() if "instances" in find_method(name).tasks]


def test_each_method_is_trained_scored_and_shown_and_nothing_is_trained_twice(tmp_path):
    order = ["experiments", "run", "compare", "--quick", "-o", str(tmp_path)]
    first = CliRunner().invoke(app, order)
    assert first.exit_code == 0, first.output
    rows = [
        json.loads(path.read_text())["made"] for path in sorted(tmp_path.glob("compare/*/*e.json"))
    ]
    assert [row["method"] for row in rows] == sorted(INSTANCES)
    assert {row["updates"] for row in rows} == {2}
    assert {row["second score"] for row in rows} == {"apr_dvis"}
    assert all(0 <= row["second value"] <= 1 for row in rows)
    page = (tmp_path / "compare.html").read_text()
    assert all(page.count(f">{name}<") for name in INSTANCES)
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.glob("compare/*/*.safetensors")}
    assert CliRunner().invoke(app, order).exit_code == 0
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())
    assert CliRunner().invoke(app, [*order, "--methods", "rpe"]).exit_code == 0
    with (tmp_path / "compare.csv").open() as file:
        assert [row["method"] for row in csv.DictReader(file)] == ["rpe"]


def test_data_without_a_task_is_told(tmp_path):
    with pytest.raises(CongealError, match=r"expected data of nuclei, .* got 'cats'"):
        draw_compare(tmp_path, data=["cats"])


def test_an_unknown_method_is_told_with_the_nearest(tmp_path):
    with pytest.raises(CongealError, match="did you mean 'segsort'"):
        draw_compare(tmp_path, methods=["segsrt"])
