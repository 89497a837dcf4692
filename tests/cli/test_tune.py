import json

import pytest

import congeal
from congeal.models import load, save_model
from congeal.training import Tuning


@pytest.fixture
def mine(tmp_path):
    """The folder of an untrained model of ours."""
    return save_model(congeal.RPE(dimensions=4, min_area=0), tmp_path / "mine", card="")


def test_it_says_what_it_compared_and_how_to_go_on(run, mine, desk):
    result = run("tune", mine, "photos", "--split", "all", "--limit", 2)
    assert result.exit_code == 0, result.output
    first, *others = result.stdout.splitlines()
    assert first.startswith("2 images with 4 objects, ")  # of one and of three patches
    assert first.endswith(" settings compared by mean AP at .5 and .7")
    before, after = others[0].removeprefix("  matching_ap@0.5 ").split(" -> ")
    assert float(after) >= float(before)
    assert ("better with" in result.stdout) != ("nothing was changed" in result.stdout)
    assert others[-1] == f"next: congeal evaluate {mine} photos, congeal segment {mine} IMAGES"


def test_json_has_the_scores_before_and_after(said, mine, desk, tmp_path):
    found = said("tune", mine, "photos", "--split", "all", "--output", tmp_path / "tuned")
    assert set(found) == {"model", *Tuning.__dataclass_fields__}
    assert set(found["before"]) == set(found["after"]) == {"matching_ap@0.5", "matching_ap@0.7"}
    assert (found["images"], found["objects"]) == (4, 10)
    told = json.loads((tmp_path / "tuned" / "config.json").read_text())
    assert told["training"]["tuned"]["data"] == "photos, all"
    settings = load(tmp_path / "tuned").config.flat()
    assert all(settings[name] == value for name, value in found["settings"].items())


def test_shipped_models_are_left_as_they_are(fails, desk):
    assert "is shipped with congeal and cannot be changed" in fails("tune", "nuclei", "photos")


def test_data_that_is_not_there_is_told(fails, mine, desk):
    assert "nowhere" in fails("tune", mine, "nowhere")
