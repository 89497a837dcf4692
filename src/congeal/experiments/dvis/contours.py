"""Contour F1 without and with the Mumford-Shah and quantisation terms (table 8)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from congeal.experiments.dvis.small import budget_of, draw_lines, scores, shapes, train_small
from congeal.experiments.result import Claim, FigureResult, house_style, new_figure, save_figure

__all__ = ["draw_dvis_table8"]

LIMITS = (1, 5, 10)  # px
PAPER = {  # at 1, 5 and 10 px, VOC 2012 val
    "neither": (0.216, 0.591, 0.696),
    "Mumford-Shah": (0.235, 0.596, 0.699),
    "both": (0.233, 0.602, 0.717),
}
LEFT_OUT = {
    "neither": {"loss.mumford_shah_weight": 0.0, "loss.quantisation_weight": 0.0},
    "Mumford-Shah": {"loss.quantisation_weight": 0.0},
    "both": {},
}


def draw_dvis_table8(
    folder: str | Path, *, quick: bool = False, seed: int = 0, minutes: float | None = None
) -> FigureResult:
    """Train without both terms, with one and with both, and compare contours of classes.

    Args:
        folder: where ``dvis_table8.png`` and ``dvis_table8.csv`` go.
        quick: a few updates only, which shows nothing but that it runs.
        seed: of the network, the drawings and the training.
        minutes: of each training; None: a fixed number of updates.

    Returns:
        The files; F1 at 1, 5 and 10 px of each variant.
    """
    budget = budget_of(quick, minutes)
    train, test = (shapes(split, budget, seed) for split in ("train", "test"))
    found = {}
    for name, settings in LEFT_OUT.items():
        model = train_small(train, budget, seed, **settings)
        got = scores(model, test, "contour-f1")
        found[name] = [got[f"contour_f1@{limit}"] for limit in LIMITS]
    rows: list[dict[str, Any]] = [
        {"terms": name, "px": limit, "here": here, "paper": paper}
        for name in PAPER
        for limit, here, paper in zip(LIMITS, found[name], PAPER[name], strict=True)
    ]
    pair = found["neither"][0], found["both"][0]
    claim = Claim(
        "both terms sharpen contours at 1 px",
        f"{PAPER['neither'][0]} to {PAPER['both'][0]} (VOC 2012 val)",
        f"{pair[0]:.3f} to {pair[1]:.3f} (drawn shapes)",
        pair[1] > pair[0],
    )
    with house_style():
        figure = new_figure(5.6, 4.0, "Contour F1 without and with the terms of the outline")
        lines = {f"{name}, here": line for name, line in found.items()}
        lines |= {f"{name}, paper": list(line) for name, line in PAPER.items()}
        labels = ("distance, px", "contour F1")
        draw_lines(figure.subplots(), [float(limit) for limit in LIMITS], lines, labels)
    numbers = {
        f"{name} @{limit}": value
        for name, line in found.items()
        for limit, value in zip(LIMITS, line, strict=True)
    }
    return save_figure(folder, "dvis_table8", figure, rows, numbers, [claim])
