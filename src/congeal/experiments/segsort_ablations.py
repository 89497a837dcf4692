"""What k, kappa, the grid of k-means and the memory are worth (SegSort, sections 3 and 4).

Settings are compared on validation images.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from congeal.experiments.result import (
    Claim,
    FigureResult,
    house_style,
    new_figure,
    note,
    save_figure,
)
from congeal.experiments.segsort_training import (
    Effort,
    by_retrieval,
    choose_effort,
    mean_score,
    score,
    train_segsort,
)
from congeal.figures.plots import LINES

__all__ = ["draw_segsort_grid", "draw_segsort_k", "draw_segsort_kappa", "draw_segsort_memory"]

VOTERS = (1, 3, 5, 9, 15, 21, 31)
KAPPAS = (1.0, 5.0, 10.0, 20.0, 50.0)
GRIDS = (3, 4, 5, 6, 8, 10)
MEMORIES = (0, 1, 2, 4)
SPLIT = "val"
SEEDS = 1  # unless others are asked for; intervals need several

Row = dict[str, Any]


def draw_segsort_k(
    folder: str | Path,
    *,
    quick: bool = False,
    seed: int = 0,
    minutes: float | None = None,
    images: int | None = None,
) -> FigureResult:
    """Let 1 to 31 neighbours vote on each segment, of one trained model.

    Args:
        folder: where ``segsort_k.png`` and ``.csv`` go.
        quick: a few updates on drawn shapes, 1 and 15 neighbours.
        seed: of weights and order.
        minutes: of the training, 20 when None.
        images: validation images that are scored, all when None.

    Returns:
        The files, and the mIoU on validation images for each k. The paper takes 15 to 21.
    """
    effort = choose_effort(quick, minutes, SEEDS, images)
    model, _ = train_segsort(effort, seed)
    rows = []
    for k in (1, 15) if quick else VOTERS:
        model.configure(**{"decoding.k": k})
        rows.append({"k": k, **score(by_retrieval(model), effort, SPLIT), "+-": 0.0})
    text = "15 to 21 neighbours are as good as any, within .01"
    return _told(folder, ("k", "neighbours that vote, k", "paper: 15 to 21"), rows, (15, 21), text)


def draw_segsort_kappa(
    folder: str | Path,
    *,
    quick: bool = False,
    seed: int = 0,
    minutes: float | None = None,
    seeds: int | None = None,
    images: int | None = None,
) -> FigureResult:
    """Train with several concentrations.

    Args:
        folder: where ``segsort_kappa.png`` and ``.csv`` go.
        quick: a few updates on drawn shapes, two concentrations.
        seed: of weights and order, the first.
        minutes: of each training, 20 when None.
        seeds: trainings for each concentration, one when None.
        images: validation images that are scored, all when None.

    Returns:
        The files, and the mIoU on validation images for each kappa. The paper takes 10.
    """
    effort = choose_effort(quick, minutes, seeds or SEEDS, images)
    values = (5.0, 10.0) if quick else KAPPAS
    rows = _trained("loss.concentration", "kappa", values, effort, seed)
    told = ("kappa", "concentration kappa", "paper: 10")
    return _told(folder, told, rows, (10,), "kappa 10 is as good as any, within .01")


def draw_segsort_grid(
    folder: str | Path,
    *,
    quick: bool = False,
    seed: int = 0,
    minutes: float | None = None,
    seeds: int | None = None,
    images: int | None = None,
) -> FigureResult:
    """Train and predict with several numbers of cells from which k-means starts.

    Args:
        folder: where ``segsort_grid.png`` and ``.csv`` go.
        quick: a few updates on drawn shapes, two grids.
        seed: of weights and order, the first.
        minutes: of each training, 20 when None.
        seeds: trainings for each grid, one when None.
        images: validation images that are scored, all when None.

    Returns:
        The files, and the mIoU on validation images for each grid. The paper takes 5, its later
        code 6.
    """
    effort = choose_effort(quick, minutes, seeds or SEEDS, images)
    rows = _trained("loss.grid", "grid", (3, 5) if quick else GRIDS, effort, seed)
    text = "5 or 6 cells are as good as any, within .01"
    return _told(folder, ("grid", "cells along a side", "paper: 5"), rows, (5, 6), text)


def draw_segsort_memory(
    folder: str | Path,
    *,
    quick: bool = False,
    seed: int = 0,
    minutes: float | None = None,
    seeds: int | None = None,
    images: int | None = None,
) -> FigureResult:
    """Train with memories of several lengths, and without.

    Args:
        folder: where ``segsort_memory.png`` and ``.csv`` go.
        quick: a few updates on drawn shapes, without a memory and with two batches.
        seed: of weights and order, the first.
        minutes: of each training, 20 when None.
        seeds: trainings for each memory, one when None.
        images: validation images that are scored, all when None.

    Returns:
        The files, and the mIoU on validation images for each memory. The paper takes two batches.
    """
    effort = choose_effort(quick, minutes, seeds or SEEDS, images)
    rows = _trained("loss.memory", "memory", (0, 2) if quick else MEMORIES, effort, seed)
    without, two = (row for row in rows if row["memory"] in (0, 2))
    claim = Claim(
        "two batches in the memory are better than none",
        "better (PASCAL VOC)",
        f"mIoU {two['miou']:.3f} against {without['miou']:.3f}",
        two["miou"] > without["miou"],
    )
    told = ("memory", "batches in the memory", "paper: 2")
    return _saved(folder, told, rows, claim)


def _trained(path: str, name: str, values: Sequence[float], effort: Effort, seed: int) -> list[Row]:
    return [{name: value, **mean_score(effort, seed, {path: value}, SPLIT)} for value in values]


def _told(
    folder: str | Path,
    told: tuple[str, str, str],
    rows: list[Row],
    chosen: Sequence[float],
    text: str,
) -> FigureResult:
    name = told[0]
    best = max(rows, key=lambda row: row["miou"])
    ours = max(row["miou"] for row in rows if row[name] in chosen)
    here = f"mIoU {ours:.3f}, the best {best['miou']:.3f} with {best[name]:g}"
    claim = Claim(text, f"{', '.join(f'{one:g}' for one in chosen)} (PASCAL VOC)", here,
                  ours > best["miou"] - 0.01)  # fmt: skip
    return _saved(folder, told, rows, claim)


def _saved(
    folder: str | Path, told: tuple[str, str, str], rows: list[Row], claim: Claim
) -> FigureResult:
    name, label, remark = told
    table = [{one: row[one] for one in (name, "miou", "+-")} for row in rows]
    numbers = {f"{name} {row[name]:g}": row["miou"] for row in rows}
    figure = _settings_curve(rows, name, label, remark)
    return save_figure(folder, f"segsort_{name}", figure, table, numbers, [claim])


def _settings_curve(rows: list[Row], name: str, label: str, remark: str) -> Figure:
    """MIoU on validation images over a setting."""
    with house_style():
        figure = new_figure(5.6, 3.6, f"mIoU over {label}")
        axes = figure.subplots()
        places = [row[name] for row in rows]
        axes.errorbar(
            places, [row["miou"] for row in rows], np.array([row["+-"] for row in rows]),
            fmt="o-", color=LINES[0],
        )  # fmt: skip
        axes.set(xlabel=label, ylabel="mIoU, validation images", ylim=(0, 1))
        note(axes, remark, 0.02, 0.93)
    return figure
