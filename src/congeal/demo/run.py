"""The steps of the demo: training on drawn sticks, evaluation, photographs, page."""

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
SHOWN_IMAGES = 6  # test drawings on the page
TRAINING_IMAGES = 1_500  # drawings are cheap, so almost none is used twice
TRAINING: dict[str, Any] = {
    "crop": 96,
    "batch_size": 4,
    "steps_per_epoch": 200,
    "rotation": 0.0,  # the drawings have all angles already
    "scale_range": (0.9, 1.1),
    "validation_share": 0.03,
}
# Two replicas of 2 images each: training would choose parts of at least 4. Drawing is Python code;
# in a thread it would block the training steps, so a worker process does it.
ON_CPU: dict[str, Any] = {"cpu_replicas": 2, "workers": 1}

_MARKER = ".congeal-demo"  # file in a folder that the demo made and may replace
_PLOTTED = ("loss", "lr", "matching_ap@0.5")  # columns of the log


@dataclass(frozen=True, eq=False)
class Demo:
    """Result of the demo.

    Args:
        page: HTML page.
        model: folder of the model trained on sticks.
        evaluation: scores of that model on the test drawings.
        photographs: photographs segmented by the shipped model; empty without one.
        seconds: duration of the demo.
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
    """Train on drawn sticks, evaluate on others, segment photographs, and write a page.

    Args:
        output: folder for page, pictures, ``evaluation.json`` and the trained model.
        minutes: length of the training.
        seed: seed of drawings and training.
        images: number of test drawings.
        device: ``"cpu"``, ``"cuda"``, ``"mps"`` or ``"auto"``.
        on_stage: called with a line of text at the start of each step.
        on_image: called after each test drawing, as by :func:`congeal.evaluate`.

    Returns:
        The result, or None if a signal stopped the training.

    Raises:
        CongealError: the folder cannot be written, or an option is out of range.
    """
    started, output = time.perf_counter(), Path(output)
    if not minutes > 0:
        raise CongealError(f"expected more than 0 minutes of training, got {minutes:g}")
    _make_folder(output)
    on_stage(f"training on drawn sticks for {minutes:g} minutes")
    outcome = run_training(
        None,
        DrawnDataset("sticks", "train", count=TRAINING_IMAGES, seed=seed),
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
        what="drawn sticks that cross each other; trained by the demo",
        licence="Apache-2.0",
    )
    if outcome.signal is not None:
        return None
    folder = outcome.folder
    on_stage(f"evaluating the model on {images} test drawings")
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


def worst_to_best(evaluation: Evaluation, count: int = SHOWN_IMAGES) -> list[int]:
    """Indices of images to show, evenly spread from the worst score to the best.

    Args:
        evaluation: scores by image.
        count: maximum number of images.

    Example:
        >>> rows = [{"matching_ap@0.5": score} for score in (0.9, 0.1, 0.5)]
        >>> worst_to_best(Evaluation("a", "test", "m", "matching", (0.5,), {}, rows), 2)
        [1, 0]
    """
    scores = [row["matching_ap@0.5"] for row in evaluation.per_image]
    order = sorted(range(len(scores)), key=scores.__getitem__)
    count = min(count, len(order))
    return [order[rank * (len(order) - 1) // max(1, count - 1)] for rank in range(count)]


def _show(model: Any, drawings: DrawnDataset, index: int) -> Shown:
    sample = drawings[index]
    return Shown(sample, model.segment(sample.image, keep_embedding=True))


def _segment_photographs(device: str, on_stage: Callable[[str], None]) -> list[SegmentedPhotograph]:
    if DEFAULT_MODEL not in {model.name for model in list_models()}:
        return []
    on_stage("segmenting photographs with the shipped model")
    model = load(DEFAULT_MODEL, device=device)
    return [segment_photograph(model, photograph) for photograph in PHOTOGRAPHS]


def _curves(folder: Path, pictures: Path, evaluation: Evaluation) -> list[tuple[str, Path]]:
    """Plot the log of the training, and the scores by IoU threshold."""
    log = read_series(folder / "log.csv", x="seconds")
    columns = {name: log[name] for name in _PLOTTED if name in log}
    training = plot_curves(columns, pictures / "training.png", x="seconds")
    scores = {k: v for k, v in evaluation.metrics.items() if not k.startswith("mean_")}
    thresholds = plot_thresholds(scores, pictures / "scores.png")
    return [("training", training), ("scores on the test drawings", thresholds)]


def _make_folder(output: Path) -> None:
    """Create the output folder and remove the model of an earlier demo, but no other model."""
    marker, model = output / _MARKER, output / "model"
    if model.exists() and not marker.exists():
        raise CongealError(f"{model} exists and is not of a demo; name another folder")
    write_text(marker, "Made by congeal demo, which may replace the model in this folder.\n")
    try:
        if model.exists():
            shutil.rmtree(model)
    except OSError as error:
        raise CongealError(f"cannot replace {model}: {error.strerror}") from error
