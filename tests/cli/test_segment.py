import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from congeal import RPE, progress
from congeal.cli.segment import split_model
from congeal.errors import CongealError
from congeal.models import save_model
from congeal.prediction import reading


def written(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != "congeal.jsonl")


def test_a_folder_is_segmented_and_told_in_a_line(run, model, desk):
    result = run("segment", model, "photos/images", "--output", "out")
    assert result.exit_code == 0
    assert result.stdout == "4 images segmented, 10 objects, in out\n"
    assert result.stderr == ""
    assert written(desk / "out")[:2] == ["cell0_labels.png", "cell0_overlay.png"]


def test_without_a_model_the_one_that_ships_is_used(run, shelf, desk):
    assert run("segment", "photos/images/cell1.png").exit_code == 0
    assert written(desk / "segmented") == ["cell1_labels.png", "cell1_overlay.png"]


def test_a_shipped_model_is_used_by_name(run, shelf, desk):
    assert run("segment", "nuclei", "photos/images/*1.png").exit_code == 0
    assert len(written(desk / "segmented")) == 2


def test_formats_are_chosen_one_by_one(run, model, desk):
    words = ["-f", "coco", "--format", "csv", "-o", "out"]
    assert run("segment", model, "photos/images/cell0.png", *words).exit_code == 0
    assert written(desk / "out") == ["cell0_coco.json", "cell0_objects.csv"]


def test_a_second_run_says_what_it_skipped(run, model, desk):
    run("segment", model, "photos/images")
    result = run("segment", model, "photos/images")
    assert result.stdout.splitlines() == [
        "0 images segmented, 0 objects, in segmented",
        "4 images skipped: done before (--overwrite to redo)",
    ]


def test_results_of_another_model_are_refused_in_a_line(fails, run, model, shelf, desk):
    import torch

    from congeal.models import load, save_model

    run("segment", model, "photos/images")
    other = load(model)
    other.unused.data = torch.tensor([50.0])
    save_model(other, desk / "other", card="")
    line = fails("segment", desk / "other", "photos/images")
    assert "another model made them: use --overwrite" in line
    assert run("segment", desk / "other", "photos/images", "-o", "elsewhere").exit_code == 0


def test_a_broken_image_is_named_and_the_code_is_one(run, model, desk):
    (desk / "photos/images/cell2.png").write_bytes(b"no picture")
    result = run("segment", model, "photos/images")
    assert result.exit_code == 1
    assert "3 images segmented" in result.stdout
    (line,) = (line for line in result.stderr.splitlines() if line.startswith("error: "))
    assert line.count("photos/images/cell2.png") == 1
    assert result.stderr.splitlines()[-1] == "1 image failed"


def test_json_tells_every_file(run, model, desk):
    (desk / "photos/images/cell2.png").write_bytes(b"no picture")
    result = run("segment", model, "photos/images", "--json")
    told = json.loads(result.stdout)
    assert result.exit_code == 1
    assert (told["done"], told["failed"]) == (3, 1)
    assert [file["state"] for file in told["files"]] == ["done", "done", "failed", "done"]
    assert told["files"][3]["objects"] == 4


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nuclei"], "expected images after the model nuclei"),
        (["nucli", "photos/images"], "did you mean 'nuclei'"),
        (["empty"], "found none"),
        (["-m", "nowhere/x", "photos/images"], "found nothing"),
        (["photos/images", "-f", "label"], "did you mean 'labels'"),
        (["photos/images", "--device", "cdua"], "did you mean 'cuda'"),
        (["photos/images", "-o", "photos/images/cell0.png"], "cannot write results"),
    ],
)
def test_what_is_given_wrong_is_told_in_one_line(fails, shelf, desk, words, said):
    (desk / "empty").mkdir()
    assert said in fails("segment", *words)


def test_an_image_that_is_not_there_is_partly_failed(run, shelf, desk):
    result = run("segment", "gone.png")
    assert result.exit_code == 1
    assert "gone.png" in result.stderr


def test_the_model_is_told_from_the_images(model, shelf, desk):
    config = str(model / "config.json")
    assert split_model([str(model), "a.png"], None) == (str(model), ["a.png"])
    assert split_model([config, "a.png"], None) == (config, ["a.png"])
    assert split_model(["a.png", "b.png"], None) == (None, ["a.png", "b.png"])
    assert split_model(["nuclei", "b.png"], "x") == ("x", ["nuclei", "b.png"])
    assert split_model(["*.png"], None) == (None, ["*.png"])
    (desk / "nuclei").mkdir()
    assert split_model(["nuclei"], None) == (None, ["nuclei"])
    with pytest.raises(CongealError, match="expected images"):
        split_model([str(model)], None)


