import json
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cases.bright import Bright, names, one_line, write_image

from congeal.errors import CongealError
from congeal.prediction import segment_files
from congeal.prediction.record import RECORD, Record
from congeal.segmentation import formats as writers

# Results that are not those of this run


def test_results_of_another_model_are_kept_until_they_may_be_overwritten(folders, tmp_path):
    image = write_image(tmp_path / "x.png")
    segment_files(folders[0], [image], tmp_path / "out")
    with pytest.raises(CongealError, match=r"another model made them.*overwrite.*another folder"):
        segment_files(folders[1], [image], tmp_path / "out")
    assert segment_files(folders[0], [image], tmp_path / "out").skipped == [image]
    assert segment_files(folders[1], [image], tmp_path / "out", overwrite=True).done == [image]


def test_overwriting_by_another_model_makes_all_files_of_an_image_again(folders, tmp_path):
    image = write_image(tmp_path / "x.png")
    segment_files(folders[0], [image], tmp_path / "out", formats=["csv"])
    run = segment_files(folders[1], [image], tmp_path / "out", formats=["labels"], overwrite=True)
    assert sorted(path.name for path in run.files[0].files) == ["x_labels.png", "x_objects.csv"]


def test_an_image_changed_since_is_said_to_be_so(model, tmp_path):
    image = write_image(tmp_path / "x.png")
    segment_files(model, [image], tmp_path / "out")
    os.utime(image, (1, 1))
    assert "earlier version" in segment_files(model, [image], tmp_path / "out").stale[0][1]


def test_an_image_whose_line_was_cut_off_by_a_kill_is_done_again(model, tmp_path, monkeypatch):
    images = [write_image(tmp_path / "in" / name) for name in ("a.png", "b.png")]
    with monkeypatch.context() as killed:
        killed.setattr(Record, "compact", lambda record: None)  # it is the last thing of a run
        segment_files(model, images, tmp_path / "out")
    record = tmp_path / "out" / "congeal.jsonl"
    record.write_bytes(record.read_bytes()[:-9] + b"\xff")
    run = segment_files(model, images, tmp_path / "out")
    assert (run.skipped, run.done, run.notes) == (images[:1], images[1:], [])
    assert segment_files(model, images, tmp_path / "out").skipped == images


# What a user can get wrong


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"formats": ["label"]}, "did you mean 'labels'"),
        ({"formats": []}, "at least one format"),
        ({"inputs": []}, "got none"),
        ({"inputs": ["empty"]}, "found none"),
        ({"inputs": ["*.tif"]}, "found none"),
        ({"output": "a.png"}, "cannot write results"),
        ({"output": "a.png/deep"}, "cannot write results"),
    ],
)
def test_what_can_be_given_wrong_is_told_in_one_line(model, tmp_path, monkeypatch, change, said):
    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / "a.png")
    (tmp_path / "empty").mkdir()
    given = {"inputs": ["a.png"], "output": "out", **change}
    with pytest.raises(CongealError, match=said) as error:
        segment_files(model, **given)
    one_line(error)


def test_a_full_disk_stops_the_run_and_keeps_what_was_done(model, tmp_path, monkeypatch):
    images = [write_image(tmp_path / name) for name in ("a.png", "b.png", "c.png")]
    real, calls = os.replace, iter(range(9))

    def fill(source, target):
        if next(calls) == 1:
            raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr(os, "replace", fill)
    with pytest.raises(CongealError, match="No space left"):
        segment_files(model, images, tmp_path / "out", formats=["labels"])
    assert names(tmp_path / "out") == ["a_labels.png"]
    assert model.asked == 2


def test_a_name_too_long_for_the_system_fails_alone(model, tmp_path):
    images = [write_image(tmp_path / f"{'x' * 250}.png"), write_image(tmp_path / "b.png")]
    run = segment_files(model, images, tmp_path / "out", formats=["labels"])
    assert "too long" in run.failed[0][1]
    assert run.done == [images[1]]


def test_a_model_that_is_not_there_is_told_before_anything_is_written(tmp_path):
    image = write_image(tmp_path / "a.png")
    with pytest.raises(CongealError, match="model"):
        segment_files(tmp_path / "nowhere", [image], tmp_path / "out")
    assert not (tmp_path / "out").exists()


# Files that are not of congeal


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_of_the_user_is_never_taken_for_a_result_nor_replaced(model, tmp_path, overwrite):
    image = write_image(tmp_path / "a.png")
    mine = write_image(tmp_path / "a_labels.png", 4)
    before = mine.read_bytes()
    run = segment_files(model, [image], tmp_path, formats=["labels"], overwrite=overwrite)
    assert "not listed in congeal.jsonl" in run.failed[0][1]
    assert mine.read_bytes() == before


def test_images_called_like_results_are_segmented(model, tmp_path):
    mine = write_image(tmp_path / "scan_overlay.png")
    assert segment_files(model, [tmp_path], tmp_path, formats=["csv"]).done == [mine]


