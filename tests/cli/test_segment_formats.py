"""Formats of what is known of each pixel, as `congeal segment -f` writes them."""

import numpy as np
import pytest
import torch
from cases.registered import register
from PIL import Image
from skimage.measure import label
from torch import nn

from congeal.data.matlab import read_mat
from congeal.methods.method import MapPrediction, Method
from congeal.methods.sections import MethodSettings
from congeal.models import save_model
from congeal.segmentation import Segmentation

NAMES = ("car", "person")


class Everything(Method):
    """Bright patches are cars; where they begin and end, and how sure it is, come with them."""

    name, title, reference = "everything", "Everything", ""
    Config, tasks = MethodSettings, ("instances",)

    def __init__(self, config=None, **settings) -> None:
        super().__init__(config, **settings)
        self.unused = nn.Parameter(torch.zeros(1))

    def losses(self, batch, *, stage="training", progress=1.0, generator=None):
        return {"unused": self.unused.square().sum()}

    def compute_maps(self, image):
        return MapPrediction({"image": torch.from_numpy(image[..., 0].copy())}, image.shape[:2])

    def decode(self, maps, *, keep_embedding=False):
        bright = maps.maps["image"].numpy() > 128
        car = bright.astype(np.float32)
        return Segmentation.from_labels(
            label(bright),
            class_names=NAMES,
            probabilities=np.stack([1 - 0.75 * car, 0.75 * car, 0 * car]),
            boundary=np.pad(np.abs(np.diff(car, axis=1)), ((0, 0), (1, 0))),
        )


@pytest.fixture
def everything(tmp_path, monkeypatch):
    register(monkeypatch, Everything)
    return save_model(Everything(), tmp_path / "everything", card="")


def test_maps_and_benchmark_files_are_written_by_their_names(run, everything, desk):
    kinds = ("semantic", "boundary", "probabilities", "ucm", "cityscapes")
    words = [word for kind in kinds for word in ("-f", kind)]
    result = run("segment", everything, "photos/images/cell1.png", "-o", "out", *words)
    assert result.exit_code == 0, result.output
    bright = np.array(Image.open("photos/images/cell1.png")) > 128

    semantic = np.array(Image.open("out/cell1_semantic.png"))
    np.testing.assert_array_equal(semantic, bright)
    boundary = np.array(Image.open("out/cell1_boundary.png"))
    assert boundary.dtype == np.uint16
    np.testing.assert_array_equal(boundary[:, 1:] == 65535, bright[:, 1:] != bright[:, :-1])
    with np.load("out/cell1_probabilities.npz", allow_pickle=False) as file:
        np.testing.assert_array_equal(file["probabilities"][1], 0.75 * bright)
        assert file["class_names"].tolist() == ["background", *NAMES]
    height, width = bright.shape
    assert read_mat(desk / "out/cell1_ucm.mat", "ucm2").shape == (2 * height + 1, 2 * width + 1)
    lines = (desk / "out/cell1_pred.txt").read_text().splitlines()
    masks = [np.array(Image.open(f"out/{line.split()[0]}")) > 0 for line in lines]
    np.testing.assert_array_equal(np.any(masks, axis=0), bright)
    assert {line.split()[1] for line in lines} == {"26"}  # car


def test_a_format_that_the_model_gives_nothing_for_is_told_in_one_line(run, model, desk):
    result = run("segment", model, "photos/images", "-o", "out", "-f", "labels", "-f", "ucm")
    assert result.exit_code == 2
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert line.endswith("for this model, got ucm, which needs a boundary map")
    assert [path.name for path in (desk / "out").iterdir()] == ["congeal.jsonl"]


def test_after_a_format_that_did_not_fit_the_folder_takes_the_right_one(run, model, desk):
    assert run("segment", model, "photos/images", "-o", "out", "-f", "boundary").exit_code == 2
    assert run("segment", model, "photos/images", "-o", "out").exit_code == 0
    assert len(list((desk / "out").glob("*_labels.png"))) == 4
