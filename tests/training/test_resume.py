import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch.utils.data import get_worker_info

from congeal.data import DrawnDataset
from congeal.errors import CongealError
from congeal.methods.rpe import RPE
from congeal.models import load
from congeal.training import run_training

# Runs the training of conftest.py in a process of its own, which hangs in the middle of the
# fourth of six epochs, at the third of its four readings.
VICTIM = """
import importlib.util, sys
where, output, marker = sys.argv[1:]
spec = importlib.util.spec_from_file_location("conftest", where)
shared = importlib.util.module_from_spec(spec)
spec.loader.exec_module(shared)
shared.torch.set_num_threads(1)
at = 3 * shared.STEPS * shared.BATCH + 3
shared.small_training(output, shared.Eventful({at: lambda: shared.hang(marker)}))
"""


# Settings of the model of conftest.py.
SMALL = {"dimensions": 4, "samples": 64, "min_area": 4}


def weights(folder):
    return load(folder).state_dict()


def last_checkpoint(folder):
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


def assert_same_weights(folder, other):
    """To the last bit, in the model folder and in the checkpoint."""
    pairs = [
        (weights(folder), weights(other)),
        (last_checkpoint(folder)["state_dict"], last_checkpoint(other)["state_dict"]),
    ]
    for found, expected in pairs:
        assert found.keys() == expected.keys()
        assert [n for n in found if not torch.equal(found[n], expected[n])] == []


def steps_logged(folder):
    with (folder / "log.csv").open() as file:
        return [int(row["step"]) for row in csv.DictReader(file)]


def steps_saved(folder):
    return last_checkpoint(folder)["global_step"]


def kill_once_there(process, marker):
    """Kill -9 as soon as the process has reached the marker."""
    deadline = time.monotonic() + 300
    while not marker.exists():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline, "the training never came so far"
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


