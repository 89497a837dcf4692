"""The demo from the drawing of sticks to the page."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from congeal.data.drawn import DrawnDataset
from congeal.demo.page import Shown, save_pictures, write_page
from congeal.demo.photographs import PHOTOGRAPHS, SegmentedPhotograph, segment_photograph
from congeal.errors import CongealError
from congeal.evaluation.result import Evaluation
from congeal.evaluation.run import evaluate
from congeal.figures.plots import plot_curves, plot_thresholds, read_series
from congeal.files import write_text
from congeal.models.folder import load
from congeal.models.shipped import DEFAULT_MODEL, list_models
from congeal.training import run_training
from congeal.training.machine import is_on_cpu

__all__ = ["Demo", "run_demo"]

TEST_IMAGES = 64
SHOWN = 6

# Drawing costs little, so hardly any drawing comes twice.
DRAWINGS = 1_500
TRAINING: dict[str, Any] = {
    "crop": 96,
    "batch_size": 4,
    "steps_per_epoch": 200,
    "rotation": 0.0,  # the drawings have every angle already
    "scale_range": (0.9, 1.1),
    "validation_share": 0.03,
}
# Small batches, for many steps, in parts smaller than training would choose by itself. Drawing is
# Python, which in a thread would hold up the steps; a process does it beside them.
ON_CPU: dict[str, Any] = {"cpu_replicas": 2, "workers": 1}

# Says that a folder was made by the demo, which may then make it again.
_MARK = ".congeal-demo"
_LOGGED = ("loss", "lr", "matching_ap@0.5")


@dataclass(frozen=True, eq=False)
class Demo:
    """What the demo made.

    Args:
        page: the page with everything.
        model: folder of the model trained on sticks.
        evaluation: its scores on sticks it has not seen.
        photographs: what the model that ships found; empty when none ships.
        seconds: how long it all took.
    """

    page: Path
    model: Path
    evaluation: Evaluation
    photographs: tuple[SegmentedPhotograph, ...]
    seconds: float


def run_demo(
    output: str | Path = "congeal-demo",
    *,
    minutes: float = 6.5,
    seed: int = 0,
    images: int = TEST_IMAGES,
    device: str = "auto",
    on_stage: Callable[[str], None] = lambda text: None,
    on_image: Callable[[int, int, Any], None] | None = None,
) -> Demo | None:
    """Draw sticks, train on them, score others, segment photographs, and write a page.

    Args:
        output: folder for page, pictures, ``evaluation.json`` and the trained model.
        minutes: time to train.
        seed: of drawings and training.
        images: how many drawings to score.
        device: where to compute.
        on_stage: told what comes next, in a line.
        on_image: called after each drawing that is scored, as by ``evaluate``.

    Returns:
        What was made, or None where a signal stopped the training.

    Raises:
        CongealError: the folder cannot be written, or an option is out of range.
    """
    started, output = time.perf_counter(), Path(output)
    if not minutes > 0:
        raise CongealError(f"expected a time to train above 0 minutes, got {minutes:g}")
    _make_folder(output)
    on_stage(f"training on drawn sticks for {minutes:g} minutes")
    outcome = run_training(
        None,
        DrawnDataset("sticks", "train", count=DRAWINGS, seed=seed),
        val=DrawnDataset("sticks", "val", seed=seed),
        output=output / "model",
        start=None,
        settings={
            "training": {
                "max_minutes": minutes,
                "seed": seed,
                "device": device,
                **TRAINING,
                **(ON_CPU if is_on_cpu(device) and torch.get_num_threads() > 1 else {}),
            }
        },
        what="sticks lying across each other, drawn; made by the demo",
        licence="Apache-2.0",
    )
    if outcome.signal is not None:  # the training ended in good order; so does the demo
        return None
    folder = outcome.folder
    on_stage(f"scoring it on {images} drawings it has not seen")
    model = load(folder, device=device)
    drawings = DrawnDataset("sticks", "test", count=images, seed=seed)
    evaluation = evaluate(model, drawings, on_image=on_image, report=False)
    evaluation.save(output, report=False)
    sticks = [_show(model, drawings, index) for index in worst_to_best(evaluation)]
    photographs = _segment_photographs(device, on_stage)
    on_stage("writing the page")
    facts = {"minutes of training": f"{minutes:g}", "seed": seed, **_counts(evaluation)}
    save_pictures(output / "pictures", sticks, photographs)
    page = write_page(
        output / "index.html",
        facts=facts,
        evaluation=evaluation,
        curves=_curves(folder, output / "pictures", evaluation),
        sticks=sticks,
        photographs=photographs,
    )
    return Demo(page, folder, evaluation, tuple(photographs), time.perf_counter() - started)


def _counts(evaluation: Evaluation) -> dict[str, Any]:
    names = {"images scored": "images", "true objects": "objects", "predicted": "predicted"}
    return {title: int(evaluation.metrics[name]) for title, name in names.items()}


def worst_to_best(evaluation: Evaluation, shown: int = SHOWN) -> list[int]:
    """Choose images to show, evenly from the worst to the best, so that none is picked to please.

    Example:
        >>> rows = [{"matching_ap@0.5": score} for score in (0.9, 0.1, 0.5)]
        >>> worst_to_best(Evaluation("a", "test", "m", "matching", (0.5,), {}, rows), 2)
        [1, 0]
    """
    scores = [row["matching_ap@0.5"] for row in evaluation.per_image]
    order = sorted(range(len(scores)), key=scores.__getitem__)
    wanted = min(shown, len(order))
    return [order[place * (len(order) - 1) // max(1, wanted - 1)] for place in range(wanted)]


def _show(model: Any, drawings: DrawnDataset, index: int) -> Shown:
    sample = drawings[index]
    return Shown(sample, model.segment(sample.image, keep_embedding=True))


def _segment_photographs(device: str, on_stage: Callable[[str], None]) -> list[SegmentedPhotograph]:
    if DEFAULT_MODEL not in {model.name for model in list_models()}:
        return []
    on_stage("segmenting photographs with the model that ships")
    model = load(DEFAULT_MODEL, device=device)
    return [segment_photograph(model, photograph) for photograph in PHOTOGRAPHS]


def _curves(folder: Path, pictures: Path, evaluation: Evaluation) -> list[tuple[str, Path]]:
    """Draw what the training logged, and the scores over the IoU that a match needs."""
    logged = read_series(folder / "log.csv", x="seconds")
    shown = {name: logged[name] for name in _LOGGED if name in logged}
    training = plot_curves(shown, pictures / "training.png", x="seconds")
    scores = {k: v for k, v in evaluation.metrics.items() if not k.startswith("mean_")}
    thresholds = plot_thresholds(scores, pictures / "scores.png")
    return [("training", training), ("scores of sticks not seen in training", thresholds)]


def _make_folder(output: Path) -> None:
    """Make the folder, without what an earlier demo left there; nobody else's is touched."""
    mark, model = output / _MARK, output / "model"
    if model.exists() and not mark.exists():
        raise CongealError(f"{model} is there and not of a demo: name another folder")
    write_text(mark, "Made by congeal demo, which may make this folder again.\n")
    try:
        if model.exists():
            shutil.rmtree(model)
    except OSError as error:
        raise CongealError(f"cannot replace {model}: {error.strerror}") from error
