"""What there is to train, and every setting of it."""

import pytest

from congeal.methods import registry
from congeal.methods.rpe import RPEBoundariesConfig, RPEConfig
from congeal.training import TrainConfig


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
    text = run("methods", "rpe").stdout
    paths = [*RPEConfig.leaves(), *(f"training.{path}" for path in TrainConfig.leaves())]
    assert all(path in text for path in paths)
    assert [row["name"] for row in said("methods", "rpe")["settings"]] == paths


def test_settings_of_further_tasks_are_shown_beside_those_of_the_first(run, said):
    text = run("methods", "rpe").stdout
    assert "settings for boundaries" in text
    assert "loss.consensus" in text
    others = {task: one for one in said("methods", "rpe")["others"] for task in one["tasks"]}
    paths = [row["name"] for row in others["boundaries"]["settings"]]
    assert paths == list(RPEBoundariesConfig.leaves())
    alone = said("methods", "rpe", "--task", "boundaries")
    assert [row["name"] for row in alone["settings"]][: len(paths)] == paths
    assert alone["presets"]["imagenet"]["network.pretrained"]


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
