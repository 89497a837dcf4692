"""Running commands, and a model that needs no training."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from cases.patches import Untrained
from cases.registered import register
from PIL import Image
from skimage.measure import label
from typer.testing import CliRunner, Result

from congeal.cli import app
from congeal.methods.sections import MethodSettings
from congeal.models import save_model, shipped
from congeal.segmentation import Segmentation
from congeal.settings import setting


class BrightConfig(MethodSettings):
    """Its settings."""

    level: float = setting(128.0, "intensity of objects", adjustable=True)


class Bright(Untrained):
    """Calls every bright patch an object."""

    name, title, reference, Config = "bright", "Bright", "", BrightConfig

    def decode(self, maps, *, keep_embedding=False):
        bright = maps.maps["image"].numpy() > self.config.level
        return Segmentation.from_labels(label(bright))

    def segment(self, image, *, keep_embedding=False):
        return self.decode(self.predict_maps(image))


@pytest.fixture
def model(tmp_path, monkeypatch) -> Path:
    """The folder of a model that works."""
    register(monkeypatch, Bright)
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


@pytest.fixture(scope="session")
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
