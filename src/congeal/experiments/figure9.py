"""Semantic segmentation with and without the pairwise loss, near contours (RPE, figure 9).

The same network is trained on the same crops, for the same number of updates, by cross-entropy
alone and by cross-entropy with the pairwise loss, each with several seeds. Scores on test images:
mIoU, IoU of each class, contour F1, and mIoU in bands along contours. The trimap of the paper is
around the void band of PASCAL VOC. CamVid has no such band, so a band of width w consists of the w
pixels on either side of a contour between two classes. Models and scores are kept in the output
folder, so that an interrupted run can be resumed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_cdt

from congeal.data.registry import open_dataset
from congeal.data.sample import Dataset, Subset
from congeal.errors import CongealError
from congeal.experiments.intervals import half_width
from congeal.experiments.kept import keep, place_of, train_or_resume
from congeal.experiments.result import Claim, FigureResult, house_style, new_figure, save_figure
from congeal.figures.plots import LINES
from congeal.labels import boundaries
from congeal.methods.method import Method
from congeal.metrics.boundaries import ContourF1Metric
from congeal.metrics.semantic import SemanticMetric
from congeal.models import load
from congeal.models.config import read_config
from congeal.training.validation import evenly_spread

__all__ = ["ARMS", "Figure9", "contour_band", "draw_figure9"]

ARMS: Mapping[str, Mapping[str, Any]] = {
    "cross-entropy": {"loss.embedding_weight": 0.0},
    "with pairwise loss": {"loss.embedding_weight": 1.0},
}
"""Settings of the trainings, by name."""
WIDTHS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 40)  # px, widths of the bands
CONTOURS = (2, 5)  # px, tolerances of contour F1
NARROW = 4  # px, width of the band in the claim

Labels = NDArray[np.int64]
Row = dict[str, Any]


@dataclass(frozen=True)
class Figure9:
    """Plan of trainings and evaluation.

    Args:
        data: name of the dataset.
        split: split for evaluation.
        training: settings of each training and of the method.
        seeds: trainings of each arm.
        images: numbers of training and test images, None for all.
    """

    data: str = "camvid"
    split: str = "test"
    training: Mapping[str, Any] = field(
        default_factory=lambda: {
            "epochs": 10,
            "steps_per_epoch": 400,
            "batch_size": 4,
            "crop": 192,
            "validation_share": 0.02,
            "network.encoder": "tf_efficientnet_lite0",
            "network.pretrained": True,
            "network.output_stride": 8,
            "input.scale": 0.5,
        }
    )
    seeds: int = 3
    images: tuple[int | None, int | None] = (None, None)


QUICK = Figure9(
    data="shapes:size=48",
    split="val",
    training={
        "epochs": 1,
        "steps_per_epoch": 2,
        "batch_size": 2,
        "crop": 64,
        "network.pyramid_width": 16,
        "network.dimensions": 4,
    },
    seeds=2,
    images=(4, 2),
)


def draw_figure9(
    folder: str | Path,
    *,
    quick: bool = False,
    seed: int = 0,
    minutes: float | None = None,
    seeds: int | None = None,
    data: Sequence[str] | None = None,
    images: int | None = None,
) -> FigureResult:
    """Train with and without the pairwise loss, and score both by distance to contours.

    Args:
        folder: for ``figure9.png`` and ``figure9.csv``, and models and scores in ``figure9``;
            existing trainings are not repeated.
        quick: a few updates on drawn shapes, as a smoke test.
        seed: first seed.
        minutes: minutes of each training; None: the same number of updates for all.
        seeds: trainings of each arm, 3 when None.
        data: name of a dataset with semantic maps, camvid when None.
        images: number of test images, evenly spread; all when None.

    Returns:
        The files; for each arm the mean over seeds of ``miou``, ``band miou`` (4 px) and contour
        F1; and the paired gains in both mIoU with the half width of their 95 % interval.

    Raises:
        CongealError: the data is not found, has no semantic maps, or is more than one dataset.
    """
    plan, place = _plan(quick, minutes, seeds, data, images), Path(folder) / "figure9"
    rows = [_kept(place, plan, arm, one) for one in range(seed, seed + plan.seeds) for arm in ARMS]
    numbers = _numbers(rows)
    figure = _draw(rows, plan)
    return save_figure(folder, "figure9", figure, _cells(rows), numbers, _claims(numbers, plan))


def _plan(
    quick: bool,
    minutes: float | None,
    seeds: int | None,
    data: Sequence[str] | None,
    images: int | None,
) -> Figure9:
    plan = QUICK if quick else Figure9()
    training = dict(plan.training)
    if minutes is not None:
        length = ("epochs", "steps_per_epoch")
        training = {k: v for k, v in training.items() if k not in length}
        training["max_minutes"] = minutes
    if data is not None and len(data) != 1:
        raise CongealError(f"expected one data set for figure 9, got {', '.join(data)}")
    return replace(
        plan,
        training=training,
        seeds=seeds or plan.seeds,
        data=data[0] if data else plan.data,
        images=(plan.images[0], images or plan.images[1]),
    )


def contour_band(truth: Labels, width: int) -> Labels:
    """Classes near contours; all other pixels void.

    Args:
        truth: classes ``(H, W)``, -1 void.
        width: w; the band consists of pixels at a chessboard distance below w from a pixel that
            touches another class.

    Example:
        >>> contour_band(np.array([[1, 1, 1, 2, 2, 2]]), 2).tolist()
        [[-1, 1, 1, 2, 2, -1]]
    """
    edge = boundaries(truth, "thick")
    if not edge.any():
        return np.full_like(truth, -1)
    near = distance_transform_cdt(~edge, "chessboard") < width
    return np.where(near, truth, -1)


def _images(plan: Figure9, split: str, count: int | None) -> Dataset:
    data = open_dataset(plan.data, split)
    return data if count is None else Subset(data, evenly_spread(len(data), count))


def _kept(place: Path, plan: Figure9, arm: str, seed: int) -> Row:
    """Scores of one training; read from the folder if they exist."""
    own = place_of(place, plan.data, arm, seed)

    def make() -> Row:
        model, minutes = _train(plan, arm, seed, own)
        scores = _score(model, _images(plan, plan.split, plan.images[1]))
        return _cells([{"loss": arm, "seed": seed, **scores, "minutes": minutes}])[0]

    asked = {"training": {**plan.training}, "images": list(plan.images)}
    stored: Row = keep(own.with_name(f"{own.name}.json"), asked, make)
    return {name: float("nan") if value is None else value for name, value in stored.items()}


def _train(plan: Figure9, arm: str, seed: int, place: Path) -> tuple[Method, float]:
    """Train; returns the model with the best validation score, and the minutes."""
    common: dict[str, Any] = {"seed": seed, "overlays": False, "tuning_share": 0}
    settings = {"task": "semantic", **common, **plan.training, **ARMS[arm]}
    training = _images(plan, "train", plan.images[0])
    held_out = _images(plan, "val", plan.images[0])
    made = train_or_resume(place, "rpe", training, held_out, **settings)
    return load(made, device="auto"), float(read_config(made).training["minutes"])


def _score(model: Method, test: Dataset) -> dict[str, float]:
    """Scores on whole images, contours and bands, and IoU of each class."""
    names, first = test.class_names, 0 if test.has_background else 1
    whole, contours = SemanticMetric(len(names)), ContourF1Metric(CONTOURS)
    bands = {width: SemanticMetric(len(names)) for width in WIDTHS}
    for sample in test:
        found, truth = model.segment(sample.image).semantic, sample.semantic
        if truth is None or found is None:
            raise CongealError(f"expected maps of classes, {test.name} has none")
        for metric in (whole, contours):
            metric.update(prediction=found, truth=truth)
        for width, metric in bands.items():
            metric.update(prediction=found, truth=contour_band(truth, width))
    scores, near = whole.compute(), contours.compute()
    return {
        "miou": scores["miou"],
        **{f"contour f1 {limit} px": near[f"contour_f1@{limit}"] for limit in CONTOURS},
        **{f"band {width} px": bands[width].compute()["miou"] for width in WIDTHS},
        **{f"iou {names[k]}": scores[f"iou/{k}"] for k in range(first, len(names))},
    }


def _numbers(rows: list[Row]) -> dict[str, float]:
    """Means over seeds, and paired differences."""
    columns = {"miou": "miou", "band miou": f"band {NARROW} px", "minutes": "minutes"}
    columns |= {name: name for name in rows[0] if name.startswith("contour")}
    numbers: dict[str, float] = {}
    for arm in ARMS:
        own = [row for row in rows if row["loss"] == arm]
        numbers |= {f"{arm} {k}": float(np.mean([r[v] for r in own])) for k, v in columns.items()}
    for key in ("miou", "band miou"):
        column, pairs = columns[key], zip(rows[::2], rows[1::2], strict=True)
        apart = [after[column] - before[column] for before, after in pairs]
        numbers |= {f"{key} gain": float(np.mean(apart)), f"{key} gain +-": half_width(apart)}
    return {name: value for name, value in numbers.items() if np.isfinite(value)}


def _claims(numbers: Mapping[str, float], plan: Figure9) -> tuple[Claim, ...]:
    found = []
    for key, text in (
        ("miou", "the pairwise loss beside cross-entropy raises mIoU"),
        ("band miou", f"it raises mIoU within {NARROW} px of contours"),
    ):
        gain, half = numbers.get(f"{key} gain", np.nan), numbers.get(f"{key} gain +-", np.nan)
        here = f"{gain:+.3f} +- {half:.3f} ({plan.data}, {plan.seeds} seeds)"
        found.append(Claim(text, "higher (PASCAL VOC 2012, figure 9)", here, gain > half))
    return tuple(found)


def _cells(rows: list[Row]) -> list[Row]:
    """Replace NaN by None (an empty cell)."""
    return [
        {k: None if isinstance(v, float) and np.isnan(v) else v for k, v in row.items()}
        for row in rows
    ]


def _draw(rows: list[Row], plan: Figure9) -> Figure:
    with house_style():
        figure = new_figure(10.4, 4.2, f"Classes with and without the pairwise loss, {plan.data}")
        left, right = figure.subplots(1, 2)
        for place, arm in enumerate(ARMS):
            own = [row for row in rows if row["loss"] == arm]
            _draw_bands(left, arm, own, LINES[place])
            _draw_classes(right, arm, own, place)
        left.set(xlabel="width of the band along contours, px", ylabel="mIoU", xscale="log")
        left.set_xticks(WIDTHS, [str(width) for width in WIDTHS])
        left.legend(fontsize=8.5)
        right.set(ylabel="IoU", ylim=(0, 1))
        right.legend(fontsize=8.5)
    return figure


def _draw_bands(axes: Axes, arm: str, rows: list[Row], colour: str) -> None:
    values = np.array([[row[f"band {width} px"] for width in WIDTHS] for row in rows])
    axes.plot(WIDTHS, values.mean(0), "o-", color=colour, label=arm, markersize=3)
    for line in values:
        axes.plot(WIDTHS, line, ".", color=colour, markersize=3, alpha=0.5)
    overall = float(np.mean([row["miou"] for row in rows]))
    axes.axhline(overall, color=colour, linestyle=":", linewidth=1)


def _draw_classes(axes: Axes, arm: str, rows: list[Row], place: int) -> None:
    classes = [name for name in rows[0] if name.startswith("iou ")]
    at = np.arange(len(classes)) + 0.4 * place
    means = [np.mean([row[name] for row in rows]) for name in classes]
    axes.bar(at, np.nan_to_num(means), 0.38, color=LINES[place], label=arm)
    names = [name.removeprefix("iou ") for name in classes]
    axes.set_xticks(np.arange(len(classes)) + 0.2, names, rotation=60, ha="right", fontsize=7.5)
