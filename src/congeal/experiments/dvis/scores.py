"""AP^r at several IoU and its two averages (table 1)."""

from __future__ import annotations

from pathlib import Path

from congeal.experiments.dvis.small import (
    budget_of,
    draw_lines,
    scores,
    shapes,
    trained_on_shapes,
)
from congeal.experiments.result import Claim, FigureResult, house_style, new_figure, save_figure

__all__ = ["draw_dvis_table1"]

PAPER = {0.5: 0.703, 0.6: 0.680, 0.7: 0.602, 0.8: 0.506, 0.9: 0.337}  # VOC 2012 val
PAPER_MEAN = 0.566


def draw_dvis_table1(
    folder: str | Path, *, quick: bool = False, seed: int = 0, minutes: float | None = None
) -> FigureResult:
    """Train on drawn shapes of four classes that overlap and score AP^r on unseen ones.

    Args:
        folder: where ``dvis_table1.png`` and ``dvis_table1.csv`` go.
        quick: a few updates only, which shows nothing but that it runs.
        seed: of the network, the drawings and the training.
        minutes: of each training; None: a fixed number of updates.

    Returns:
        The files; AP^r at each IoU, its mean over .5 to .9 (``AP^r_avg``) and over .1 to .9
        (``AP^r_vol``).
    """
    budget = budget_of(quick, minutes)
    found = scores(trained_on_shapes(budget, seed), shapes("test", budget, seed))
    ours = [found[f"apr@{iou:g}"] for iou in PAPER]
    rows = [
        {"iou": iou, "here": here, "paper": paper}
        for here, (iou, paper) in zip(ours, PAPER.items(), strict=True)
    ]
    mean = found["apr_dvis"]
    claim = Claim(
        "AP^r_avg is at least the paper's",
        f"{PAPER_MEAN} (VOC 2012 val)",
        f"{mean:.3f} (drawn shapes)",
        mean >= PAPER_MEAN,
    )
    with house_style():
        figure = new_figure(5.6, 4.0, f"AP^r on drawn shapes, mean {mean:.2f}")
        lines = {"here, drawn shapes": ours, "paper, VOC 2012": list(PAPER.values())}
        draw_lines(figure.subplots(), list(PAPER), lines, ("IoU of a match", "AP^r"))
    numbers = {f"AP^r@{iou:g}": here for iou, here in zip(PAPER, ours, strict=True)}
    numbers |= {"AP^r_avg": mean, "AP^r_vol": found["apr_vol"]}
    return save_figure(folder, "dvis_table1", figure, rows, numbers, [claim])
