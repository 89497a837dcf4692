"""Smallest margin for a number of groups (RPE, proposition 2 and beyond)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from congeal.experiments.result import FigureResult, house_style, new_figure, note, save_figure
from congeal.figures.plots import LINES, SOFT
from congeal.sphere import optimise_directions, smallest_margin, smallest_margin_bounds

__all__ = ["draw_margins", "exact_margin", "numerical_margin"]

DIMENSIONS = (3, 4, 8, 16, 32, 64)
GROUPS = (*range(2, 17), 20, 24, 32, 48, 64, 96, 128)
SMALL = 32  # up to this number of groups, more starts and steps are affordable

Row = dict[str, Any]


def exact_margin(groups: int, dimensions: int) -> float | None:
    """Smallest margin if known: simplex for n <= D + 1, cross-polytope for n <= 2 D.

    Example:
        >>> exact_margin(128, 64), exact_margin(129, 64)
        (0.5, None)
    """
    return smallest_margin(groups, dimensions) if groups <= 2 * dimensions else None


def numerical_margin(
    groups: int, dimensions: int, *, steps: int = 1000, restarts: int = 8, seed: int = 0
) -> float:
    """Upper bound of the smallest margin, by numerical optimisation (Tammes' problem).

    Example:
        >>> round(numerical_margin(4, 3, steps=300), 3)
        0.333
    """
    directions = optimise_directions(groups, dimensions, steps=steps, restarts=restarts, seed=seed)
    cosine = directions @ directions.T - 2 * torch.eye(groups, dtype=directions.dtype)
    return float(0.5 + 0.5 * cosine.max())


def draw_margins(folder: str | Path, *, quick: bool = False, seed: int = 0) -> FigureResult:
    """Draw the smallest margin without loss for 2 to 128 groups in 3 to 64 dimensions.

    Values are exact if known, otherwise numerical. For 3 dimensions all values are computed
    numerically too, as a check, and both bounds of proposition 2 are drawn.

    Args:
        folder: for ``margins.png`` and ``margins.csv``.
        quick: fewer groups and dimensions.
        seed: seed of the starts of the optimisation.

    Returns:
        The files; the numerical margins of 4 to 7 groups in 3 dimensions; the margins of 128 groups
        in 3 and 64 dimensions; and the largest ``gap_to_exact`` of the optimisation.
    """
    dimensions = (3, 4) if quick else DIMENSIONS
    counts = (2, 3, 4, 5, 6, 7, 8, 16) if quick else GROUPS
    rows = []
    for dimension in dimensions:
        rows += _monotone([_row(n, dimension, quick, seed) for n in counts])
    return save_figure(folder, "margins", _draw(rows), rows, _summary(rows))


def _row(groups: int, dimensions: int, quick: bool, seed: int) -> Row:
    exact = exact_margin(groups, dimensions)
    effort = {"steps": 400, "restarts": 4} if quick else {"steps": 700, "restarts": 6}
    if groups > SMALL:
        effort = {"steps": 800, "restarts": 3}
    wanted = exact is None or dimensions == 3
    numerical = numerical_margin(groups, dimensions, seed=seed, **effort) if wanted else None
    low, high = smallest_margin_bounds(groups) if dimensions == 3 else (None, None)
    return {
        "dimensions": dimensions,
        "groups": groups,
        "exact": exact,
        "numerical": numerical,
        "lower_bound": low,
        "upper_bound": high,
    }


def _monotone(rows: list[Row]) -> list[Row]:
    """Make numerical margins monotone: a solution for n + 1 groups contains one for n."""
    least = math.inf
    for row in reversed(rows):
        if row["numerical"] is not None:
            row["numerical"] = least = min(least, row["numerical"])
    return rows


def _best(row: Row) -> float:
    return float(row["numerical"] if row["exact"] is None else row["exact"])


def _summary(rows: list[Row]) -> dict[str, float]:
    numbers = {
        f"n={row['groups']} D=3": row["numerical"]
        for row in rows
        if row["dimensions"] == 3 and row["groups"] in (4, 5, 6, 7)
    }
    numbers |= {f"n=128 D={r['dimensions']}": _best(r) for r in rows if r["groups"] == 128}
    both = [r for r in rows if r["exact"] is not None and r["numerical"] is not None]
    return {**numbers, "gap_to_exact": max(abs(r["numerical"] - r["exact"]) for r in both)}


def _draw(rows: list[Row]) -> Figure:
    dimensions = sorted({row["dimensions"] for row in rows})
    with house_style():
        figure = new_figure(8.6, 4.6, "Smallest margin at which groups fit on the sphere")
        axes = figure.subplots()
        _draw_bounds(axes, [row for row in rows if row["dimensions"] == 3])
        for dimension, colour in zip(dimensions, LINES, strict=False):
            of_it = [row for row in rows if row["dimensions"] == dimension]
            _draw_dimension(axes, of_it, colour, f"D = {dimension}")
        axes.axhline(0.5, color=SOFT, linewidth=0.8, linestyle=(0, (1, 2)))
        most = max(row["groups"] for row in rows)
        ticks = [2**power for power in range(1, 8) if 2**power <= most]
        axes.set_xscale("log", base=2)
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.set(xlabel="groups", ylabel="margin α", xlim=(1.9, most * 1.08), ylim=(-0.02, 1.02))
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
        note(axes, "full: exact (simplex, cross-polytope)\nhollow: best placing found", 0.02, 0.9)
        note(axes, "a right angle, α = .5:\nroom for 2 D groups", 0.02, 0.52)
    return figure


def _draw_bounds(axes: Axes, rows: list[Row]) -> None:
    groups = [row["groups"] for row in rows]
    low, high = ([row[name] for row in rows] for name in ("lower_bound", "upper_bound"))
    axes.fill_between(groups, low, high, color=LINES[0], alpha=0.1, linewidth=0)
    axes.plot(groups, low, "--", color=LINES[0], linewidth=1, label="D = 3, not below")
    axes.plot(groups, high, ":", color=LINES[0], linewidth=1.2, label="D = 3, enough (C = 1)")


def _draw_dimension(axes: Axes, rows: list[Row], colour: str, label: str) -> None:
    groups, best = [row["groups"] for row in rows], [_best(row) for row in rows]
    axes.plot(groups, best, color=colour, linewidth=1.5, label=label)
    for row, value in zip(rows, best, strict=True):
        face = colour if row["exact"] is not None else "white"
        axes.plot(
            row["groups"], value, "o", color=colour, markerfacecolor=face, markersize=4, zorder=3
        )
