"""Reading what a figure wrote."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from congeal.experiments import FigureResult

Table = list[dict[str, str]]


@pytest.fixture(scope="session")
def table() -> Callable[[FigureResult], Table]:
    """Rows of the CSV of a figure, after a look at its picture."""

    def read(made: FigureResult) -> Table:
        picture = np.asarray(Image.open(made.png).convert("L"))
        assert min(picture.shape) > 300
        assert picture.min() < 100  # something is drawn
        with Path(made.csv).open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    return read
