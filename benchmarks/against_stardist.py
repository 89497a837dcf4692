"""StarDist and congeal on the same images for the same minutes, one after the other.

    python benchmarks/against_stardist.py [--data nuclei:fluorescence] [--minutes 20] [--json FILE]

StarDist (Schmidt et al., MICCAI 2018) has to be installed beside: ``pip install stardist
tensorflow``. It gets 32 rays on a grid of 2, batches of 8 crops of 128 pixels, turned, mirrored and
changed in brightness, the weights that are best on validation, and thresholds tuned on validation
after the clock has stopped. Its learning rate falls with the clock as congeal's does, so that the
minutes end a whole training and not a piece of one. Congeal gets what ``congeal train`` chooses.
Each runs in a process of its own with all cores. Scored are the test images, objects pooled;
seconds an image are the mean over the test images, after one that is not counted.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from measure import Row, options, tell
from numpy.typing import NDArray

from congeal.data import Dataset, open_dataset
from congeal.metrics import MatchingMetric

Image = NDArray[Any]
THRESHOLDS = (0.5, 0.7, 0.8)


def score(name: str, test: Dataset, segment: Callable[[Image], NDArray[np.int64]]) -> Row:
    """Match the label maps that ``segment`` makes of the test images, and time it."""
    metric = MatchingMetric(THRESHOLDS)
    segment(test[0].image)
    seconds = 0.0
    for index in range(len(test)):
        sample = test[index]
        start = time.perf_counter()
        labels = segment(sample.image)
        seconds += time.perf_counter() - start
        metric.update(prediction=labels, truth=sample.labels)
    found = metric.compute()
    scores = {f"AP at {at}": found[f"matching_ap@{at}"] for at in THRESHOLDS}
    return {"by": name, **scores, "s an image": seconds / len(test)}


def train_congeal(data: str, minutes: float, folder: Path, seed: int) -> Row:
    """``congeal train DATA --max-minutes MINUTES`` and its score."""
    import congeal

    start = time.perf_counter()
    made = congeal.train(
        None,
        data,
        output=folder / "congeal",
        start=None,  # the model that ships has seen these images
        max_minutes=minutes,
        seed=seed,
        overlays=False,
    )
    spent = (time.perf_counter() - start) / 60
    model = congeal.load(made)
    row = score("congeal", open_dataset(data, "test"), lambda image: model.segment(image).labels)
    return row | {"minutes": spent}


def train_stardist(data: str, minutes: float, folder: Path, seed: int) -> Row:
    """StarDist for as many minutes, and its score."""
    from congeal.experiments.boxes import Budget
    from congeal.experiments.stars import train_stars

    del folder
    training, validation = (open_dataset(data, part) for part in ("train", "val"))
    stars = train_stars(training, validation, Budget(minutes=minutes), seed=seed)
    return score("StarDist", open_dataset(data, "test"), stars.segment) | {"minutes": stars.minutes}


def main() -> None:
    """Train both, each in a process of its own, and tell."""
    chosen = options(
        "StarDist and congeal for the same minutes on the same images.",
        data=("nuclei:fluorescence", "a dataset by name, or a folder"),
        minutes=(20.0, "of training, each"),
        seed=(0, "of both"),
        only=("", "stardist or congeal: that one alone, in this process"),
    )
    if chosen.only:
        train = {"congeal": train_congeal, "stardist": train_stardist}[chosen.only]
        with tempfile.TemporaryDirectory() as folder:
            rows = [train(chosen.data, chosen.minutes, Path(folder), chosen.seed)]
    else:
        rows = [_alone(name) for name in ("stardist", "congeal")]
    tell(f"{chosen.data}, test images", rows, chosen.json, minutes=chosen.minutes)


def _alone(name: str) -> Row:
    """Run this script for one of the two."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        given = [*sys.argv[1:], "--only", name, "--json", file.name]
        subprocess.run([sys.executable, __file__, *given], check=True)
        row: Row = json.loads(Path(file.name).read_text())["rows"][0]
    return row


if __name__ == "__main__":
    main()