@pytest.mark.parametrize("name", ["/tmp/evil", "../evil", "a/b", "..", "", 3, None])
def test_a_name_in_the_record_that_leads_elsewhere_is_passed_over_and_told(model, tmp_path, name):
    image = write_image(tmp_path / "a.png")
    out = tmp_path / "out"
    out.mkdir()
    lines = [json.dumps({"source": "../a.png", "name": name}), "[" * 5000, "{}", "7"]
    lines.append(json.dumps({"source": ["x"], "name": "a", "files": {"csv": "../b"}}))
    (out / "congeal.jsonl").write_text("\n".join(lines) + "\n")
    run = segment_files(model, [image], out, formats=["coco"])
    assert names(out) == ["a_coco.json"]
    assert len(run.notes) == 1
    assert "5 lines" in run.notes[0]


def test_a_kill_while_files_are_written_leaves_nothing_foreign(model, tmp_path, monkeypatch):
    image = write_image(tmp_path / "a.png")

    def killed(result, path, *rest):
        path.write_bytes(b"written")
        raise KeyboardInterrupt

    monkeypatch.setattr(writers, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        segment_files(model, [image], tmp_path / "out", formats=["labels"])
    monkeypatch.undo()
    assert segment_files(model, [image], tmp_path / "out").done == [image]


# Several runs at once


def _work(folder: Path, out: Path) -> None:
    segment_files(Bright(), [folder], out, formats=["labels"])


def test_two_runs_of_equal_stems_into_one_folder_lose_nothing(tmp_path):
    for plate in ("p1", "p2"):
        for index in range(12):
            write_image(tmp_path / plate / f"A{index}.png")
    context = multiprocessing.get_context("fork")
    runs = [
        context.Process(target=_work, args=(tmp_path / plate, tmp_path / "out"))
        for plate in ("p1", "p2")
    ]
    for run in runs:
        run.start()
    for run in runs:
        run.join(60)
    assert [run.exitcode for run in runs] == [0, 0]
    assert len(names(tmp_path / "out")) == 24
    lines = (tmp_path / "out" / "congeal.jsonl").read_text().splitlines()
    assert len(lines) == len({json.loads(line)["name"] for line in lines}) == 24


def test_what_another_run_did_meanwhile_is_skipped(model, tmp_path):
    images = [write_image(tmp_path / name) for name in ("a.png", "b.png")]

    def other(outcome) -> None:
        if outcome.path == images[0]:
            segment_files(model, images, tmp_path / "out")

    run = segment_files(model, images, tmp_path / "out", on_file=other)
    assert [file.state for file in run.files] == ["done", "skipped"]


def test_a_run_of_other_settings_that_began_at_the_same_time_ends_and_mixes_nothing(
    folders, tmp_path
):
    images = [write_image(tmp_path / name) for name in ("a.png", "b.png", "c.png")]

    def other(outcome) -> None:  # it knew of no results either when it began
        segment_files(folders[1], [images[1]], tmp_path / "out", formats=["labels"])

    with pytest.raises(CongealError, match=r"another run writes results into .*another model"):
        segment_files(folders[0], images, tmp_path / "out", formats=["labels"], on_file=other)
    assert names(tmp_path / "out") == ["a_labels.png", "b_labels.png"]
    entries = {
        e["name"]: e for e in map(json.loads, (tmp_path / "out" / RECORD).read_text().splitlines())
    }
    assert [entries[name].get("model") for name in "abc"] == ["one", "two", None]


def test_a_record_that_others_rewrote_twice_loses_no_line(tmp_path):
    # The file system may give the second rewritten file the number of the first one.
    record = Record(tmp_path)
    for number in (1, 2):  # lines that rewriting leaves out
        for image in "abc":
            record.add(tmp_path / image, {"name": image, "objects": number, "files": {}})
    Record(tmp_path).compact()
    Record(tmp_path).compact()
    with record.locked():
        record.add(tmp_path / "d", {"name": "d", "files": {}})
    read = Record(tmp_path)
    assert read.names() == set("abcd")
    assert not read.odd


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_process_forked_after_a_computation_can_segment(tmp_path):
    script = (
        "import multiprocessing, numpy as np, torch, congeal\n"
        "torch.set_num_threads(2)\n"
        "model = congeal.load('nuclei')\n"
        "image = np.zeros((64, 64), np.uint8)\n"
        "congeal.segment(model, image)\n"
        "def work(_): return congeal.segment(model, image).shape\n"
        "with multiprocessing.get_context('fork').Pool(1) as pool:\n"
        "    print(pool.map_async(work, [0]).get(60))\n"
    )
    source = str(Path(__file__).parents[2] / "src")
    environment = {**os.environ, "PYTHONPATH": source, "OMP_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=100
    )
    assert done.stdout == "[(64, 64)]\n", done.stderr
