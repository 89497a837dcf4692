import json
import shutil

import numpy as np
import pytest
from PIL import Image
from skimage import measure

from congeal.cli.evaluate import default_output
from congeal.methods import find_method
from congeal.segmentation import Segmentation, coco_document


def test_scores_are_shown_and_written(run, model, desk):
    result = run("evaluate", model, "photos", "--split", "all")
    assert result.exit_code == 0
    slow = ("evaluating: ", "writing the results: ")  # said where the machine is busy
    assert all(line.startswith(slow) for line in result.stderr.splitlines())
    assert "1.000" in result.stdout
    (folder,) = (desk / "evaluation").glob("bright-photos-all-*")
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


def test_another_protocol_is_shown_with_its_headline_first_and_written(run, model, desk):
    words = ["evaluate", model, "photos", "--split", "all", "--protocol", "cvppp"]
    result = run(*words)
    assert result.exit_code == 0
    rows = [line for line in result.stdout.splitlines() if "1.000" in line or "0.000" in line]
    assert "sbd" in rows[0]
    (folder,) = (desk / "evaluation").glob("bright-photos-all-cvppp-*")
    found = json.loads((folder / "evaluation.json").read_text())
    assert (found["protocol"], found["metrics"]["sbd"]) == ("cvppp", 1)
    assert (folder / "report.html").is_file()


def test_a_protocol_gives_json_without_numbers_that_json_has_not(said, model, desk):
    told = said("evaluate", model, "photos", "--split", "all", "-p", "coco-agnostic", "-o", "out")
    assert told["metrics"]["ap"] == pytest.approx(1)
    assert told["protocol"] == "coco-agnostic"
    assert [row["name"] for row in told["per_image"]] == [f"cell{k}" for k in range(4)]
    assert json.loads((desk / "out" / "evaluation.json").read_text())["metrics"] == told["metrics"]


def test_settings_of_a_protocol_can_be_changed(said, model, desk):
    words = ["evaluate", model, "photos", "--protocol", "proposals", "--measure", "counts=[1, 2]"]
    assert "ar@2" in said(*words)["metrics"]


def test_protocols_are_listed(run, said, model, desk):
    listed = run("evaluate", model, "photos", "--protocol", "list")
    assert listed.exit_code == 0
    assert "bsds-boundaries" in listed.stdout
    assert {"coco", "miou"} < {
        row["name"] for row in said("evaluate", model, "photos", "--protocol", "list")
    }
    assert not (desk / "evaluation").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nucli", "photos"], "did you mean 'nuclei'"),
        (["nuclei", "stiks"], "did you mean 'sticks'"),
        (["nuclei", "photos", "--split", "vla"], "did you mean 'val'"),
        (["nuclei", "photos", "-t", "1.5"], "threshold"),
        (["nuclei", "photos", "--limit", "0"], "limit"),
        (["nuclei", "photos", "-p", "cocoo"], "did you mean 'coco'"),
        (["nuclei", "photos", "-p", "miou"], "expected semantic maps for protocol miou"),
        (["nuclei", "photos", "-p", "cvppp", "--quick"], "bsds-boundaries for a quick estimate"),
        (["nuclei", "photos", "--measure", "classes"], "NAME=VALUE for --measure"),
        (["nuclei", "photos", "-o", "photos/images/cell0.png"], "cannot write"),
    ],
)
def test_what_is_given_wrong_is_told_in_one_line(fails, shelf, desk, words, said):
    assert said in fails("evaluate", *words)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["a/best", "d", "val", {}], ["b/best", "d", "val", {}]),
        (["m", "a/data", "val", {}], ["m", "b/data", "val", {}]),
        (["m", "set.v1", "val", {}], ["m", "set.v2", "val", {}]),
        (["m", "d", "val", {}], ["m", "d", "test", {}]),
        (["m", "d", "val", {"protocol": "coco"}], ["m", "d", "val", {"protocol": "seg"}]),
        (["m", "d", "val", {"thresholds": [0.5]}], ["m", "d", "val", {"thresholds": [0.7]}]),
        (["m", "d", "val", {"limit": 3}], ["m", "d", "val", {}]),
        (["m", "d", "val", {"settings": {"a": 1}}], ["m", "d", "val", {"settings": {"a": 2}}]),
    ],
)
def test_another_question_has_another_folder_and_the_same_the_same(desk, one, other):
    for place in ("a/best", "b/best", "a/data", "b/data"):
        (desk / place).mkdir(parents=True)
    assert default_output(*one) != default_output(*other)
    assert default_output(*one) == default_output(*one)


