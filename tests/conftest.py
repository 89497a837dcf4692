"""What all tests share: the way to a data pack, and a quiet, reproducible surrounding."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

# Before anything draws or prints: no window, no colour codes, lines that do not depend on the
# terminal the tests happen to run in.
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.update(NO_COLOR="1", TERM="dumb", COLUMNS="120")
os.environ.pop("FORCE_COLOR", None)
# Processes of tests share the cores; threads that wait for each other would take them from all.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parents[1]


def _packs() -> Path:
    """The folder of the data packs; the default is the one the package itself uses."""
    given = os.environ.get("CONGEAL_DATA")
    return Path(given).resolve() if given else (ROOT / "../shared/data").resolve()


@pytest.fixture(scope="session")
def pack() -> Callable[[str], Path]:
    """`pack("nuclei")` is the folder of that data pack; without it the test is skipped."""

    def find(name: str) -> Path:
        folder = _packs() / name
        if not folder.is_dir():
            pytest.skip(f"needs the data pack {name!r} (set CONGEAL_DATA)")
        return folder

    return find


@pytest.fixture(scope="session", autouse=True)
def _packs_are_found_from_any_folder() -> None:
    """Tests may change the working directory; the packs stay where they were."""
    if _packs().is_dir():
        os.environ["CONGEAL_DATA"] = str(_packs())
