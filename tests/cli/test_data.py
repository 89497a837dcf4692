import json

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
    assert "judged by matching" in text


def test_info_counts_objects_and_their_sizes(run, said, desk):
    text = run("data", "info", "photos").stdout
    assert "objects per image" in text
    assert "64-255 pixels" in text
    facts = said("data", "info", "photos")["splits"]
    areas = [row for split in facts.values() for row in split["area_histogram"]]
    assert sum(number for low, high, number in areas if (low, high) == (64, 255)) == 10
    assert all(split["void_share"] == 0 for split in facts.values())
    assert said("data", "info", "sticks", "--count", "2")["splits"]["val"]["looked_at"] == 2


def test_a_folder_is_described(said, desk):
    splits = said("data", "info", "photos")["splits"]
    assert sum(split["images"] for split in splits.values()) == 4
    assert splits["train"]["size"] == "24 x 40 x 1"


def test_a_pack_that_is_not_here_says_so(run, monkeypatch, tmp_path):
    monkeypatch.setenv("CONGEAL_DATA", str(tmp_path))
    result = run("data", "info", "nuclei")
    assert result.exit_code == 0
    assert "CONGEAL_DATA" in result.stdout
    listed = {entry["name"]: entry["here"] for entry in json.loads(run("data", "--json").stdout)}
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
    assert result.stderr.startswith("note: numbers have gaps in 1 image (such as cell1)")
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
    result = run("data", "preview", "photos", "-n", "1", "--augment", "rpe", "-o", "rpe.png")
    assert result.stdout == "1 image of 4: rpe.png\n"
    assert run("data", "preview", "photos", "-n", "1", "-o", "plain.png").exit_code == 0
    with Image.open(desk / "rpe.png") as drawn, Image.open(desk / "plain.png") as plain:
        assert drawn.width > 3 * plain.width  # the image and three draws
    assert "did you mean 'rpe'" in fails("data", "preview", "photos", "--augment", "rp")


def test_what_is_given_wrong_is_told_in_one_line(fails, desk):
    assert "did you mean 'sticks'" in fails("data", "info", "stiks")
    assert "no such folder" in fails("data", "check", "no/where")
    assert "did you mean 'train'" in fails("data", "check", "sticks", "--split", "trian")
    assert "--count" in fails("data", "preview", "photos", "--count", "0")


def test_the_number_of_drawn_objects_can_be_part_of_the_name(said):
    for name, low, high in (("sticks:8", 8, 8), ("shapes:two:objects=2-3,overlap=0.2", 2, 3)):
        splits = said("data", "info", name, "--count", "6")["splits"]
        spread = splits["train"]["objects_per_image"]
        assert (spread["min"], spread["max"]) == (low, high)
