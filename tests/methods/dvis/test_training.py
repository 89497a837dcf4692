"""From the command line: train, kill, resume, segment, evaluate; and images that have little."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from congeal.cli import app
from congeal.data import Dataset
from congeal.data.sample import Sample
from congeal.methods.dvis import DVIS
from congeal.methods.registry import method_names
from congeal.models import load
from congeal.training import train

pytestmark = pytest.mark.skipif(
    "dvis" not in method_names(), reason="install the package again: its methods have changed"
)

SOURCE = str(Path(__file__).parents[3] / "src")

# Ten steps, the first four without candidates; a checkpoint after every second.
TRAIN = ["train", "discs", "--method", "dvis", "--epochs", "5", "--batch-size", "2", "--crop", "32"]
TRAIN += ["--device", "cpu"]
for setting in (
    "steps_per_epoch=2", "validation_images=1", "workers=0", "keep=last", "overlays=false",
    "tuning_share=0", "cpu_replicas=1", "verification_width=8", "window=9", "centre=2",
):  # fmt: skip
    TRAIN += ["--set", setting]

# The command, once for each step that it is killed in.
VICTIMS = """
import os, signal, sys
import lightning
from congeal.cli import app
from congeal.methods.dvis import DVIS
usual, calls = DVIS.losses, []
def losses(self, *args, **kwargs):
    calls.append(0)
    if len(calls) == at:
        os.kill(os.getpid(), signal.SIGKILL)
    return usual(self, *args, **kwargs)
DVIS.losses = losses
steps, folder, *words = sys.argv[1:]
for at in map(int, steps.split()):
    child = os.fork()
    if not child:
        app([*words, "-o", f"{folder}/{at}"])
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
"""
APART = ("--set", "joint=false")  # seven steps of the map and three of the verification
MODES = {"together": (), "one after the other": APART}
KILLED_IN = (4, 10)  # before there are candidates and after, in either mode


def run(*words):
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return result.output


def logged(folder):
    with (folder / "log.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="session")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session", params=MODES)
def mode(request):
    return MODES[request.param]


@pytest.fixture(scope="session")
def unbroken(tmp_path_factory, one_thread, mode):
    folder = tmp_path_factory.mktemp("unbroken") / "model"
    run(*TRAIN, *mode, "-o", folder)
    return folder


def test_the_log_holds_every_term_under_its_name(unbroken):
    columns = {name for row in logged(unbroken) for name, value in row.items() if value}
    terms = {"binary", "permutation", "mumford_shah", "quantisation", "class", "iou"}
    assert terms <= columns


def test_the_model_segments_and_is_evaluated(unbroken, tmp_path):
    from skimage.io import imsave

    image = np.zeros((37, 50, 3), np.uint8)
    image[8:20, 10:30] = 200
    imsave(tmp_path / "one.png", image, check_contrast=False)
    run("segment", unbroken, tmp_path / "one.png", "-o", tmp_path / "found")
    assert any((tmp_path / "found").iterdir())
    run("evaluate", unbroken, "discs", "--limit", 2, "-o", tmp_path / "evaluation")
    page = (tmp_path / "evaluation" / "report.html").read_text()
    for step in ("value map", "levels", "bandwidth 0.9", "bandwidth 0.4", "accepted", "rejected"):
        assert step in page


def short(data, folder, *more):
    """Four updates, the last in the second stage, on a pack or drawn scenes."""
    words = [*TRAIN, "--epochs", "2", "--crop", "64", *more]
    words[1] = data
    run(*words, "-o", folder)
    return load(folder)


@pytest.mark.parametrize("name", ["nuclei", "cables", "strokes", "coco_mini", "coco_mini:super"])
def test_every_pack_of_objects_trains_to_a_model_of_its_classes(
    name, pack, one_thread, tmp_path, monkeypatch
):
    from congeal.data import open_dataset

    monkeypatch.setenv("CONGEAL_DATA", str(pack(name.split(":")[0]).parent))
    found = short(name, tmp_path / "model")
    data = open_dataset(name, "train")
    assert found.config.class_names == (tuple(data.class_names[1:]) or ("object",))
    assert bool(found.verified)
    image = data[0].image
    assert found.segment(image).shape == image.shape[:2]


def test_drawn_shapes_train_by_the_papers_settings_with_any_encoder_of_timm(one_thread, tmp_path):
    pytest.importorskip("timm")
    encoder = ("--set", "encoder=resnet10t", "--set", "pretrained=false")
    found = short("shapes", tmp_path / "model", "--preset", "paper", *encoder)
    assert found.config.class_names == ("disc", "square", "triangle", "star")
    assert found.config.network.stride == 4
    assert found.config.network.coordinates == "none"
    assert bool(found.verified)


def test_threshold_and_a_are_chosen_on_validation_by_the_training_and_stored(
    one_thread, tmp_path, monkeypatch
):
    """A search in which a low threshold and a large a win, whatever the images."""
    from congeal.training import tuning

    usual = tuning._Search.score

    def score(self, settings):
        usual(self, settings)
        decoding = self.original.updated(settings).decoding
        return 100 * (decoding.iou_share - decoding.min_score)

    monkeypatch.setattr(tuning._Search, "score", score)
    found = short("shapes", tmp_path / "model", "--set", "tuning_share=0.1")
    assert found.config.decoding.iou_share == 1.0
    assert found.config.decoding.min_score == 0.0
    assert load(tmp_path / "model").config.decoding == found.config.decoding


@pytest.fixture(scope="session")
def killed(tmp_path_factory, one_thread, mode):
    """Where the trainings are that were killed, each in a folder of the step's number."""
    folder = tmp_path_factory.mktemp("killed")
    steps = " ".join(map(str, KILLED_IN))
    subprocess.run(
        [sys.executable, "-c", VICTIMS, steps, folder, *TRAIN, *mode],
        env={**os.environ, "PYTHONPATH": SOURCE, "OMP_NUM_THREADS": "1"},
        check=True, stdout=subprocess.DEVNULL, timeout=1800,
    )  # fmt: skip
    return folder


