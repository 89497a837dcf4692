"""Running commands, and a model that needs no training."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.measure import label
from torch import nn
from typer.testing import CliRunner, Result

from congeal.cli import app
from congeal.methods import MapPrediction, Method, registry
from congeal.methods.sections import MethodSettings
from congeal.models import save_model, shipped
from congeal.segmentation import Segmentation


class Bright(Method):
    """Calls every bright patch an object."""

    name = "bright"
    title = "Bright"
    reference = "none"
    Config = MethodSettings
    tasks = ("instances",)

    def __init__(self, config=None, **settings) -> None:
        super().__init__(config, **settings)
        self.level = nn.Parameter(torch.tensor(128.0))

    def losses(self, batch, *, stage="training", progress=1.0, generator=None):
        return {"level": self.level * batch.image.mean()}

    def compute_maps(self, image):
        gray = torch.from_numpy(image[..., 0].astype(float))
        return MapPrediction({"gray": gray}, image.shape[:2])

    def decode(self, maps, *, keep_embedding=False):
        return Segmentation.from_labels(label((maps.maps["gray"] > self.level).numpy()))


class Registered:
    """What a package's entry point would be."""

    value, module, attr = "stand_in:Bright", "stand_in", "Bright"

    def load(self):
        return Bright


@pytest.fixture
def model(tmp_path, monkeypatch) -> Path:
    """The folder of a model that works."""
    points = {**registry._points(), "bright": Registered()}
    monkeypatch.setattr(registry, "_points", lambda: points)
    return save_model(Bright(), tmp_path / "bright", card="# Bright\n\nFinds what is bright.")


@pytest.fixture
def shelf(model, tmp_path, monkeypatch) -> Path:
    """Shipped models: one, called nuclei."""
    monkeypatch.setattr(shipped, "SHIPPED", tmp_path / "shipped")
    save_model(
        Bright(),
        tmp_path / "shipped" / "nuclei",
        card="# Nuclei",
        what="cell nuclei",
        licence="Apache-2.0",
        metrics={"matching_ap@0.5": 0.87},
    )
    return tmp_path / "shipped"


@pytest.fixture
def desk(tmp_path, monkeypatch) -> Path:
    """A folder to work in, with images and masks in `photos`."""
    work = tmp_path / "desk"
    for index in range(4):
        write_pair(work / "photos", f"cell{index}", patches=index + 1)
    monkeypatch.chdir(work)
    return work


@pytest.fixture
def run():
    """Run a command: `run("models", "--json")`."""

    def call(*words: object) -> Result:
        return CliRunner().invoke(app, [str(word) for word in words])

    return call


@pytest.fixture
def said(run):
    """Run a command that has to succeed with --json, and give what it said."""

    def call(*words: object):
        result = run(*words, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    return call


@pytest.fixture
def fails(run):
    """Run a command that has to fail in one line on stderr; give the line."""

    def call(*words: object, code: int = 2) -> str:
        result = run(*words)
        assert result.exit_code == code, result.output
        assert result.stdout == ""
        lines = result.stderr.splitlines()
        assert len(lines) == 1, result.stderr
        assert lines[0].startswith("error: ")
        return lines[0]

    return call


def write_pair(root: Path, name: str, patches: int) -> None:
    """Write an image of bright patches and its label map."""
    labels = np.zeros((24, 40), np.uint8)
    for patch in range(patches):
        labels[6:18, 10 * patch + 1 : 10 * patch + 9] = patch + 1
    for folder_name, pixels in (("images", (labels > 0) * np.uint8(200)), ("masks", labels)):
        (root / folder_name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(root / folder_name / f"{name}.png")


@pytest.fixture
def environment() -> dict[str, str]:
    """What a subprocess needs to run congeal quietly from any folder."""
    source = str(Path(__file__).parents[2] / "src")
    return {**os.environ, "PYTHONPATH": source, "OMP_NUM_THREADS": "1"}
