"""Ablations of SegSort: k, kappa, grid of k-means, memory (sections 3 and 4).

Settings are compared on validation images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from congeal.experiments.intervals import half_width
from congeal.experiments.result import (
    Claim,
    FigureResult,
    house_style,
    new_figure,
    note,
    save_figure,
)
from congeal.experiments.segsort_scores import Row, by_retrieval, kept, score, segsort_scores
from congeal.experiments.segsort_training import Effort, choose_effort, train_segsort
from congeal.figures.plots import LINES

__all__ = ["SEGSORT_ABLATIONS", "Ablation", "draw_segsort_ablation"]

SEEDS = 1  # default; confidence intervals need several
TOLERANCE = 0.01  # difference in mIoU below which values count as equally good


@dataclass(frozen=True)
class Ablation:
    """A comparison of values of one setting.

    Attributes:
        name: name of the experiment, ``segsort.NAME``, and of the column in its table.
        path: path of the setting.
        label: label of the axis.
        values: compared values.
        quick: values of a quick run.
        paper: values of the paper.
        claim: expected result for the values of the paper.
    """

    name: str
    path: str
    label: str
    values: tuple[float, ...]
    quick: tuple[float, ...]
    paper: tuple[float, ...]
    claim: str


K = Ablation(
    "k",
    "decoding.k",
    "neighbours that vote, k",
    (1, 3, 5, 9, 15, 21, 31),
    (1, 15),
    (15, 21),
    "15 to 21 neighbours are as good as any, within .01",
)
KAPPA = Ablation(
    "kappa",
    "loss.concentration",
    "concentration kappa",
    (1.0, 5.0, 10.0, 20.0, 50.0),
    (5.0, 10.0),
    (10.0,),
    "kappa 10 is as good as any, within .01",
)
GRID = Ablation(
    "grid",
    "loss.grid",
    "cells along a side",
    (3, 4, 5, 6, 8, 10),
    (3, 5),
    (5, 6),  # 6 in the later code of its authors
    "5 or 6 cells are as good as any, within .01",
)
MEMORY = Ablation(
    "memory",
    "loss.memory",
    "batches in the memory",
    (0, 1, 2, 4),
    (0, 2),
    (2,),
    "two batches in the memory are better than none",
)


def draw_segsort_ablation(
    ablation: Ablation,
    folder: str | Path,
    *,
    quick: bool = False,
    seed: int = 0,
    minutes: float | None = None,
    seeds: int | None = None,
    images: int | None = None,
) -> FigureResult:
    """Compare the values of a setting; existing trainings are not repeated.

    All values of k use the same training; for other settings each value has its own training.

    Args:
        ablation: the setting and its values.
        folder: for ``segsort_NAME.png`` and ``.csv``, and ``segsort_trainings``.
        quick: a few updates on drawn shapes, two values.
        seed: first seed of weights and order.
        minutes: minutes of each training, 20 when None.
        seeds: trainings of each value, one when None.
        images: number of validation images, all when None.

    Returns:
        The files, and for each value the mIoU on validation images, mean over seeds.
    """
    effort = replace(choose_effort(quick, minutes, seeds or SEEDS, images), split="val")
    values = ablation.quick if quick else ablation.values
    compare = _of_one_training if ablation is K else _of_a_training_each
    found = [compare(ablation, values, folder, effort, seed + k) for k in range(effort.seeds)]
    rows = [
        {ablation.name: value, "miou": float(np.mean(own)), "+-": half_width(own)}
        for value, own in zip(values, zip(*found, strict=True), strict=True)
    ]
    claim = _memory_claim(rows) if ablation is MEMORY else _claim(ablation, rows)
    name, numbers = (
        ablation.name,
        {f"{ablation.name} {r[ablation.name]:g}": r["miou"] for r in rows},
    )
    return save_figure(folder, f"segsort_{name}", _curve(ablation, rows), rows, numbers, [claim])


def _of_a_training_each(
    ablation: Ablation, values: tuple[float, ...], folder: str | Path, effort: Effort, seed: int
) -> list[float]:
    scores = [segsort_scores(folder, effort, seed, {ablation.path: value}) for value in values]
    return [float(row["miou"]) for row in scores]


def _of_one_training(
    ablation: Ablation, values: tuple[float, ...], folder: str | Path, effort: Effort, seed: int
) -> list[float]:
    def make() -> list[float]:
        model, _ = train_segsort(effort, seed)
        found = []
        for value in values:
            model.configure(**{ablation.path: value})
            found.append(float(score(by_retrieval(model), effort)["miou"]))
        return found

    name = f"segsort_{ablation.name}-{'-'.join(f'{value:g}' for value in values)}"
    found: list[float] = kept(folder, name, effort, seed, make)
    return found


def _claim(ablation: Ablation, rows: list[Row]) -> Claim:
    name, paper = ablation.name, ablation.paper
    best = max(rows, key=lambda row: row["miou"])
    ours = max(row["miou"] for row in rows if row[name] in paper)
    return Claim(
        ablation.claim,
        f"{', '.join(f'{value:g}' for value in paper)} (PASCAL VOC)",
        f"mIoU {ours:.3f}, the best {best['miou']:.3f} with {best[name]:g}",
        ours > best["miou"] - TOLERANCE,
    )


def _memory_claim(rows: list[Row]) -> Claim:
    without, two = (row["miou"] for row in rows if row["memory"] in (0, 2))
    return Claim(
        MEMORY.claim,
        "better (PASCAL VOC)",
        f"mIoU {two:.3f} against {without:.3f}",
        two > without,
    )


def _curve(ablation: Ablation, rows: list[Row]) -> Figure:
    """Draw mIoU on validation images over a setting."""
    with house_style():
        figure = new_figure(5.6, 3.6, f"mIoU over {ablation.label}")
        axes = figure.subplots()
        places = [row[ablation.name] for row in rows]
        axes.errorbar(
            places, [row["miou"] for row in rows], np.array([row["+-"] for row in rows]),
            fmt="o-", color=LINES[0],
        )  # fmt: skip
        axes.set(xlabel=ablation.label, ylabel="mIoU, validation images", ylim=(0, 1))
        note(axes, f"paper: {' to '.join(f'{value:g}' for value in ablation.paper)}", 0.02, 0.93)
    return figure


SEGSORT_ABLATIONS: dict[str, tuple[Callable[..., FigureResult], str]] = {
    one.name: (partial(draw_segsort_ablation, one), f"mIoU over {one.label}")
    for one in (MEMORY, K, KAPPA, GRID)
}
"""The experiments of this file by name: function, and summary in one line."""