def test_evaluations_of_two_folders_of_one_name_are_both_kept(run, model, desk):
    for day in ("one", "two"):
        shutil.copytree(desk / "photos", desk / day / "photos")
        assert run("evaluate", model, f"{day}/photos", "--limit", 1).exit_code == 0
    assert len(list((desk / "evaluation").glob("*/evaluation.json"))) == 2


@pytest.fixture
def classed(desk):
    """COCO JSON of the photos: patches are by turns cats and dogs."""
    results = []
    for index in range(4):
        labels = np.asarray(Image.open(desk / "photos" / "masks" / f"cell{index}.png")).astype(int)
        classes = [1 + k % 2 for k in range(labels.max())]
        result = Segmentation.from_labels(labels, classes=classes, class_names=["cat", "dog"])
        results.append((f"cell{index}.png", result))
    path = desk / "photos" / "images" / "instances.json"
    path.write_text(json.dumps(coco_document(results)))
    return path


def answers(monkeypatch, make):
    """Let the model answer with what `make` gives for a label map."""

    def segment(self, image):
        return make(measure.label(image[..., 0] > 128))

    monkeypatch.setattr(find_method("bright"), "segment", segment)


def test_a_model_of_semantic_maps_is_scored_by_class_from_the_command_line(
    run, said, model, classed, monkeypatch
):
    def make(labels):  # all is cat
        return Segmentation.from_maps((labels > 0).astype(int), class_names=["cat"])

    answers(monkeypatch, make)
    words = ["evaluate", model, classed, "--split", "all", "-p", "miou", "--no-report"]
    scores = said(*words)["metrics"]
    cats, dogs = 6, 4  # patches; those of dogs are called cats
    assert scores["iou/1"] == pytest.approx(cats / (cats + dogs))
    assert scores["iou/2"] == 0
    assert "iou of dog" in run(*words).stdout
    failed = run("evaluate", model, classed, "--split", "all", "-p", "coco")
    assert failed.exit_code == 2
    assert "expected a result with objects for protocol coco" in failed.stderr


def test_the_ap_of_each_class_is_shown_and_written_by_name(run, model, classed, desk, monkeypatch):
    def make(labels):  # all is cat
        return Segmentation.from_labels(labels, class_names=["cat", "dog"])

    answers(monkeypatch, make)
    words = ["evaluate", model, classed, "--split", "all", "-o", "out"]
    shown = run(*words, "-p", "coco").stdout
    assert "ap of cat" in shown
    assert "ap of dog" in shown
    written = json.loads((desk / "out" / "evaluation.json").read_text())
    assert written["class_names"][1:] == ["cat", "dog"]
    assert written["metrics"]["ap/2"] == 0
    assert "0.5 dog" in run(*words, "-p", "matching").stdout
    written = json.loads((desk / "out" / "evaluation.json").read_text())["metrics"]
    assert written["matching_ap@0.5"] == 1
    assert written["matching_ap@0.5/1"] == pytest.approx(6 / 10)


def test_segment_writes_the_maps_a_model_gives_and_tells_those_it_does_not(
    run, model, desk, monkeypatch
):
    def make(labels):
        return Segmentation.from_maps(labels, boundary=(labels > 1) * 1.0)

    answers(monkeypatch, make)
    words = ["segment", model, "photos/images/cell3.png", "-o", "out"]
    result = run(*words, "-f", "semantic", "-f", "boundary", "-f", "overlay")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0] == "1 image segmented, in out"  # no objects to count
    with Image.open(desk / "out" / "cell3_semantic.png") as picture:
        assert sorted(np.unique(picture)) == [0, 1, 2, 3, 4]
    with Image.open(desk / "out" / "cell3_boundary.png") as picture:
        assert sorted(np.unique(picture)) == [0, 65_535]
    told = run(*words, "-f", "labels").output.replace("\n", " ")
    assert "boundary, ucm for this model, got labels, which needs objects" in told
