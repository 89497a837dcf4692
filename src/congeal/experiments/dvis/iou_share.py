"""AP^r against a, the share of the predicted IoU in the score (figure 5)."""

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

__all__ = ["draw_dvis_figure5"]

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


def draw_dvis_figure5(
    folder: str | Path, *, quick: bool = False, seed: int = 0, minutes: float | None = None
) -> FigureResult:
    """Score one trained model with several a, no candidate rejected.

    Args:
        folder: where ``dvis_figure5.png`` and ``dvis_figure5.csv`` go.
        quick: a few updates only, which shows nothing but that it runs.
        seed: of the network, the drawings and the training.
        minutes: of each training; None: a fixed number of updates.

    Returns:
        The files; AP^r_avg by a.
    """
    budget = budget_of(quick, minutes)
    model, test = trained_on_shapes(budget, seed), shapes("test", budget, seed)
    usual, found = model.config, {}
    for share in SHARES:
        model.configure(iou_share=share)
        found[share] = scores(model, test)["apr_dvis"]
    model.config = usual
    best = max(found, key=lambda share: found[share])
    claim = Claim(
        "predicted IoU improves the score of the class head alone",
        "best for a between 0 and 1 (VOC 2012 val)",
        f"best at a = {best:g}: {found[best]:.3f}, {found[0.0]:.3f} at 0 (drawn shapes)",
        found[best] > found[0.0],
    )
    with house_style():
        figure = new_figure(5.6, 4.0, "AP^r against the share of predicted IoU")
        labels = ("a of a S_iou + (1 - a) S_cls", "AP^r, mean over IoU .5 to .9")
        draw_lines(figure.subplots(), list(SHARES), {"here": list(found.values())}, labels)
    rows = [{"a": share, "AP^r_avg": value} for share, value in found.items()]
    numbers = {f"AP^r_avg at a = {share:g}": value for share, value in found.items()}
    return save_figure(folder, "dvis_figure5", figure, rows, numbers, [claim])
