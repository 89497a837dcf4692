import json
import multiprocessing
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from skimage.measure import label

from congeal.errors import CongealError
from congeal.prediction import input_files, memory, segment, segment_files
from congeal.prediction import single as single_module
from congeal.prediction.record import Record
from congeal.segmentation import Segmentation
from congeal.segmentation import formats as writers
from congeal.segmentation.formats import FORMATS


class Bright:
    """A model that calls every bright patch an object, and counts what it is asked."""

    def __init__(self):
        self.asked = 0

    def segment(self, image):
        self.asked += 1
        return Segmentation.from_labels(label(image[..., 0] > 128))


@pytest.fixture
def model():
    return Bright()


def write_image(path: Path, patches: int = 2) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((20, 30), np.uint8)
    for patch in range(patches):
        pixels[5:10, 5 * patch : 5 * patch + 3] = 200
    Image.fromarray(pixels).save(path)
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "congeal.jsonl")


def one_line(error: pytest.ExceptionInfo[BaseException]) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


# One image


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1), (4, 5, 3), (1, 1)])
@pytest.mark.parametrize("dtype", [bool, np.uint8, np.uint16, np.float32, np.float64, np.int32])
def test_any_shape_and_type_of_image_reaches_the_model_in_one_form(shape, dtype):
    class Asks:
        def segment(self, image):
            assert image.ndim == 3
            assert image.shape[2] in (1, 3)
            assert image.dtype in (np.uint8, np.uint16, np.float32)
            return Segmentation.from_labels(np.zeros(image.shape[:2], int))

    assert segment(Asks(), np.ones(shape, dtype)).shape == shape[:2]


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (np.zeros((4, 5, 7)), "7 channels; choose with --channels"),
        (np.zeros((4, 5, 2)), "2 channels; choose with --channels"),
        (np.zeros((4, 5, 4)), r"Python: channels="),
        (np.zeros((2, 4, 5, 3)), "got shape"),
        (np.zeros((0, 5)), "got shape"),
        (np.full((4, 5), np.nan), "NaN"),
        (np.full((4, 5), np.inf, np.float32), "NaN or infinite"),
        (np.array([["a"]]), "numbers"),
        (np.zeros((4, 5), complex), "numbers"),
    ],
)
def test_what_is_no_image_is_told_in_one_line(model, image, said):
    with pytest.raises(CongealError, match=said) as error:
        segment(model, image)
    one_line(error)


