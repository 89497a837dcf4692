import json


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


def test_a_sheet_is_drawn(run, desk):
    result = run("data", "preview", "photos", "--count", "2")
    assert result.stdout == "2 images of 4: photos.png\n"
    assert (desk / "photos.png").stat().st_size > 0
    assert run("data", "preview", "sticks", "-n", "1", "-o", "x/s.png").exit_code == 0


def test_what_is_given_wrong_is_told_in_one_line(fails, desk):
    assert "did you mean 'sticks'" in fails("data", "info", "stiks")
    assert "no such folder" in fails("data", "check", "no/where")
    assert "did you mean 'train'" in fails("data", "check", "sticks", "--split", "trian")
    assert "--count" in fails("data", "preview", "photos", "--count", "0")