@pytest.mark.skipif(os.name != "posix", reason="needs kill -9")
@pytest.mark.parametrize("step", KILLED_IN)
def test_killed_before_or_among_candidates_a_training_resumes_to_the_same_weights(
    step, killed, unbroken, mode
):
    folder = killed / str(step)
    before, after = ("map", "verification") if mode else ("joint", "joint")
    assert logged(folder)[-1]["stage"] == (before if step == KILLED_IN[0] else after)
    run(*TRAIN, *mode, "-o", folder, "--resume")
    found, expected = load(folder).state_dict(), load(unbroken).state_dict()
    assert [name for name in expected if not torch.equal(found[name], expected[name])] == []
    assert bool(found["verified"])


class Cases(Dataset):
    """Images of one kind: empty, all one object, one object, objects of a pixel."""

    split = "train"

    def __init__(self, kind):
        self.name = self.kind = kind

    def __len__(self):
        return 4

    def __getitem__(self, index):
        labels = np.zeros((48, 48), np.int64)
        if self.kind == "whole":
            labels[:] = 1
        elif self.kind == "one":
            labels[10:30, 12:36] = 1
        elif self.kind == "pixels":
            labels[::12, ::12] = np.arange(1, 17).reshape(4, 4)
        noise = np.random.default_rng(index).integers(0, 40, labels.shape)
        image = np.where(labels > 0, 200, 20) + noise * (self.kind != "background")
        return Sample(f"{index}", image.astype(np.uint8)[..., None], labels)

    def names(self):
        return [str(index) for index in range(4)]


@pytest.mark.parametrize(
    ("kind", "channels"),
    [("empty", 1), ("background", 1), ("whole", 1), ("one", 1), ("pixels", 1), ("pixels", 2)],
)
def test_images_that_have_little_train_to_finite_weights(kind, channels, one_thread, tmp_path):
    torch.manual_seed(0)
    model = DVIS(
        verification_width=8, window=17, centre=3, min_area=0, foreground_threshold=0.05,
        **{"network.channels": channels},
    )  # fmt: skip
    data = Cases(kind)
    folder = train(
        model, data, output=tmp_path / "model", val=Cases("one"), epochs=1, steps_per_epoch=6,
        batch_size=2, crop=32, workers=0, device="cpu", validation_images=1, tuning_share=0,
        overlays=False,
    )  # fmt: skip
    assert all(torch.isfinite(x).all() for x in load(folder).state_dict().values())
    values = [float(row["loss"]) for row in logged(folder) if row["loss"]]
    assert np.isfinite(values).all()
    result = load(folder).segment(data[0].image)
    assert result.shape == (48, 48)