@pytest.mark.parametrize("chosen", [[1], [3, 0], [2, 1, 0]])
def test_chosen_channels_of_an_array_or_a_file_reach_the_model_in_their_order(chosen, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (6, 7, 4)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    seen = []

    class Keeps:
        def segment(self, image):
            seen.append(image)
            return Segmentation.from_labels(np.ones(image.shape[:2], int))

    results = segment(Keeps(), [pixels, tmp_path / "a.png"], channels=chosen)
    for image, result in zip(seen, results, strict=True):
        np.testing.assert_array_equal(image, pixels[..., chosen])
        np.testing.assert_array_equal(result.source.pixels(), pixels[..., chosen])


def test_a_result_knows_the_pixel_size_of_its_file(model, tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, np.zeros((5, 6), np.uint8), resolution=(1e4, 1e4), resolutionunit="CENTIMETER"
    )
    again = segment(model, segment(model, path).save(tmp_path / "labels.tif"))
    assert again.source.pixel_size == 1


def test_an_image_can_be_given_by_its_path(model, tmp_path):
    assert len(segment(model, write_image(tmp_path / "a.png", 3))) == 3


def test_what_cannot_segment_is_told_in_one_line():
    with pytest.raises(CongealError, match="got int"):
        segment(3, np.zeros((4, 5)))


# Many files


def test_results_keep_the_names_of_their_images(model, tmp_path):
    write_image(tmp_path / "in" / "cell 1.png")
    write_image(tmp_path / "in" / "cell.v2.tif", 3)
    run = segment_files(model, [tmp_path / "in"], tmp_path / "out")
    assert [path.name for path in run.done] == ["cell 1.png", "cell.v2.tif"]
    assert names(tmp_path / "out") == [
        "cell 1_labels.png",
        "cell 1_overlay.png",
        "cell.v2_labels.png",
        "cell.v2_overlay.png",
    ]
    assert [file.objects for file in run.files] == [2, 3]


def test_every_format_is_written(model, tmp_path):
    image = write_image(tmp_path / "a.png")
    maps = ("semantic", "boundary", "probabilities", "ucm", "cityscapes")
    held = [name for name in FORMATS if name not in maps]
    run = segment_files(model, [image], tmp_path / "out", formats=held)
    assert names(tmp_path / "out") == sorted(f"a{FORMATS[name]}" for name in held)
    assert sorted(path.name for path in run.files[0].files) == names(tmp_path / "out")


def test_files_folders_and_patterns_may_be_mixed_and_each_image_comes_once(model, tmp_path):
    one = write_image(tmp_path / "x" / "one.png")
    write_image(tmp_path / "x" / "two.tif")
    other = tmp_path / "x" / ".." / "x" / "one.png"
    inputs = [one, tmp_path / "x", str(tmp_path / "*" / "t*.tif"), other]
    run = segment_files(model, inputs, tmp_path / "out", formats=["labels"])
    assert [path.name for path in run.done] == ["one.png", "two.tif"]


def test_a_second_run_skips_what_is_done_without_loading_the_model(model, tmp_path):
    write_image(tmp_path / "in" / "a.png")
    segment_files(model, [tmp_path / "in"], tmp_path / "out")
    write_image(tmp_path / "in" / "b.png")
    again = Bright()
    run = segment_files(again, [tmp_path / "in"], tmp_path / "out")
    assert ([p.name for p in run.skipped], [p.name for p in run.done]) == (["a.png"], ["b.png"])
    assert again.asked == 1


def test_only_the_missing_formats_are_made(model, tmp_path):
    image = write_image(tmp_path / "a.png")
    segment_files(model, [image], tmp_path / "out", formats=["labels"])
    stamp = (tmp_path / "out" / "a_labels.png").stat().st_mtime_ns
    run = segment_files(model, [image], tmp_path / "out", formats=["labels", "csv"])
    assert [path.name for path in run.files[0].files] == ["a_objects.csv"]
    assert (tmp_path / "out" / "a_labels.png").stat().st_mtime_ns == stamp


def test_overwrite_makes_results_again(model, tmp_path):
    image = write_image(tmp_path / "a.png")
    segment_files(model, [image], tmp_path / "out")
    run = segment_files(model, [image], tmp_path / "out", overwrite=True)
    assert run.done == [image]
    assert model.asked == 2


def test_a_broken_image_is_reported_and_the_rest_is_done(model, tmp_path):
    write_image(tmp_path / "in" / "a.png")
    broken = write_image(tmp_path / "in" / "b.png")
    broken.write_bytes(broken.read_bytes()[:60])
    write_image(tmp_path / "in" / "c.png")
    run = segment_files(model, [tmp_path / "in", tmp_path / "gone.png"], tmp_path / "out")
    assert [path.name for path in run.done] == ["a.png", "c.png"]
    assert [path.name for path, _ in run.failed] == ["b.png", "gone.png"]
    assert all(
        name in why for name, (_, why) in zip(("b.png", "gone.png"), run.failed, strict=True)
    )
    assert all("\n" not in why for _, why in run.failed)


def test_strict_stops_at_the_first_broken_image(model, tmp_path):
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(CongealError, match="expected an image"):
        segment_files(model, [tmp_path / "a.png"], tmp_path / "out", strict=True)


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (MemoryError(), "not enough memory"),
        (RuntimeError("CUDA out of memory.\nTried to"), "not enough memory"),
        (RuntimeError("shapes\n do not fit"), "RuntimeError: shapes do not fit"),
    ],
)
def test_a_model_that_fails_on_one_image_goes_on_with_the_next(tmp_path, raised, said):
    class Fails(Bright):
        def segment(self, image):
            if self.asked == 0:
                self.asked += 1
                raise raised
            return super().segment(image)

    images = [write_image(tmp_path / name) for name in ("a.png", "b.png")]
    run = segment_files(Fails(), images, tmp_path / "out")
    assert run.failed[0][1].startswith(said)
    assert run.done == [images[1]]


