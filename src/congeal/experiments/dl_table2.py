"""Speed, size and accuracy of five networks with the discriminative loss (DL, table 2).

The paper trains its networks on Cityscapes and measures speed on a GPU of 2017. Here every network
is timed on this machine, on the CPU and on a GPU if there is one, at the three sizes of the paper.
Accuracy is for drawn streets in the layout of Cityscapes, 256 x 128 pixels, by its protocol: AP
with predicted classes, and AP_gt with true classes. Each network is trained from scratch for the
same minutes. ``paper_millions`` are the numbers of parameters in the paper. Its AP on the test
images of Cityscapes, .175 for ResNet-38 at 768 x 384, is not comparable to that on drawn streets.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from congeal.data.cityscapes import CITYSCAPES_CLASSES, CityscapesDataset
from congeal.data.drawn_files import write_cityscapes
from congeal.evaluation import evaluate
from congeal.experiments.cost import forward_cost
from congeal.experiments.kept import keep
from congeal.experiments.result import FigureResult, house_style, new_figure, save_figure
from congeal.figures.plots import LINES
from congeal.methods.discriminative import Discriminative
from congeal.models import load
from congeal.training import train

__all__ = ["PAPER_MILLIONS", "DlTable2", "draw_dl_table2"]

SIZES = ((512, 256), (768, 384), (1024, 512))
"""Width and height of the images for timing, as in the paper."""
PAPER_MILLIONS: Mapping[str, float | None] = {
    "encoder-decoder": None,  # ours
    "enet": 0.36,
    "segnet": 29.4,
    "dilation": 134.3,
    "resnet38": 124.0,
}
"""Millions of parameters, from the paper."""
WIDE = ("segnet", "dilation", "resnet38")

Row = dict[str, Any]


@dataclass(frozen=True)
class DlTable2:
    """Plan of trainings and measurements.

    Args:
        sizes: width and height of the images for timing.
        training: settings of each training.
        images: numbers of training and test images.
        width_divisor: divisor of the channels of wide networks, for quick runs.
    """

    sizes: tuple[tuple[int, int], ...] = SIZES
    training: Mapping[str, Any] = field(default_factory=lambda: {"max_minutes": 20.0})
    images: tuple[int, int] = (400, 40)
    width_divisor: int = 1


QUICK = DlTable2(
    sizes=((64, 32),),
    training={"epochs": 1, "steps_per_epoch": 2, "batch_size": 2, "crop": 64},
    images=(2, 1),
    width_divisor=16,
)


def draw_dl_table2(
    folder: str | Path, *, quick: bool = False, seed: int = 0, minutes: float | None = None
) -> FigureResult:
    """Time and train the networks of the paper, and the default one.

    Args:
        folder: for ``dl_table2.png`` and ``dl_table2.csv``, and results of each network in
            ``dl_table2``; existing trainings are not repeated.
        quick: narrow networks on small images and two updates, as a smoke test.
        seed: seed of drawings and trainings.
        minutes: minutes of each training, 20 when None.

    Returns:
        The files, and for each network ``millions`` of parameters, ``fps`` at the first size on
        the processor, ``ap@0.5`` and ``ap_gt@0.5``.
    """
    plan = QUICK if quick else DlTable2()
    if minutes is not None:
        plan = replace(plan, training={"max_minutes": minutes})
    rows: list[Row] = []
    for name in PAPER_MILLIONS:
        rows += keep(
            Path(folder) / "dl_table2" / f"{name}.json",
            {"seed": seed, "images": list(plan.images), "training": dict(plan.training)},
            partial(_rows, name, plan, seed),
        )
    return save_figure(folder, "dl_table2", _draw(rows), rows, _numbers(rows))


def _rows(name: str, plan: DlTable2, seed: int) -> list[Row]:
    """Cost and scores of one network: one row per size and device."""
    costs, scores = _costs(name, plan), _scores(name, plan, seed)
    return [{**row, **scores} for row in costs]


def _settings(name: str, plan: DlTable2) -> dict[str, Any]:
    return {"network.name": name, "network.width_divisor": plan.width_divisor * (name in WIDE) or 1}


def _costs(name: str, plan: DlTable2) -> list[Row]:
    """Cost of one network: one row per size and device."""
    settings: dict[str, Any] = {"class_names": CITYSCAPES_CLASSES[1:], "coordinates": "none"}
    network = Discriminative(**settings, **_settings(name, plan)).network
    millions = sum(p.numel() for p in network.parameters()) / 1e6
    rows = []
    for device in ("cpu", *["cuda"] * torch.cuda.is_available()):
        for width, height in plan.sizes:
            cost = forward_cost(network, (width, height), device)
            row = {"network": name, "millions": millions, "paper_millions": PAPER_MILLIONS[name]}
            size = {"device": device, "width": width, "height": height}
            rows.append(row | size | {"fps": 1 / cost.seconds, "megabytes": cost.megabytes})
    return rows


def _scores(name: str, plan: DlTable2, seed: int) -> Row:
    """Train on drawn streets; AP with predicted classes, and with true classes."""
    with tempfile.TemporaryDirectory() as place:
        home = write_cityscapes(Path(place) / "streets", *plan.images, seed=seed)
        common: dict[str, Any] = {"seed": seed, "overlays": False, "tuning_share": 0}
        common |= {**plan.training, **_settings(name, plan)}
        training, held_out = (CityscapesDataset(home, part) for part in ("train", "val"))
        made = train(
            "discriminative", training, val=held_out, output=Path(place) / "model", **common
        )
        found: Row = {}
        for key, given in (("ap", False), ("ap_gt", True)):
            scores = evaluate(load(made), held_out, true_classes=given, report=False).metrics
            found |= {key: scores["ap"], f"{key}@0.5": scores["ap@0.5"]}
    return found


def _numbers(rows: list[Row]) -> dict[str, float]:
    numbers = {}
    for row in reversed([row for row in rows if row["device"] == "cpu"]):
        for key in ("millions", "fps", "ap@0.5", "ap_gt@0.5"):
            numbers[f"{row['network']} {key}"] = row[key]
    return dict(reversed(numbers.items()))


def _draw(rows: list[Row]) -> Figure:
    with house_style():
        figure = new_figure(9.2, 4.0, "Networks with the discriminative loss")
        left, right = figure.subplots(1, 2)
        _draw_speed(left, rows)
        _draw_scores(right, rows)
    return figure


def _draw_speed(axes: Axes, rows: list[Row]) -> None:
    for name, colour in zip(PAPER_MILLIONS, LINES, strict=False):
        for device, line in (("cpu", "o-"), ("cuda", "s--")):
            chosen = [r for r in rows if (r["network"], r["device"]) == (name, device)]
            pixels = [r["width"] * r["height"] / 1e6 for r in chosen]
            label = f"{name}, {device}" if chosen else None
            axes.plot(pixels, [r["fps"] for r in chosen], line, color=colour, label=label)
    axes.set(xlabel="million pixels", ylabel="images a second", yscale="log")
    axes.set_title("forward pass on this machine")
    axes.legend(fontsize=7.5)


def _draw_scores(axes: Axes, rows: list[Row]) -> None:
    first = {row["network"]: row for row in reversed(rows)}
    for shift, key, colour in ((-0.2, "ap@0.5", LINES[0]), (0.2, "ap_gt@0.5", LINES[1])):
        places = [index + shift for index in range(len(PAPER_MILLIONS))]
        values = [first[name][key] for name in PAPER_MILLIONS]
        axes.bar(places, values, width=0.38, color=colour, label=key)
    axes.set_xticks(range(len(PAPER_MILLIONS)), list(PAPER_MILLIONS), fontsize=7.5)
    axes.set(ylabel="AP at IoU .5", ylim=(0, 1))
    axes.set_title("drawn streets")
    axes.legend(fontsize=8)
