"""AP^r against the range of the window of pairs (table 7)."""

from __future__ import annotations

from pathlib import Path

from congeal.experiments.dvis.small import budget_of, draw_lines, scores, shapes, train_small
from congeal.experiments.result import Claim, FigureResult, house_style, new_figure, save_figure

__all__ = ["draw_dvis_table7"]

PAPER = {8: 0.446, 16: 0.445, 32: 0.464, 64: 0.541, 128: 0.566}  # AP^r_avg, VOC 2012 val
PAPER_MAP = 129  # px, side of the paper's value map


def draw_dvis_table7(
    folder: str | Path, *, quick: bool = False, seed: int = 0, minutes: float | None = None
) -> FigureResult:
    """Train once per range; ranges are the paper's, relative to the side of the value map.

    Args:
        folder: where ``dvis_table7.png`` and ``dvis_table7.csv`` go.
        quick: the shortest and the longest range for a few updates, to see that it runs.
        seed: of the network, the drawings and the training.
        minutes: of each training; None: a fixed number of updates.

    Returns:
        The files; AP^r_avg by range in pixels of the paper's map.
    """
    budget = budget_of(quick, minutes)
    chosen = list(PAPER)[:: 4 if quick else 1]
    train, test = (shapes(split, budget, seed) for split in ("train", "test"))
    found = {}
    for reach in chosen:
        window = 2 * max(1, round(reach * budget.side / 2 / PAPER_MAP / 2)) + 1
        model = train_small(train, budget, seed, **{"loss.window": window})
        found[reach] = scores(model, test)["apr_dvis"]
    rows = [{"range": reach, "here": found[reach], "paper": PAPER[reach]} for reach in chosen]
    first, last = found[chosen[0]], found[chosen[-1]]
    claim = Claim(
        "the long range matters",
        f"{PAPER[8]} at 8 to {PAPER[128]} at 128 (VOC 2012 val)",
        f"{first:.3f} to {last:.3f} (drawn shapes)",
        last > first,
    )
    with house_style():
        figure = new_figure(5.6, 4.0, "AP^r against the range of the window")
        lines = {"here": [found[r] for r in chosen], "paper": [PAPER[r] for r in chosen]}
        labels = ("range, px of a map of 129", "AP^r, mean over IoU .5 to .9")
        draw_lines(figure.subplots(), [float(r) for r in chosen], lines, labels)
    numbers = {f"AP^r_avg at {reach}": value for reach, value in found.items()}
    return save_figure(folder, "dvis_table7", figure, rows, numbers, [claim])
