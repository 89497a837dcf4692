import json
import re

import pytest
from PIL import Image


def test_named_datasets_are_listed(run):
    for words in (["data"], ["data", "list"]):
        text = run(*words).stdout
        assert "sticks" in text
        assert "CC0-1.0" in text


def test_json_lists_them_for_machines(said):
    names = [entry["name"] for entry in said("data", "list")]
    assert names == [entry["name"] for entry in said("data")]
    assert "nuclei:fluorescence" in names


def test_a_named_dataset_is_described(run):
    text = run("data", "info", "sticks").stdout
    assert "licence Apache-2.0" in text
    assert "test: 64 images" in text
    assert "protocol matching" in text


def test_info_counts_objects_and_their_sizes(run, said, desk):
    text = run("data", "info", "photos").stdout
    assert re.search(r"\d objects per image", text)
    assert "4 objects per image\n" in run("data", "info", "discs:4", "--count", "2").stdout
    assert "64-255 pixels" in text
    facts = said("data", "info", "photos")["splits"]
    areas = [row for split in facts.values() for row in split["area_histogram"]]
    assert sum(number for low, high, number in areas if (low, high) == (64, 255)) == 10
    assert all(split["void_share"] == 0 for split in facts.values())
    assert said("data", "info", "sticks", "--count", "2")["splits"]["val"]["images_read"] == 2


def test_a_folder_is_described(said, desk):
    splits = said("data", "info", "photos")["splits"]
    assert sum(split["images"] for split in splits.values()) == 4
    assert splits["train"]["size"] == "24 x 40 x 1"


def test_a_pack_that_is_not_here_says_so(run, monkeypatch, tmp_path):
    monkeypatch.setenv("CONGEAL_DATA", str(tmp_path))
    result = run("data", "info", "nuclei")
    assert result.exit_code == 0
    assert "CONGEAL_DATA" in result.stdout
    listed = {
        entry["name"]: entry["available"] for entry in json.loads(run("data", "--json").stdout)
    }
    assert (listed["nuclei"], listed["sticks"]) == (False, True)
    text = run("data", "info", "voc2012").stdout
    assert "host.robots.ox.ac.uk" in text
    assert "voc2012=FOLDER" in text


def test_a_published_dataset_may_lie_anywhere(run, said, pack):
    where = f"bsds500={pack('bsds500')}"
    facts = said("data", "info", where, "-n", "1")
    assert facts["splits"]["test"]["images"] == 200
    assert facts["other_protocols"] == ["bsds-regions"]


def test_a_good_folder_has_no_problems(run, desk):
    result = run("data", "check", "photos")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "4 images, no problems\n"


def test_problems_are_named_a_line_each(run, desk):
    (desk / "photos/images/cell1.png").write_bytes(b"no picture")
    result = run("data", "check", "photos")
    assert result.exit_code == 1
    assert "cell1" in result.stdout
    told = json.loads(run("data", "check", "photos", "--json").stdout)
    assert len(told["problems"]) == 1


def test_images_without_masks_are_problems_and_the_rest_is_checked(run, desk):
    (desk / "photos/masks/cell2.png").unlink()
    (desk / "photos/images/cell3.png").unlink()
    result = run("data", "check", "photos")
    assert result.exit_code == 1
    assert [line.split("; ")[-1] for line in result.stdout.splitlines()] == [
        "draw one or take the image out",
        "add it or take the mask out",
    ]
    assert result.stderr == "2 images, 2 problems\n"
    assert "2 problems" in run("data", "check", "photos", "--split", "train").stderr


def test_what_needs_nothing_done_is_a_note(run, said, desk):
    from PIL import Image

    path = desk / "photos/masks/cell1.png"
    Image.open(path).point(lambda value: 9 * value).save(path)
    result = run("data", "check", "photos")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.startswith("note: labels have gaps in 1 image (such as cell1)")
    assert len(said("data", "check", "photos")["notes"]) == 1


def test_the_same_image_in_two_splits_is_a_problem(run, desk):
    for kind in ("images", "masks"):
        for split, name in (("train", "cell1"), ("val", "cell1"), ("test", "cell2")):
            (desk / "cut" / kind / split).mkdir(parents=True)
            source = desk / f"photos/{kind}/{name}.png"
            (desk / f"cut/{kind}/{split}/{name}{split}.png").write_bytes(source.read_bytes())
    assert run("data", "check", "cut").stdout == (
        "val/cell1val: the image is the same as train/cell1train, so scores on val would be too "
        "good; keep it in one split only\n"
    )


def test_a_sheet_is_drawn(run, desk):
    result = run("data", "preview", "photos", "--count", "2")
    assert result.stdout == "2 images of 4: photos.png\n"
    assert (desk / "photos.png").stat().st_size > 0
    assert run("data", "preview", "sticks", "-n", "1", "-o", "x/s.png").exit_code == 0