def test_each_outcome_is_told_as_it_comes(model, tmp_path):
    images = [write_image(tmp_path / name) for name in ("a.png", "b.png")]
    told = []
    run = segment_files(model, images, tmp_path / "out", on_file=told.append)
    assert told == run.files
    assert all(outcome.seconds > 0 for outcome in told)


# Images of one name


def test_images_of_one_name_in_two_folders_get_a_result_each(model, tmp_path):
    first = write_image(tmp_path / "a" / "x.png", 1)
    second = write_image(tmp_path / "b" / "x.png", 2)
    segment_files(model, [first, second], tmp_path / "out", formats=["labels"])
    assert names(tmp_path / "out") == ["a_x_labels.png", "b_x_labels.png"]
    found = np.asarray(Image.open(tmp_path / "out" / "b_x_labels.png"))
    assert found.max() == 2


def test_images_that_differ_in_their_ending_get_a_result_each(model, tmp_path):
    write_image(tmp_path / "a" / "x.png")
    write_image(tmp_path / "a" / "x.tif")
    segment_files(model, [tmp_path / "a"], tmp_path / "out", formats=["labels"])
    assert names(tmp_path / "out") == ["x_png_labels.png", "x_tif_labels.png"]


def test_names_that_differ_only_in_case_get_a_result_each(model, tmp_path):
    images = [write_image(tmp_path / "a" / "x.png"), write_image(tmp_path / "b" / "X.png")]
    segment_files(model, images, tmp_path / "out", formats=["labels"])
    assert names(tmp_path / "out") == ["a_x_labels.png", "b_X_labels.png"]


def test_deep_folders_of_one_name_are_told_apart_by_those_above(model, tmp_path):
    images = [write_image(tmp_path / side / "1" / "x.png") for side in ("l", "r")]
    segment_files(model, images, tmp_path / "out", formats=["labels"])
    assert names(tmp_path / "out") == ["l_1_x_png_labels.png", "r_1_x_png_labels.png"]


def test_paths_that_spell_the_same_get_a_result_each(model, tmp_path):
    images = [write_image(tmp_path / "a_b" / "c" / "x.png"), write_image(tmp_path / "a_b_c.png")]
    images += [write_image(tmp_path / "a" / "b_c" / "x.png")]
    run = segment_files(model, images, tmp_path / "out", formats=["labels"])
    assert len(run.done) == len(names(tmp_path / "out")) == 3


def test_a_later_run_over_another_folder_does_not_take_a_name_that_is_used(model, tmp_path):
    write_image(tmp_path / "a" / "x.png", 1)
    write_image(tmp_path / "b" / "x.png", 2)
    for folder in ("a", "b", "a", "b"):
        run = segment_files(model, [tmp_path / folder], tmp_path / "out", formats=["labels"])
    assert names(tmp_path / "out") == ["b_x_labels.png", "x_labels.png"]
    assert run.skipped == [tmp_path / "b" / "x.png"]


def test_a_project_moved_as_a_whole_still_knows_what_is_done(model, tmp_path):
    write_image(tmp_path / "old" / "in" / "x.png")
    segment_files(model, [tmp_path / "old" / "in"], tmp_path / "old" / "out")
    (tmp_path / "old").rename(tmp_path / "new")
    run = segment_files(model, [tmp_path / "new" / "in"], tmp_path / "new" / "out")
    assert len(run.skipped) == 1


