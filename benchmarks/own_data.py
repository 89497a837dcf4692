"""Eight small data sets of one's own: what ``congeal train`` makes of each in five minutes.

    python benchmarks/own_data.py [--minutes 5] [--sets rods,rings] [--ways default,scratch]
        [--updates N] [--on test|val] [--quick] [--json FILE]

Each set has 24 training images and 6 validation images, drawn (the kinds that ship) or pen strokes
where that pack is there; the test images, 12, are drawn apart from both. Each way is a training by
``congeal.train``:

- default: nothing but the minutes is given;
- scratch: the same, without the weights of a model to start from;
- start: from the model that ships, with the settings of that model and batches as by default;
- before: as it was until version 0.2: from scratch, 8 crops of the size that the images suggest.

Scored are the test images, or with ``--on val`` twelve more of the validation images, by which to
choose between ways; objects pooled, and at the foot the median over the sets. On a machine
that others use the minutes hold fewer updates than two free cores would do: ``--updates`` gives
each training so many updates of 4 x 128 px instead (of the size that the images suggest, 8 at a
time, for the way before, but only as many as have the same number of pixels).
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from measure import Row, options, tell

import congeal
from congeal.data import Dataset, DrawnDataset, Subset, open_dataset
from congeal.metrics import MatchingMetric

KINDS = ("rods", "worms", "rosettes", "rings", "cells", "specks", "fibres", "strokes")
WAYS = ("default", "scratch", "start", "before")
TRAINING, VALIDATION, TEST = 24, 6, 12  # images
PIXELS = 4 * 128**2  # of a batch, where updates are counted


def small_set(kind: str, on: str = "test") -> tuple[Dataset, Dataset, Dataset]:
    """Training images, validation images, and those that are scored."""
    first = VALIDATION if on == "val" else 0  # no image that the training looks at is scored
    parts = (("train", 0, TRAINING), ("val", 0, VALIDATION), (on, first, first + TEST))
    return tuple(Subset(_opened(kind, s), range(a, b)) for s, a, b in parts)  # type: ignore[return-value]


def _opened(kind: str, split: str) -> Dataset:
    if kind != "strokes":
        return DrawnDataset(kind, split)
    strokes = open_dataset(kind, split)  # one character after the other: mixed, or all are alike
    return Subset(strokes, np.random.default_rng(0).permutation(len(strokes)).tolist())


def wishes(way: str, training: Dataset, minutes: float, updates: int) -> dict[str, Any]:
    """What is asked of ``congeal.train``."""
    asked: dict[str, Any] = {"max_minutes": minutes}
    if updates:
        asked = {"epochs": 1, "steps_per_epoch": updates, "batch_size": 4, "crop": 128}
    if way in ("scratch", "before"):
        asked["start"] = None
    if way == "start":
        asked |= {"start": "nuclei", **kept_settings()}
    if way == "before":
        crop = crop_before(training)
        asked |= {"batch_size": 8, "crop": crop, "warmup": 50}
        if updates:
            asked["steps_per_epoch"] = max(1, round(updates * PIXELS / (8 * crop**2)))
    return asked


def kept_settings() -> dict[str, Any]:
    """All that the model has, so that none of it is fitted to the images."""
    flat = congeal.load("nuclei").config.flat()
    return {name: value for name, value in flat.items() if name.startswith(("input", "loss"))}


def crop_before(training: Dataset) -> int:
    """Side of the crops that follows from the images alone."""
    from congeal.training.adapt import suggest_crop
    from congeal.training.loop import plan_for

    plan = plan_for(None, training, {}, start=None)
    return suggest_crop(training, plan.method(plan.config), small=True)


def train_and_score(
    kind: str, way: str, minutes: float, updates: int, folder: Path, on: str = "test"
) -> Row:
    """One training and its score on the test images, or others of the validation images."""
    training, validation, test = small_set(kind, on)
    started = time.perf_counter()
    made = congeal.train(
        None,
        training,
        val=validation,
        output=folder / "model",
        overlays=False,
        **wishes(way, training, minutes, updates),
    )
    spent = (time.perf_counter() - started) / 60
    model = congeal.load(made)
    metric = MatchingMetric((0.5,))
    for sample in test:
        metric.update(prediction=model.segment(sample.image).labels, truth=sample.labels)
    told = json.loads((made / "config.json").read_text())
    facts = told["training"]
    return {
        "set": kind,
        "way": way,
        "AP at .5": metric.compute()["matching_ap@0.5"],
        "validation": told["metrics"].get("validation matching_ap@0.5"),
        "tuned": told["metrics"].get("tuned matching_ap@0.5"),
        "updates": facts["steps"],
        "batch": facts["batch_size"],
        "crop": facts["crop"],
        "minutes": spent,
    }


def alone(kind: str, way: str) -> Row:
    """The same in a process of its own, so that no training has the caches of another."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        given = [*sys.argv[1:], "--sets", kind, "--ways", way, "--json", file.name]
        subprocess.run([sys.executable, __file__, *given, "--here"], check=True)
        row: Row = json.loads(Path(file.name).read_text())["rows"][0]
    return row


def medians(rows: list[Row]) -> list[Row]:
    """For each way the median over the sets, and the lowest."""
    found = []
    for way in dict.fromkeys(row["way"] for row in rows):
        scores = [row["AP at .5"] for row in rows if row["way"] == way]
        found += [
            {"set": f"{name} of {len(scores)}", "way": way, "AP at .5": of(scores)}
            for name, of in (("median", statistics.median), ("lowest", min))
        ]
    return found


def main() -> None:
    """Train on each set in each way, and tell."""
    chosen = options(
        "What congeal makes of eight small data sets, each in a few minutes.",
        minutes=(5.0, "of each training, the whole of it"),
        sets=(",".join(KINDS), "some of the sets"),
        ways=(",".join(WAYS), "some of the ways"),
        updates=(0, "length of each training in updates, in place of minutes"),
        on=("test", "images that are scored: test, or val"),
        quick=(False, "two sets by default settings, two seconds each"),
        here=(False, "in this process"),
    )
    sets, ways = chosen.sets.split(","), chosen.ways.split(",")
    minutes = chosen.minutes
    if chosen.quick:
        sets, ways, minutes = sets[:2], ways[:1], min(minutes, 1 / 30)
    if "strokes" in sets and not is_there("strokes"):
        sets.remove("strokes")
    rows: list[Row] = []
    for kind in sets:
        for way in ways:
            if len(sets) * len(ways) > 1 and not chosen.here:
                rows.append(alone(kind, way))
                continue
            with tempfile.TemporaryDirectory() as folder:
                rows.append(
                    train_and_score(kind, way, minutes, chosen.updates, Path(folder), chosen.on)
                )
    several = [] if chosen.here else medians(rows)
    tell(f"small data sets, {chosen.on} images", rows + several, chosen.json, minutes=minutes)


def is_there(name: str) -> bool:
    """Whether a pack of images is on this machine."""
    from congeal.data.registry import is_available

    return is_available(name)


if __name__ == "__main__":
    main()