def test_a_preview_shows_what_an_augmentation_draws(run, fails, desk):
    result = run("data", "preview", "photos", "-n", "1", "--augment", "kong2018", "-o", "drawn.png")
    assert result.stdout == "1 image of 4: drawn.png\n"
    assert run("data", "preview", "photos", "-n", "1", "-o", "plain.png").exit_code == 0
    with Image.open(desk / "drawn.png") as drawn, Image.open(desk / "plain.png") as plain:
        assert drawn.width > 3 * plain.width  # the image and three draws
    assert "did you mean 'kong2018'" in fails("data", "preview", "photos", "--augment", "kong18")


def test_what_is_given_wrong_is_told_in_one_line(fails, desk):
    assert "did you mean 'sticks'" in fails("data", "info", "stiks")
    assert "no such folder" in fails("data", "check", "no/where")
    assert "did you mean 'train'" in fails("data", "check", "sticks", "--split", "trian")
    assert "--count" in fails("data", "preview", "photos", "--count", "0")


@pytest.fixture
def shapes(desk):
    """A folder with a class for most of its objects: 4 images of 1 to 4 patches."""
    rows = ["cell0,1,disc", "cell1,1,disc", "cell1,2,square", "cell2,1,disc", "cell3,4,square"]
    (desk / "photos/classes.csv").write_text("\n".join(["image,label,class", *rows]))
    return "photos"


def test_the_check_shows_classes(run, said, shapes):
    result = run("data", "check", shapes)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.splitlines()[:2] == [
        "objects of 2 classes: disc 3, square 2",
        "5 objects without a class",
    ]
    told = said("data", "check", shapes)
    assert (told["objects_per_class"], told["without_class"]) == ({"disc": 3, "square": 2}, 5)


def test_info_shows_classes_of_each_split(run, said, shapes):
    text = run("data", "info", shapes).stdout
    assert "protocol coco, matching, miou; 2 classes" in text
    assert "objects of 2 classes: " in text
    facts = said("data", "info", shapes)
    assert facts["classes"] == ["background", "disc", "square"]
    splits = facts["splits"].values()
    assert sum(split["objects_per_class"]["square"] for split in splits) == 2
    assert sum(split["without_class"] for split in splits) == 5


def test_classes_of_a_folder_for_semantic_segmentation(run, desk):
    (desk / "photos/masks").rename(desk / "photos/semantic")
    (desk / "photos/classes.txt").write_text("one\ntwo\nthree\nfour\nfive\n")
    result = run("data", "check", "photos")
    assert result.exit_code == 0
    assert "images with each of 5 classes: one 4, two 3, three 2, four 1, five 0" in result.stderr
    assert "note: classes without any object: five" in result.stderr
    text = run("data", "info", "photos").stdout
    assert "protocol miou; 5 classes" in text
    assert "images with each of 5 classes" in text
    assert "classes per image" in text
    assert "object" not in text


def test_mistakes_of_classes_are_told_in_one_line(run, fails, shapes, desk):
    (desk / "photos/classes.txt").write_text("disc\nDisc\n")
    assert "expected every class once" in fails("data", "check", shapes)
    (desk / "photos/classes.txt").unlink()
    with (desk / "photos/classes.csv").open("a") as table:
        table.write("\ncell9,1,disc\ncell0,7,disc\n")
    result = run("data", "check", shapes)
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "row 7 of photos/classes.csv names an image that does not exist: 'cell9'",
        "cell0: labels in classes.csv that do not occur in the mask: 7",
    ]


def test_classes_with_one_name_are_a_problem(run, desk):
    square = [[1, 1, 9, 1, 9, 9, 1, 9]]
    content = {
        "images": [{"id": 1, "file_name": "cell0.png"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 2, "segmentation": square}],
        "categories": [{"id": 1, "name": "Cells"}, {"id": 2, "name": "cells"}],
    }
    (desk / "photos/annotations.json").write_text(json.dumps(content))
    assert run("data", "check", "photos").stdout == (
        "two classes have the same name, 'Cells' and 'cells': merge them\n"
    )


def test_info_says_where_data_is_searched(run, said, tmp_path, monkeypatch):
    monkeypatch.setenv("CONGEAL_DATA", str(tmp_path))
    assert f"searched in {tmp_path}/nuclei\n" in run("data", "info", "nuclei").stdout
    text = run("data", "info", "voc2012").stdout
    assert f"{tmp_path}/voc2012, {tmp_path}/VOC2012, {tmp_path}/VOCdevkit" in text
    assert said("data", "info", "coco_mini:super")["folders"] == [f"{tmp_path}/coco_mini"]
    assert "looked for" not in run("data", "info", "sticks", "-n", "1").stdout


def test_info_says_where_data_was_found(run, pack):
    home = pack("nuclei")
    assert f"found in {home}\n" in run("data", "info", "nuclei:modality", "-n", "2").stdout


def test_the_number_of_drawn_objects_can_be_part_of_the_name(said):
    for name, low, high in (("sticks:8", 8, 8), ("shapes:two:objects=2-3,overlap=0.2", 2, 3)):
        splits = said("data", "info", name, "--count", "6")["splits"]
        spread = splits["train"]["objects_per_image"]
        assert (spread["min"], spread["max"]) == (low, high)