def test_ctrl_c_says_how_far_it_got(run, model, desk, monkeypatch):
    real, calls = reading.read_picture, iter(range(9))

    def interrupted(path, channels):
        if next(calls) == 2:
            raise KeyboardInterrupt
        return real(path, channels)

    monkeypatch.setattr(reading, "read_picture", interrupted)
    result = run("segment", model, "photos/images", "-o", "out")
    assert result.exit_code == 130
    assert result.stderr.splitlines() == [
        "stopped: 2 of 4 images segmented into out; the same command goes on from there"
    ]
    monkeypatch.setattr(reading, "read_picture", real)
    assert "2 images segmented" in run("segment", model, "photos/images", "-o", "out").stdout


@pytest.mark.slow
def test_a_real_ctrl_c_while_loading_is_clean(environment, desk):
    process = subprocess.Popen(
        [sys.executable, "-m", "congeal.cli", "info"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    maps, patience = Path(f"/proc/{process.pid}/maps"), time.monotonic() + 30
    while maps.exists() and "libtorch" not in maps.read_text() and time.monotonic() < patience:
        time.sleep(0.05)  # on a busy machine it takes its time to get to PyTorch
    time.sleep(0.2 if maps.exists() else 1.0)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode in (0, 130)
    assert "Traceback" not in stderr


def test_a_setting_of_the_decoding_can_be_changed(run, desk):
    save_model(RPE(dimensions=4, coordinates="none"), "untrained", card="")
    words = ["segment", "untrained", "photos/images/cell0.png", "-o", "out"]
    chosen = ["--set", "grouping=k-means", "--set", "grouping.grid=3", "--set", "smallest=2"]
    assert run(*words, *chosen).exit_code == 0
    assert "1 image skipped" in run(*words, *chosen).stdout
    again = run(*words, "--set", "grouping=flat-shift")
    assert again.exit_code == 2
    assert "settings differ: use --overwrite" in again.stderr
    again = run(*words, "--set", "grouping=flat-shift", "--overwrite")
    assert "1 image segmented" in again.stdout
    assert "did you mean 'k-means'" in run(*words, "--overwrite", "--set", "grouping=kmean").stderr
    assert "expected NAME=VALUE" in run(*words, "--set", "smallest").stderr


def test_one_table_and_one_document_tell_of_all_images_by_their_own_names(run, model, desk):

    run("segment", model, "photos/images/cell1.png", "-o", "out")
    words = ["segment", model, "photos/images", "-o", "out", "--table", "--coco"]
    for _ in range(2):  # the second skips all and writes the same
        assert run(*words).exit_code == 0
        with (desk / "out/objects.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["image"] for row in rows].count("cell3.png") == 4
        assert len(rows) == 10
        document = json.loads((desk / "out/coco.json").read_text())
        assert [image["file_name"] for image in document["images"]] == [
            f"cell{k}.png" for k in range(4)
        ]
        assert [one["id"] for one in document["annotations"]] == list(range(1, 11))
        assert [one["image_id"] for one in document["annotations"]].count(4) == 4


def test_a_table_of_the_user_is_not_replaced(fails, model, desk):
    (desk / "out").mkdir()
    (desk / "out/objects.csv").write_text("mine")
    line = fails("segment", model, "photos/images", "-o", "out", "--table", "--overwrite")
    assert "objects.csv is there and not listed" in line
    assert (desk / "out/objects.csv").read_text() == "mine"


def test_names_that_are_no_text_are_segmented_and_shown_escaped(run, model, desk):
    strange = os.fsdecode(b"zelle\xe9\x1b[2J.png")
    (desk / "photos/images/cell0.png").rename(desk / "photos/images" / strange)
    (desk / "photos/images/cell1.png").write_bytes(b"no picture")
    (desk / "photos/images/cell1.png").rename(desk / os.fsdecode(b"\xe9\x1b.png"))
    broken = os.fsdecode(b"\xe9\x1b.png")
    result = run("segment", model, "photos/images", broken, "--table", "--coco")
    assert result.exit_code == 1
    assert r"\udce9\x1b.png" in result.stderr
    assert "\x1b" not in result.stdout + result.stderr
    assert r"zelle\udce9" in (desk / "segmented/objects.csv").read_text()


def test_a_closed_stdout_is_no_fault(environment, desk):
    command = f"{sys.executable} -m congeal.cli models >&-"
    done = subprocess.run(command, shell=True, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_piped_run_says_how_far_it_is(run, model, desk, monkeypatch):
    monkeypatch.setattr(progress, "FIRST_DELAY", 0.01)
    monkeypatch.setattr(progress, "INTERVAL", 0.01)
    real = reading.read_picture

    def slow(path, channels):
        time.sleep(0.05)
        return real(path, channels)

    monkeypatch.setattr(reading, "read_picture", slow)
    lines = run("segment", model, "photos/images").stderr.splitlines()
    assert lines[0].startswith("segmenting: ")
    assert any(line.startswith("segmenting: 1 of 4, ") for line in lines)
    assert all(len(line) < 80 for line in lines)
