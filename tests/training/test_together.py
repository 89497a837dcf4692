"""Several processes: what they compute together is what one would have computed alone."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cases.shared_steps import variants

from congeal import train
from congeal.data import DrawnDataset
from congeal.errors import CongealError
from congeal.models import load, read_config
from congeal.training import TrainConfig
from congeal.training.failures import LostProcessError, lost_processes
from congeal.training.together import settle_processes, training_settings

TESTS = Path(__file__).parents[1]
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join([str(TESTS.parent / "src"), str(TESTS)]),
    "OMP_NUM_THREADS": "1",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
}
# A training of a few updates, by a plain gradient: the first steps of others are of one size,
# whatever the gradient, and so make much of rounding.
SHORT = ["--method", "discriminative", "--from-scratch", "--crop", "64", "--device", "cpu"]
SHORT += ["--epochs", "1", "--precision", "32"]
for one in (
    "optimizer=sgd",
    "learning_rate=0.01",
    "steps_per_epoch=2",
    "accumulate=2",
    "warmup=1",
    "validation_images=2",
    "workers=0",
    "threads=1",
    "cpu_replicas=1",
    "keep=last",
):
    SHORT += ["--set", one]


def start(*words, **how):
    command = [sys.executable, "-m", *map(str, words)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=ENVIRONMENT, **pipes, **how)


def finish(process, code=0):
    stdout, stderr = process.communicate(timeout=600)
    assert process.returncode == code, stderr
    return stdout, stderr


@pytest.fixture(scope="session")
def compared(tmp_path_factory):
    """How far apart steps together and steps alone are, by method."""
    path = tmp_path_factory.mktemp("compared") / "found.json"
    torchrun = ("torch.distributed.run", "--standalone", "--nproc-per-node", 2)
    finish(start(*torchrun, "-m", "cases.shared_steps", path))
    return json.loads(path.read_text())


@pytest.mark.parametrize("name", variants())
def test_two_processes_compute_what_one_would_with_the_whole_batch(compared, name):
    apart = compared[name]
    assert apart["largest gradient"] > 1e-6
    assert apart["loss"] < 1e-9
    assert apart["gradient"] < 1e-7
    assert apart["buffers"] < 1e-9  # batch norm, and what is remembered


@pytest.fixture(scope="session")
def pair(tmp_path_factory):
    """Folders of a training by one process, and by two with half the batch each; what was said."""
    home = tmp_path_factory.mktemp("pair")
    words = ("congeal.cli", "train", "shapes", *SHORT)
    finish(start(*words, "-o", home / "one", "--batch-size", 4))
    said = finish(start(*words, "-o", home / "two", "--batch-size", 2, "--devices", 2))
    return home / "one", home / "two", said


def losses(folder):
    with (folder / "log.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def test_the_log_is_that_of_one_process(pair):
    one, two = map(losses, pair[:2])
    assert len(one) == len(two) >= 2
    for mine, its in zip(one, two, strict=True):
        assert list(mine) == list(its)
        for name in mine:
            if mine[name] and name != "stage":
                assert float(its[name]) == pytest.approx(float(mine[name]), rel=1e-4), name


def test_the_weights_are_those_of_one_process(pair):
    one, two = (load(folder).state_dict() for folder in pair[:2])
    for name, value in one.items():
        assert (value.double() - two[name].double()).abs().max() < 1e-4, name


def test_only_the_first_process_prints_and_writes(pair):
    one, two, (stdout, stderr) = pair
    assert stdout.count("model:") == 1
    assert stderr.count("--print-config") == 1
    files = [sorted(p.relative_to(f) for p in f.rglob("*") if p.suffix) for f in (one, two)]
    # Each process validates images of its own, and the first one draws its own.
    names = [[p for p in found if p.suffix not in (".0", ".png")] for found in files]
    assert names[0] == names[1]
    assert list((two / "overlays").iterdir())
    assert len(list((two / "tensorboard").glob("*tfevents*"))) == 1
    assert read_config(two).training["devices"] == 2


@pytest.mark.slow
def test_a_process_that_is_killed_ends_all_and_the_training_can_be_resumed(tmp_path):
    words = ["congeal.cli", "train", "shapes", *SHORT, "-o", tmp_path / "m", "--batch-size", 2]
    words += ["--devices", 2, "--epochs", 500, "--set", "overlays=false"]
    process = start(*words)
    while process.poll() is None and not (tmp_path / "m/checkpoints/last.ckpt").exists():
        time.sleep(0.2)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(children[1]), signal.SIGKILL)
    stderr = finish(process, code=2)[1]
    errors = [line for line in stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 1, stderr
    assert "process 2 of 2 was killed by SIGKILL" in errors[0]
    assert "Traceback" not in stderr
    before = len(losses(tmp_path / "m"))
    words[words.index(500)] = 1
    finish(start(*words, "--resume"))
    assert len(losses(tmp_path / "m")) >= before


def environment(monkeypatch, world, local):
    told = {"RANK": 0, "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": local, "MASTER_ADDR": "localhost"}
    for name, value in told.items():
        monkeypatch.setenv(name, str(value))


def test_what_was_started_is_compared_with_what_is_asked_for(monkeypatch):
    alone = settle_processes(TrainConfig())
    assert (alone.devices, alone.nodes) == (1, 1)
    with pytest.raises(
        CongealError, match="got one; start them with torchrun --nnodes 3 --nproc-per-node 2"
    ):
        settle_processes(TrainConfig(devices=2, nodes=3))
    environment(monkeypatch, world=6, local=2)
    for asked in ({}, {"devices": 2, "nodes": 3}):
        found = settle_processes(TrainConfig(**asked))
        assert (found.devices, found.nodes) == (2, 3)
    with pytest.raises(
        CongealError, match="expected 3 processes on each of 2 nodes, got 2 on each of 3"
    ):
        settle_processes(TrainConfig(devices=3, nodes=2))


def test_several_devices_without_torchrun_are_told_in_one_line(tmp_path):
    with pytest.raises(CongealError, match="got one; start them with torchrun --nproc-per-node 2"):
        train("rpe", DrawnDataset("discs", count=4, size=64), output=tmp_path / "m", devices=2)
    assert not (tmp_path / "m").exists()


def test_a_lost_process_is_told_in_one_line():
    told = "another process of this training has ended"
    with pytest.raises(LostProcessError, match=told), lost_processes():
        raise RuntimeError("[../gloo/transport/tcp/pair.cc:547] Connection closed by peer")
    with pytest.raises(RuntimeError, match="sizes"), lost_processes():
        raise RuntimeError("sizes differ")


def test_settings_are_found_however_they_are_named():
    given = {"training": {"devices": 2, "device": "cpu"}, "training.nodes": 2, "margin": 0.4}
    found = training_settings(given, "devices", "nodes", "device", "seed")
    assert found == {"devices": 2, "nodes": 2, "device": "cpu"}
