"""Candidates of an image against its number of objects (table 6, figure 3 of the supplement)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from congeal.data.sample import Dataset
from congeal.experiments.dvis.small import budget_of, shapes, trained_on_shapes
from congeal.experiments.result import Claim, FigureResult, house_style, new_figure, save_figure
from congeal.methods.dvis import DVIS

__all__ = ["count_candidates", "draw_dvis_table6"]

OBJECTS = (2, 4, 6, 8)
PAPER = (5, 15)  # candidates of an image


def count_candidates(model: DVIS, data: Dataset) -> list[int]:
    """Candidates that are verified, image by image."""
    maps = (model.predict_maps(sample.image) for sample in data)
    return [len(model.find(one.maps["values"])) for one in maps]


def draw_dvis_table6(
    folder: str | Path, *, quick: bool = False, seed: int = 0, minutes: float | None = None
) -> FigureResult:
    """Count the candidates in unseen drawn scenes of 2, 4, 6 and 8 shapes.

    Args:
        folder: where ``dvis_table6.png`` and ``dvis_table6.csv`` go.
        quick: a few updates only, which shows nothing but that it runs.
        seed: of the network, the drawings and the training.
        minutes: of each training; None: a fixed number of updates.

    Returns:
        The files; mean candidates of an image, by objects and over all.
    """
    budget = budget_of(quick, minutes)
    model = trained_on_shapes(budget, seed)
    counts = {n: count_candidates(model, shapes("test", budget, seed, objects=n)) for n in OBJECTS}
    rows = [{"objects": n, "candidates": count} for n, one in counts.items() for count in one]
    means = {n: float(np.mean(one)) for n, one in counts.items()}
    whole = float(np.mean(list(means.values())))
    claim = Claim(
        "few candidates are left to verify",
        f"{PAPER[0]} to {PAPER[1]} an image (VOC 2012)",
        f"{whole:.1f} in the mean (drawn shapes)",
        0 < whole <= PAPER[1],
    )
    with house_style():
        figure = new_figure(5.6, 4.0, "Candidates of an image against its objects")
        axes = figure.subplots()
        axes.boxplot(list(counts.values()), tick_labels=[str(n) for n in OBJECTS])
        axes.set(xlabel="objects", ylabel="candidates")
        axes.axhspan(*PAPER, alpha=0.15, label="paper, VOC 2012")
        axes.legend(fontsize=8.5)
    numbers = {f"candidates of {n} objects": mean for n, mean in means.items()}
    numbers["candidates"] = whole
    return save_figure(folder, "dvis_table6", figure, rows, numbers, [claim])
