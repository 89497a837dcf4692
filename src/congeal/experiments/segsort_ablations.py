"""What k, kappa and the grid of k-means are worth (SegSort, sections 3 and 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from congeal.experiments.result import FigureResult, save_figure
from congeal.experiments.segsort_supervised import settings_curve
from congeal.experiments.segsort_training import FULL, QUICK, by_retrieval, score, train_segsort

__all__ = ["draw_segsort_grid", "draw_segsort_k", "draw_segsort_kappa"]

VOTERS = (1, 3, 5, 9, 15, 21, 31)
KAPPAS = (1.0, 5.0, 10.0, 20.0, 50.0)
GRIDS = (3, 4, 5, 6, 8, 10)
SPLIT = "val"  # settings are compared on validation images


def draw_segsort_k(folder: str | Path, *, quick: bool = False, seed: int = 0) -> FigureResult:
    """Let 1 to 31 neighbours vote on each segment, of one trained model.

    Args:
        folder: where ``segsort_k.png`` and ``.csv`` go.
        quick: a few updates on drawn shapes, 1 and 15 neighbours.
        seed: of weights and order.

    Returns:
        The files, and the mIoU on validation images for each k. The paper takes 15 to 21.
    """
    effort = QUICK if quick else FULL
    model, _ = train_segsort(effort, seed)
    rows = []
    for k in (1, 15) if quick else VOTERS:
        model.configure(**{"decoding.k": k})
        rows.append({"k": k, **score(by_retrieval(model), effort, SPLIT)})
    return _told(folder, "k", "neighbours that vote, k", "paper: 15 to 21", rows)


def draw_segsort_kappa(folder: str | Path, *, quick: bool = False, seed: int = 0) -> FigureResult:
    """Train with several concentrations.

    Args:
        folder: where ``segsort_kappa.png`` and ``.csv`` go.
        quick: a few updates on drawn shapes, two concentrations.
        seed: of weights and order.

    Returns:
        The files, and the mIoU on validation images for each kappa. The paper takes 10.
    """
    values = (5.0, 10.0) if quick else KAPPAS
    rows = _trained("loss.concentration", "kappa", values, quick, seed)
    return _told(folder, "kappa", "concentration kappa", "paper: 10", rows)


def draw_segsort_grid(folder: str | Path, *, quick: bool = False, seed: int = 0) -> FigureResult:
    """Train and predict with several numbers of cells from which k-means starts.

    Args:
        folder: where ``segsort_grid.png`` and ``.csv`` go.
        quick: a few updates on drawn shapes, two grids.
        seed: of weights and order.

    Returns:
        The files, and the mIoU on validation images for each grid. The paper takes 5, its later
        code 6.
    """
    rows = _trained("loss.grid", "grid", (3, 5) if quick else GRIDS, quick, seed)
    return _told(folder, "grid", "cells along a side", "paper: 5", rows)


def _trained(
    path: str, name: str, values: Sequence[float], quick: bool, seed: int
) -> list[dict[str, Any]]:
    effort = QUICK if quick else replace(FULL, seeds=1)
    rows = []
    for value in values:
        model, seconds = train_segsort(effort, seed, {path: value})
        told = score(by_retrieval(model), effort, SPLIT)
        rows.append({name: value, "miou": told["miou"], "minutes": seconds / 60})
    return rows


def _told(
    folder: str | Path, name: str, label: str, remark: str, rows: list[dict[str, Any]]
) -> FigureResult:
    table = [{name: row[name], "miou": row["miou"]} for row in rows]
    numbers = {f"{name} {row[name]:g}": row["miou"] for row in rows}
    figure = settings_curve(rows, name, label, remark)
    return save_figure(folder, f"segsort_{name}", figure, table, numbers)