def test_results_among_the_images_are_not_segmented(model, tmp_path):
    write_image(tmp_path / "x.png")
    for _ in range(2):
        run = segment_files(model, [tmp_path], tmp_path)
    assert run.skipped == [tmp_path / "x.png"]
    assert names(tmp_path) == ["x.png", "x_labels.png", "x_overlay.png"]
    (tmp_path / "x.png").unlink()
    with pytest.raises(CongealError, match="only results"):
        input_files([tmp_path], tmp_path)


# Results that are not those of this run


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Two model folders, told apart by their fingerprint; loading gives a stand-in."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        config = {"format": 1, "method": "rpe", "settings": {}, "weights": name}
        (tmp_path / name / "config.json").write_text(json.dumps(config))
        (tmp_path / name / "model.safetensors").write_bytes(b"")
    monkeypatch.setattr(single_module, "load", lambda path, device, settings: Bright())
    return tmp_path / "one", tmp_path / "two"


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
    source = str(Path(__file__).parents[1] / "src")
    environment = {**os.environ, "PYTHONPATH": source, "OMP_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=100
    )
    assert done.stdout == "[(64, 64)]\n", done.stderr


# Several images in Python


def test_a_list_or_a_folder_gives_a_list(model, tmp_path):
    paths = [write_image(tmp_path / f"{k}.png", k) for k in (1, 2, 3)]
    assert [len(found) for found in segment(model, tmp_path)] == [1, 2, 3]
    assert [len(found) for found in segment(model, str(tmp_path / "*.png"))] == [1, 2, 3]
    mixed = segment(model, [paths[2], np.zeros((5, 6))])
    assert [found.shape for found in mixed] == [(20, 30), (5, 6)]


@pytest.mark.parametrize(
    "given", [[], 3, np.zeros((8, 64, 64)), [[1, 2]], [np.zeros((2, 4, 5, 3))]]
)
def test_what_is_no_list_of_images_is_told_in_one_line(model, given):
    with pytest.raises(CongealError, match="expected") as error:
        segment(model, given)
    one_line(error)


def test_a_result_knows_its_image(model, tmp_path):
    found = segment(model, write_image(tmp_path / "a.png"))
    with Image.open(found.save(tmp_path / "x_overlay.png")) as picture:
        assert picture.size == (30, 20)
    document = json.loads(found.save(tmp_path / "x.json").read_text())
    assert document["images"][0]["file_name"] == "a.png"
    again = pickle.loads(pickle.dumps(found.select([0])))
    assert "\na.png,1," in again.save(tmp_path / "x.csv").read_text()


# Memory


def test_an_image_larger_than_memory_is_told_and_the_next_is_done(model, tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 20 * 30 * 300)
    large = tmp_path / "a.png"
    Image.new("L", (31, 20)).save(large)
    run = segment_files(model, [large, write_image(tmp_path / "b.png")], tmp_path / "out")
    assert [file.state for file in run.files] == ["failed", "done"]
    assert "not enough memory for an image of 20 x 31 pixels" in run.failed[0][1]
    assert model.asked == 1
    model.memory_for = lambda height, width: 0
    assert segment_files(model, [large], tmp_path / "out").done == [large]


def test_the_least_of_machine_and_control_groups_counts(tmp_path):
    def write(name: str, text: str) -> None:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    write("proc/meminfo", "MemTotal: 99 kB\nMemAvailable:  50 kB\n")
    assert memory.available_memory(tmp_path) == 50 * 1024
    write("proc/self/cgroup", "0::/a/b\n")
    write("sys/fs/cgroup/a/b/memory.max", "max\n")
    write("sys/fs/cgroup/a/b/memory.current", "5\n")
    assert memory.available_memory(tmp_path) == 50 * 1024
    write("sys/fs/cgroup/a/memory.max", "9000\n")
    write("sys/fs/cgroup/a/memory.current", "4000\n")
    write("sys/fs/cgroup/a/memory.stat", "anon 1\ninactive_file 1000\n")
    assert memory.available_memory(tmp_path) == 6000
