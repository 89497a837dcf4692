"""A stranger's package with three methods, and a shell in which it is installed.

The package is a folder on PYTHONPATH: the toy of the documentation, a method with two stages, one
for boundaries and proposals, and the entry points that name them. Neither congeal nor the process
of the tests knows any of it.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from cases.discs_and_squares import DiscsAndSquares
from PIL import Image

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "how-to" / "add-a-method.md"
ENTRY_POINTS = "[congeal.methods]\ntoy = toy:Toy\ntwo-stage = two_stage:TwoStage\n"
ENTRY_POINTS += "lines = lines:Lines\n"


def toy_source():
    """The toy as the page shows it."""
    return re.search(r"^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)[1]


class Shell:
    """Runs `congeal` commands in a folder, each in a process of its own.

    Attributes:
        folder: that they run in.
    """

    def __init__(self, package, folder):
        self.folder = folder
        paths = [str(package), str(ROOT / "src"), str(ROOT / "tests")]
        quiet = {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)}
        self.server = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("commands.py")],
            cwd=folder,
            env={**os.environ, **quiet},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.said = folder / "said.txt"

    def start(self, *words, module="congeal.cli", **environment):
        """Begin a command and give the number of its process."""
        order = [module, [str(word) for word in words], str(self.said), environment]
        print(json.dumps(order), file=self.server.stdin, flush=True)
        return int(self.server.stdout.readline())

    def wait(self):
        """Exit code of the command that was begun; negative for a signal."""
        return int(self.server.stdout.readline())

    def run(self, *words, code=0, **more):
        """Run a command to its end, which has to be `code`, and give what it said."""
        self.start(*words, **more)
        found = self.wait()
        said = self.said.read_text()
        assert found == code, said[-3000:]
        return said

    def run_json(self, *words):
        """The JSON that a command prints, whatever a busy machine says of its progress before."""
        said = self.run(*words)
        return json.loads(said[re.search(r"^[\[{]", said, re.MULTILINE).start() :])

    def close(self):
        self.server.stdin.close()
        self.server.stdout.close()
        self.server.wait()


def wait_for(path, seconds=60):
    """Until a file is there."""
    end = time.monotonic() + seconds
    while not path.exists() and time.monotonic() < end:
        time.sleep(0.002)
    assert path.exists()


@pytest.fixture(scope="session")
def package(tmp_path_factory):
    """The folder of the stranger's package."""
    folder = tmp_path_factory.mktemp("package")
    (folder / "toy.py").write_text(toy_source())
    for name in ("two_stage.py", "lines.py"):
        shutil.copy(Path(__file__).with_name(name), folder)
    about = folder / "toy_methods-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-methods\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(ENTRY_POINTS)
    return folder


@pytest.fixture(scope="session")
def shell(package, tmp_path_factory):
    """A shell in which the package is there."""
    if not hasattr(os, "fork"):
        pytest.skip("needs a system that forks processes")
    shell = Shell(package, tmp_path_factory.mktemp("desk"))
    yield shell
    shell.close()


@pytest.fixture(scope="session")
def folder(shell):
    """Drawn discs and squares as a folder of images, masks and classes, some for validation."""
    home = shell.folder / "shapes"
    for split, count in (("train", 4), ("val", 2)):
        for sample in DiscsAndSquares(split, count, 64):
            maps = {"images": sample.image, "masks": sample.labels, "semantic": sample.semantic}
            for kind, pixels in maps.items():
                (home / kind / split).mkdir(parents=True, exist_ok=True)
                path = home / kind / split / f"{sample.name}.png"
                Image.fromarray(pixels.astype(np.uint8)).save(path)
    (home / "classes.txt").write_text("background\ndisc\nsquare\n")
    return home


@pytest.fixture(scope="session")
def until():
    """`until(path)` waits for a file."""
    return wait_for
