"""A wheel of this tree holds all of the package and works without the tree."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.slow


def call(*command: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command that does not find the tree by its own means."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [str(word) for word in command], cwd=folder, env=clean, capture_output=True, text=True
    )


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree; hatchling is taken from here, or else by pip from an index."""
    folder = tmp_path_factory.mktemp("wheel")
    here = importlib.util.find_spec("hatchling") is not None
    options = ["--no-deps", "--wheel-dir", str(folder)] + ["--no-build-isolation"] * here
    search = {**os.environ, "PIP_RETRIES": "0", "PIP_DEFAULT_TIMEOUT": "10"}
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", *options, str(ROOT)],
        env=search,
        capture_output=True,
        text=True,
    )
    if done.returncode and not here:
        pytest.skip("hatchling is not installed, and pip could not get it")
    assert done.returncode == 0, done.stderr
    (made,) = folder.glob("congeal-*.whl")
    return made


@pytest.fixture(scope="session")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel; what congeal needs is found where it is installed."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    install = ("-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel)
    done = call(sys.executable, *install, folder=folder)
    assert done.returncode == 0, done.stderr
    # Only now, since pip would take a congeal found there for its own. The .pth files inside of
    # the folder, such as that of an editable install of the tree, are not read from here.
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "needs.pth").write_text(sysconfig.get_paths()["purelib"], encoding="utf-8")
    return folder


def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(
        ["git", "ls-files", "src/congeal"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    tracked = {name.removeprefix("src/") for name in listed if (ROOT / name).is_file()}
    assert tracked <= set(zipfile.ZipFile(wheel).namelist())


@pytest.mark.skipif(sys.platform == "win32", reason="programs lie elsewhere on Windows")
def test_the_installed_wheel_segments_with_the_model_that_ships(
    environment: Path, tmp_path: Path
) -> None:
    where = call(
        environment / "bin/python", "-c", "import congeal; print(congeal.__file__)", folder=tmp_path
    )
    assert Path(where.stdout.strip()).is_relative_to(environment), where.stderr
    image = np.full((64, 64), 20, np.uint8)
    image[10:26, 8:24] = image[36:54, 34:52] = 200
    Image.fromarray(image).save(tmp_path / "photo.png")
    done = call(
        environment / "bin/congeal", "segment", "photo.png", "--format", "labels", folder=tmp_path
    )
    assert done.returncode == 0, done.stderr
    labels = np.asarray(Image.open(tmp_path / "segmented/photo_labels.png"))
    assert labels[18, 16] != labels[45, 43]
    assert labels[18, 16] > 0
    assert labels[45, 43] > 0
