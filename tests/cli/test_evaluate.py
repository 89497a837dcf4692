import json

import pytest


def test_scores_are_shown_and_written(run, model, desk):
    result = run("evaluate", model, "photos", "--split", "all")
    assert result.exit_code == 0
    assert result.stderr == ""
    assert "1.000" in result.stdout
    folder = desk / "evaluation" / "bright-photos-all"
    assert f"scores: {folder.relative_to(desk)}" in result.stdout
    found = json.loads((folder / "evaluation.json").read_text())
    assert found["metrics"]["matching_ap@0.5"] == 1
    assert (folder / "report.html").is_file()


def test_json_is_what_is_written(run, model, desk):
    words = ["--split", "all", "-o", "out", "--no-report", "-t", "0.5", "--limit", "2"]
    told = json.loads(run("evaluate", model, "photos", *words, "--json").stdout)
    assert told.pop("output") == "out"
    assert told == json.loads((desk / "out" / "evaluation.json").read_text())
    assert told["metrics"]["images"] == 2
    assert "matching_ap@0.7" not in told["metrics"]
    assert not (desk / "out" / "report.html").exists()


def test_a_folder_without_test_images_is_scored_on_its_validation_images(said, model, desk):
    assert said("evaluate", model, "photos")["split"] == "val"
    assert said("evaluate", model, "sticks", "--limit", 1)["split"] == "test"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nucli", "photos"], "did you mean 'nuclei'"),
        (["nuclei", "stiks"], "did you mean 'sticks'"),
        (["nuclei", "photos", "--split", "vla"], "did you mean 'val'"),
        (["nuclei", "photos", "-t", "1.5"], "threshold"),
        (["nuclei", "photos", "--limit", "0"], "limit"),
        (["nuclei", "photos", "-o", "photos/images/cell0.png"], "cannot write"),
    ],
)
def test_what_is_given_wrong_is_told_in_one_line(fails, shelf, desk, words, said):
    assert said in fails("evaluate", *words)
