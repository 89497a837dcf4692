"""One training at a time in a folder, and none that goes on with another's data."""

import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from congeal.data import DrawnDataset, Subset
from congeal.errors import CongealError
from congeal.files import lock_folder
from congeal.models import load


def test_a_folder_that_another_process_trains_into_is_refused_in_one_line(brief, tmp_path):
    output = tmp_path / "model"
    refusal = pytest.raises(CongealError, match=r"another congeal process \(pid")
    with lock_folder(output), refusal as told:
        brief(output, epochs=1)
    assert "\n" not in str(told.value)
    assert not (output / "config.json").exists()
    brief(output, epochs=1)  # free again
    assert not (output / ".congeal.lock").exists()


def test_the_folder_is_held_for_the_whole_training(brief, eventful, tmp_path):
    output, seen = tmp_path / "model", []

    def look():
        with pytest.raises(CongealError, match="another congeal process"), lock_folder(output):
            pass
        seen.append(True)

    brief(output, eventful({1: look, 24: look}))
    assert seen == [True, True]


@pytest.mark.skipif(os.name != "posix", reason="forks")
def test_a_loader_that_outlives_a_killed_training_does_not_hold_its_folder(tmp_path):
    script = (
        "import os, signal, sys, time\n"
        "from congeal.files import lock_folder\n"
        "with lock_folder(sys.argv[1]):\n"
        "    if os.fork() == 0:\n"
        "        print(os.getpid(), flush=True)\n"
        "        time.sleep(60)\n"
        "        os._exit(0)\n"
        "    time.sleep(60)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script, tmp_path], stdout=subprocess.PIPE, text=True
    )
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    try:
        with lock_folder(tmp_path):
            pass
    finally:
        os.kill(child, 9)


def test_parts_that_a_killed_training_left_are_removed_at_the_start(brief, tmp_path):
    output = tmp_path / "model"
    (output / "checkpoints").mkdir(parents=True)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    parts = [
        folder / f".{gone.pid}-0123abcd.part{suffix}"
        for folder, suffix in ((output, ".json"), (output / "checkpoints", ".ckpt"))
    ]
    for part in parts:
        part.write_text("half")
        os.utime(part, (time.time() - 7200,) * 2)
    brief(output, epochs=1)
    assert not any(part.exists() for part in parts)


class Renamed(Subset):
    """The same drawings by other names."""

    def names(self):
        return [f"other {name}" for name in super().names()]


@pytest.mark.parametrize(
    ("change", "said"),
    [({"seed": 1}, "training.seed was 0, is 1"), ({"batch_size": 4}, "batch_size was 2, is 4")],
)
def test_resuming_with_other_settings_is_refused_in_one_line(brief, tmp_path, change, said):
    output = brief(tmp_path / "model", epochs=1)
    before = (output / "config.json").read_bytes()
    with pytest.raises(CongealError, match=said) as told:
        brief(output, resume=True, **{"epochs": 2, **change})
    assert "\n" not in str(told.value)
    assert (output / "config.json").read_bytes() == before


def test_resuming_with_other_images_of_the_same_number_is_refused(brief, tmp_path):
    data = DrawnDataset("sticks", "train", count=4, size=96)
    output = brief(tmp_path / "model", data, epochs=1)
    with pytest.raises(CongealError, match="names of the images was"):
        brief(output, Renamed(data, range(4)), resume=True, epochs=2)


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes")
def test_images_with_names_that_are_no_utf8_are_trained_on(brief, tmp_path):
    for part in (b"images", b"masks"):
        folder = os.fsencode(tmp_path / "data") + b"/" + part
        os.makedirs(folder)
        for name in (b"zelle\xe9", b"b", b"c"):
            pixels = np.zeros((40, 40), np.uint8)
            pixels[5:20, 5:20] = 1 if part == b"masks" else 90
            Image.fromarray(pixels).save(tmp_path / "x.png")
            os.rename(tmp_path / "x.png", folder + b"/" + name + b".png")
    output = brief(tmp_path / "model", str(tmp_path / "data"), val=None, epochs=2)
    assert load(output)
    assert json.loads((output / "config.json").read_text())["training"]["images"] >= 1
    assert load(brief(output, str(tmp_path / "data"), val=None, epochs=3, resume=True))
