"""What there is to train, and every setting of it."""

import re

import pytest
from typer.testing import CliRunner

from congeal.cli import app
from congeal.methods import registry
from congeal.methods.rpe import RPEBoundariesConfig, RPEConfig
from congeal.training import TrainConfig


def narrow(*words):
    """What a command prints in a terminal of 80 columns."""
    wide = {"COLUMNS": "80", "TERMINAL_WIDTH": "80"}
    return CliRunner(env=wide).invoke(app, list(words)).stdout


def test_methods_are_listed_with_their_papers_and_tasks(run):
    text = run("methods").stdout
    for part in ("rpe", "Recurrent Pixel Embedding", "Kong & Fowlkes, CVPR 2018", "instances"):
        assert part in text


def test_json_lists_them_for_machines(said):
    (found,) = [row for row in said("methods") if row["name"] == "rpe"]
    assert found["tasks"][0] == "instances"
    assert {"boundaries", "proposals"} <= set(found["tasks"])


def test_another_package_may_bring_a_method(run, said, model):
    assert "bright" in run("methods").stdout
    assert said("methods", "bright")["name"] == "bright"


def test_every_setting_of_a_method_is_shown(run, said):
    text = run("methods", "rpe", "--all").stdout
    paths = [*RPEConfig.leaves(), *(f"training.{path}" for path in TrainConfig.leaves())]
    assert all(path in text for path in paths)
    assert [row["name"] for row in said("methods", "rpe")["settings"]] == paths


def test_settings_of_further_tasks_are_shown_by_their_task(run, said):
    assert "settings for instances" in run("methods", "rpe").stdout
    told = narrow("methods", "rpe", "--task", "boundaries")
    assert "settings for boundaries" in told
    assert "consensus" in told
    alone = said("methods", "rpe", "--task", "boundaries")
    paths = list(RPEBoundariesConfig.leaves())
    assert [row["name"] for row in alone["settings"]][: len(paths)] == paths
    assert alone["presets"]["imagenet"]["network.pretrained"]


def test_a_short_list_has_name_default_and_meaning_of_each_setting_on_a_line_or_two():
    text = narrow("methods", "rpe")
    lines = [line.rstrip() for line in text.splitlines()]
    assert max(map(len, lines)) <= 80
    assert len(lines) < 2 * len(RPEConfig.leaves())
    assert re.search(r"^ +margin +0.5 +alpha, in calibrated cosine *$", text, re.MULTILINE)
    for leaf in RPEConfig.leaves().values():
        assert re.search(rf"^ +{leaf.name}\*? ", text, re.MULTILINE), leaf.path
    assert "congeal methods rpe training" in text


@pytest.mark.parametrize("words", [["loss"], ["training"], ["--all"]])
def test_a_section_is_told_with_range_and_paper_within_80_columns(words):
    lines = narrow("methods", "rpe", *words).splitlines()
    assert max(map(len, lines)) <= 80
    if words != ["training"]:
        place = lines.index("  loss.margin = 0.5")
        assert lines[place + 2].strip() == "(float, >= 0, < 1; paper: 0.5)"
    assert any(line.startswith("  training.clip = ") for line in lines) == (words != ["loss"])


def test_json_of_a_section_has_its_settings_only(said):
    rows = said("methods", "rpe", "loss")["settings"]
    assert {row["name"].partition(".")[0] for row in rows} == {"loss"}


def test_an_unknown_section_is_told_in_one_line(fails):
    assert "unknown section of rpe 'lss'; did you mean 'loss'" in fails("methods", "rpe", "lss")


def test_a_setting_is_told_with_default_range_paper_and_whether_it_may_change(said):
    rows = {row["name"]: row for row in said("methods", "rpe")["settings"]}
    margin = rows["loss.margin"]
    assert (margin["default"], margin["kind"], margin["limits"]) == (0.5, "float", ">= 0, < 1")
    assert (margin["paper"], margin["adjustable"]) == ("0.5", False)
    assert rows["decoding.min_area"]["adjustable"]
    assert rows["decoding.min_area"]["unit"] == "px"
    assert all(row["description"] for row in rows.values())


def test_presets_are_told(run, said):
    assert "--preset paper: network.encoder=resnet101" in run("methods", "rpe").stdout
    assert said("methods", "rpe")["presets"]["paper"]["loss.samples"] == 4000


def test_a_method_that_cannot_be_imported_hides_no_other(run, model, monkeypatch):
    class Broken:
        value, module, attr = "gone:Gone", "gone", "Gone"

        def load(self):
            raise ImportError("No module named 'gone'")

    points = {**registry._points(), "broken": Broken()}
    monkeypatch.setattr(registry, "_points", lambda: points)
    result = run("methods")
    assert result.exit_code == 0
    assert "bright" in result.stdout
    assert "left out: cannot import method broken (gone:Gone)" in result.stderr


@pytest.mark.parametrize("name", ["rep", "RPE"])
def test_an_unknown_method_suggests_the_nearest(fails, name):
    assert "did you mean 'rpe'" in fails("methods", name)