@pytest.mark.skipif(os.name != "posix", reason="needs kill -9")
def test_after_kill_9_a_resumed_training_ends_with_the_weights_of_an_unbroken_one(
    brief, unbroken, tmp_path
):
    output, marker = tmp_path / "model", tmp_path / "marker"
    source = str(Path(__file__).parents[2] / "src")
    victim = subprocess.Popen(
        [sys.executable, "-c", VICTIM, Path(__file__).with_name("conftest.py"), output, marker],
        env={**os.environ, "PYTHONPATH": source, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    kill_once_there(victim, marker)
    assert steps_saved(output) == 6  # three of six epochs
    brief(output, resume=True)
    assert steps_saved(output) == 12
    assert_same_weights(output, unbroken)
    logged = steps_logged(output)
    assert logged == sorted(logged)
    assert logged[-1] == 12


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_leaves_a_usable_model_and_resuming_changes_no_weight(
    brief, unbroken, eventful, tmp_path
):
    output = brief(tmp_path / "model", eventful({5: interrupt}))  # in the first step of the second
    assert steps_saved(output) == 3
    model = load(output)
    assert model.segment(eventful()[0].image).shape == (96, 96)
    brief(output, resume=True)
    assert steps_saved(output) == 12
    assert_same_weights(output, unbroken)


def test_the_end_of_a_batch_job_leaves_a_usable_model_too(brief, eventful, tmp_path):
    terminate = eventful({5: lambda: os.kill(os.getpid(), signal.SIGTERM)})
    output = brief(tmp_path / "model", terminate)
    assert steps_saved(output) == 3
    assert load(output).segment(eventful()[0].image).shape == (96, 96)


def test_how_a_training_was_stopped_is_told(eventful, tmp_path):
    settings = {"epochs": 2, "batch_size": 2, "crop": 32, "cache_gb": 0, "workers": 0}
    # after the four readings by which the data is looked over
    terminate = eventful({6: lambda: os.kill(os.getpid(), signal.SIGTERM)})
    for data, expected in ((terminate, signal.SIGTERM), (eventful(), None)):
        outcome = run_training(
            RPE(**SMALL), data, output=tmp_path / f"{expected}", settings=settings
        )
        assert outcome.signal == expected


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_after_a_stop_the_signal_means_what_it_did(brief, eventful, tmp_path, number):
    before = signal.getsignal(number)
    brief(tmp_path / "model", eventful({1: lambda: os.kill(os.getpid(), number)}))
    assert signal.getsignal(number) is before


def test_loader_processes_leave_ctrl_c_to_the_training(brief, eventful, tmp_path):
    def interrupt_in_worker():
        if get_worker_info() is not None:
            interrupt()

    output = brief(tmp_path / "model", eventful({2: interrupt_in_worker}), workers=1, epochs=1)
    assert steps_saved(output) == 2


@pytest.fixture
def heeded():
    """Ctrl-C as Python has it; a shell lets what it starts in the background ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeded")
def test_a_second_ctrl_c_is_not_held_back(brief, eventful, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        brief(tmp_path / "model", eventful({1: interrupt, 2: interrupt}))


def test_an_update_is_never_left_half_gathered(brief, eventful, tmp_path):
    whole = brief(tmp_path / "whole", accumulate=2, epochs=2)
    broken = brief(tmp_path / "broken", eventful({5: interrupt}), accumulate=2, epochs=2)
    assert steps_saved(broken) == 2
    brief(broken, accumulate=2, epochs=2, resume=True)
    assert steps_saved(broken) == steps_saved(whole) == 4
    assert_same_weights(broken, whole)


@pytest.mark.parametrize("name", ["muon", "adamw", "sgd"])
def test_the_optimizer_goes_on_from_its_momentum(brief, eventful, tmp_path, name):
    whole = brief(tmp_path / "whole", optimizer=name, epochs=3)
    broken = brief(tmp_path / "broken", eventful({5: interrupt}), optimizer=name, epochs=3)
    assert steps_saved(broken) == 3
    brief(broken, optimizer=name, epochs=3, resume=True)
    assert steps_saved(broken) == steps_saved(whole) == 6
    assert_same_weights(broken, whole)


def test_resuming_what_is_finished_changes_nothing(brief, unbroken, tmp_path):
    folder = shutil.copytree(unbroken, tmp_path / "model")
    brief(folder, resume=True)
    assert_same_weights(folder, unbroken)
    assert steps_logged(folder) == steps_logged(unbroken)


def test_a_training_can_be_made_longer(brief, unbroken, tmp_path):
    folder = shutil.copytree(unbroken, tmp_path / "model")
    brief(folder, resume=True, epochs=7)
    assert steps_saved(folder) == 14


def test_resuming_where_nothing_was_begun_begins(brief, tmp_path):
    assert steps_saved(brief(tmp_path / "model", resume=True, epochs=1)) == 2


def test_killed_before_its_first_checkpoint_a_training_begins_anew(brief, unbroken, tmp_path):
    folder = shutil.copytree(unbroken, tmp_path / "model")
    (folder / "checkpoints" / "last.ckpt").unlink()
    brief(folder, resume=True)
    assert_same_weights(folder, unbroken)


def contents(folder):
    """Every file but the events of TensorBoard, which begins a new one each time."""
    files = [p for p in folder.rglob("*") if p.is_file() and p.parent.name != "tensorboard"]
    return {path: path.read_bytes() for path in files}


def test_a_second_training_into_a_folder_is_refused_and_destroys_nothing(brief, unbroken, tmp_path):
    folder = shutil.copytree(unbroken, tmp_path / "model")
    before = contents(folder)
    with pytest.raises(CongealError, match="already holds a training; continue it with --resume"):
        brief(folder)
    assert contents(folder) == before


@pytest.mark.parametrize("resume", [False, True])
def test_a_finished_model_is_never_trained_over(brief, unbroken, tmp_path, resume):
    folder = shutil.copytree(unbroken, tmp_path / "model")
    shutil.rmtree(folder / "checkpoints")
    before = contents(folder)
    with pytest.raises(CongealError, match="name another folder"):
        brief(folder, resume=resume)
    assert contents(folder) == before


def cut_short(path):
    path.write_bytes(path.read_bytes()[:5000])


def make_foreign(path):
    torch.save({"a": torch.zeros(2)}, path)


def make_text(path):
    path.write_text("hello")


def make_empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("spoil", [cut_short, make_foreign, make_text, make_empty])
def test_a_spoilt_checkpoint_is_told_in_one_line_and_the_model_is_kept(
    brief, unbroken, tmp_path, spoil
):
    folder = shutil.copytree(unbroken, tmp_path / "model")
    spoil(folder / "checkpoints" / "last.ckpt")
    before = contents(folder)
    with pytest.raises(CongealError, match="expected a checkpoint") as caught:
        brief(folder, resume=True, epochs=7)
    assert "\n" not in str(caught.value)
    assert contents(folder) == before


def test_a_checkpoint_of_other_settings_is_told_in_one_line(brief, unbroken, tmp_path):
    folder = shutil.copytree(unbroken, tmp_path / "model")
    said = "expected the settings of the training to resume"
    with pytest.raises(CongealError, match=f"{said}, got a model that differs") as caught:
        brief(folder, model=RPE(dimensions=6, samples=64), resume=True)
    assert "\n" not in str(caught.value)
    with pytest.raises(CongealError, match="optimizer of the training to resume, muon, got sgd"):
        brief(folder, optimizer="sgd", resume=True)
    assert_same_weights(folder, unbroken)


@pytest.mark.parametrize(
    ("data", "settings", "said"),
    [
        (DrawnDataset("discs", "train", count=4, size=96), {}, "data was sticks, is discs"),
        (DrawnDataset("sticks", "train", count=5, size=96), {}, "images was .*, is .*"),
        (None, {"seed": 1}, r"training\.seed was 0, is 1"),
        (None, {"learning_rate": 0.001}, r"training\.learning_rate was None, is 0\.001"),
        (None, {"model": RPE(**SMALL, margin=0.4)}, r"loss\.margin was 0\.5, is 0\.4"),
    ],
)
def test_a_training_is_not_resumed_with_other_data_or_settings(
    brief, unbroken, tmp_path, data, settings, said
):
    folder = shutil.copytree(unbroken, tmp_path / "model")
    before = contents(folder)
    with pytest.raises(CongealError, match=f"to resume: {said}; name another folder") as caught:
        brief(folder, data, resume=True, epochs=7, **settings)
    assert "\n" not in str(caught.value)
    assert contents(folder) == before


def full_disk(*_, **__):
    raise OSError(28, "No space left on device")


def test_a_full_disk_is_told_in_one_line_and_what_was_saved_is_kept(
    brief, unbroken, eventful, tmp_path, monkeypatch
):
    output = tmp_path / "model"
    at = {
        3 * 4 + 1: lambda: monkeypatch.setattr("congeal.training.checkpoint.torch.save", full_disk)
    }
    with pytest.raises(CongealError, match=r"cannot write .*last.ckpt: No space left on device"):
        brief(output, eventful(at))
    monkeypatch.undo()
    assert steps_saved(output) == 6
    assert load(output).config.network.dimensions == 4
    brief(output, resume=True)
    assert_same_weights(output, unbroken)


def test_a_training_killed_while_tuning_is_tuned_when_resumed(brief, tmp_path, monkeypatch):
    def die(*arguments, **options):
        raise KeyboardInterrupt

    whole = brief(tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr("congeal.training.job.tune_decoding", die)
        with pytest.raises(KeyboardInterrupt):
            brief(tmp_path / "cut")
    assert "tuned" not in json.loads((tmp_path / "cut" / "config.json").read_text())["training"]
    brief(tmp_path / "cut", resume=True)
    tuned, expected = (
        json.loads((path / "config.json").read_text())["training"]["tuned"]
        for path in (tmp_path / "cut", whole)
    )
    assert tuned == expected
