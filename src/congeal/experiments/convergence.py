"""Cubic convergence of blurring mean shift.

For a Gaussian group of standard deviation s and a kernel of bandwidth h, one step of blurring mean
shift reduces s to s^3 / (s^2 + h^2) (Carreira-Perpinan, 2006); on the sphere h^2 = 1 / kappa. If
the group is tighter than the kernel, the logarithm of the error triples at each step. For step
lengths below 1, and for ordinary mean shift with fixed data, convergence is only linear.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from congeal.experiments.result import FigureResult, house_style, new_figure, note, save_figure
from congeal.figures.plots import GRID, LINES, SOFT
from congeal.grouping.mean_shift import mean_shift_step
from congeal.sphere import concentration_from_margin, normalise, vmf_kernel

__all__ = ["distances", "draw_convergence", "tight_group"]

CONCENTRATION = concentration_from_margin(0.5)
DIMENSIONS = (3, 16, 64)
FLOOR = 1e-14  # smaller distances are rounding errors
SHOWN = 12  # steps in the picture
SETTLED = 80  # steps after which all methods have converged

Row = dict[str, Any]
Step = Callable[[Tensor], Tensor]


def tight_group(count: int, dimensions: int, spread: float, seed: int = 0) -> Tensor:
    """Draw one group around a direction: `(count, dimensions)` unit vectors in float64.

    Args:
        count: of points.
        dimensions: D.
        spread: standard deviation along each direction of the sphere, in radians.
        seed: of the draw.

    Example:
        >>> tight_group(5, 3, 0.1).shape
        torch.Size([5, 3])
    """
    generator = torch.Generator().manual_seed(seed)
    across = torch.randn(count, dimensions - 1, generator=generator, dtype=torch.float64)
    along = torch.ones(count, 1, dtype=torch.float64)
    return normalise(torch.cat([along, spread * across], dim=1), dim=1)


def distances(points: Tensor, step: Step, steps: int, settled: int = SETTLED) -> list[float]:
    """Root mean square distance of points to their limit, before and after each step.

    Args:
        points: ``(N, D)`` unit vectors of one group.
        step: one step of mean shift.
        steps: number of distances after the first.
        settled: number of steps until convergence.

    Returns:
        ``steps + 1`` distances.

    Example:
        >>> halfway = lambda x: (x + torch.ones_like(x)) / 2
        >>> distances(torch.tensor([[3.0], [-1.0]]), halfway, 2, settled=60)
        [2.0, 1.0, 0.5]
    """
    trail = [points]
    for _ in range(max(steps, settled)):
        trail.append(step(trail[-1]))
    mode = trail[-1].mean(0)
    return [float((x - mode).square().sum(1).mean().sqrt()) for x in trail[: steps + 1]]


def _blur(points: Tensor, eta: float = 1.0) -> Tensor:
    moved = mean_shift_step(points[None], concentration=CONCENTRATION, eta=eta)
    return moved[0]


def _towards(data: Tensor, points: Tensor) -> Tensor:
    """One step of ordinary mean shift: the points move, the data are fixed."""
    kernel = vmf_kernel(points, data, CONCENTRATION)
    return normalise(kernel @ data, dim=1)


def draw_convergence(folder: str | Path, *, quick: bool = False, seed: int = 0) -> FigureResult:
    """Draw the distance of a tight group to its mode after each step of mean shift.

    Left: blurring mean shift, and two variants with linear convergence, step length .5 and ordinary
    mean shift with fixed data. Right: distance after one step over the distance before, for groups
    of several spreads and three dimensions.

    Args:
        folder: for ``convergence.png`` and ``convergence.csv``.
        quick: fewer points.
        seed: seed of the groups.

    Returns:
        The files, and ``exponent D=3`` (16, 64), the slope on the right, and ``exponent of
        steps``, the factor that multiplies the logarithm of the error in the last step that can
        be measured, for blurring mean shift and for the two others.
    """
    count = 150 if quick else 600
    rows = _trails(count // 2, seed)
    for dimensions in DIMENSIONS:
        rows += _one_step(count, dimensions, seed)
    numbers = {f"exponent D={d}": _slope(rows, d) for d in DIMENSIONS}
    for curve in ("blurring", "half step", "ordinary"):
        known = [r["exponent"] for r in rows if r["curve"] == curve and r["exponent"] is not None]
        numbers[f"exponent of steps, {curve}"] = known[-1]
    return save_figure(folder, "convergence", _draw(rows), rows, numbers)


def _trails(count: int, seed: int) -> list[Row]:
    """The steps of one group as wide as the kernel, by three methods."""
    points = tight_group(count, 3, 1 / math.sqrt(CONCENTRATION), seed)
    methods: dict[str, Step] = {
        "blurring": _blur,
        "half step": partial(_blur, eta=0.5),
        "ordinary": partial(_towards, points),
    }
    rows: list[Row] = []
    for curve, step in methods.items():
        found = distances(points, step, SHOWN)
        for index, distance in enumerate(found):
            row = {"curve": curve, "dimensions": 3, "step": index, "distance": distance}
            before = found[index - 1] if index else None
            rows.append({**row, "before": before, "exponent": _exponent(found, index)})
    return rows


def _exponent(found: list[float], index: int) -> float | None:
    """Ratio of the logarithms of the last two reductions; None below rounding errors."""
    if index < 2 or found[index] < FLOOR:
        return None
    return math.log(found[index] / found[index - 1]) / math.log(found[index - 1] / found[index - 2])


def _one_step(count: int, dimensions: int, seed: int) -> list[Row]:
    """Distance before and after the first step, for groups from tight to very tight."""
    rows: list[Row] = []
    for distance in np.geomspace(3e-4, 0.05, 9):
        spread = float(distance) / math.sqrt(dimensions - 1)
        found = distances(tight_group(count, dimensions, spread, seed), _blur, 1, settled=8)
        row = {"curve": "one step", "dimensions": dimensions, "step": 1, "distance": found[1]}
        rows.append({**row, "before": found[0], "exponent": None})
    return rows


def _slope(rows: list[Row], dimensions: int) -> float:
    of_it = [r for r in rows if r["curve"] == "one step" and r["dimensions"] == dimensions]
    before, after = (np.log([r[name] for r in of_it]) for name in ("before", "distance"))
    return float(np.polyfit(before, after, 1)[0])


def _draw(rows: list[Row]) -> Figure:
    with house_style():
        figure = new_figure(9.2, 4.0, "Blurring mean shift converges cubically")
        left, right = figure.subplots(1, 2)
        _draw_trails(left, rows)
        _draw_one_step(right, rows)
    return figure


def _draw_trails(axes: Axes, rows: list[Row]) -> None:
    labels = {
        "ordinary": "ordinary: the data stay",
        "half step": "blurring, step length .5",
        "blurring": "blurring, step length 1",
    }
    for (curve, label), colour in zip(labels.items(), (LINES[1], LINES[2], LINES[0]), strict=True):
        found = [row["distance"] for row in rows if row["curve"] == curve]
        kept = [value for value in found if value > FLOOR]
        axes.plot(kept, "o-", color=colour, linewidth=1.8, markersize=4, label=label)
    fast = [row["distance"] for row in rows if row["curve"] == "blurring"]
    below = next(index for index, value in enumerate(fast) if value <= FLOOR)
    axes.annotate(
        f"below 1e-14 at step {below}",
        (below - 1, fast[below - 1]),
        (below + 0.6, 1e-12),
        color=LINES[0],
        arrowprops={"arrowstyle": "-", "color": LINES[0], "linewidth": 0.8},
        fontsize=8.5,
    )
    axes.set_yscale("log")
    axes.axhspan(1e-17, FLOOR, color=GRID, alpha=0.6, linewidth=0)
    axes.text(SHOWN, FLOOR / 2, "rounding of float64", ha="right", va="top", color=SOFT, fontsize=8)
    axes.set(xlabel="steps", ylabel="distance to the mode", ylim=(1e-16, 3))
    axes.set_title("one group as wide as the kernel")
    axes.legend(loc="upper right", bbox_to_anchor=(1.0, 0.7), fontsize=8.5)


def _draw_one_step(axes: Axes, rows: list[Row]) -> None:
    for dimensions, colour in zip(DIMENSIONS, LINES, strict=False):
        of_it = [r for r in rows if r["curve"] == "one step" and r["dimensions"] == dimensions]
        before = np.array([row["before"] for row in of_it])
        after = [row["distance"] for row in of_it]
        label = f"D = {dimensions}, slope {_slope(rows, dimensions):.3f}"
        axes.loglog(before, after, "o", color=colour, markersize=4.5, label=label)
        theory = CONCENTRATION * before**3 / (dimensions - 1)
        axes.loglog(before, theory, color=colour, linewidth=1, alpha=0.7)
    axes.set(xlabel="distance before a step", ylabel="distance after it")
    axes.set_title("one step, groups of many spreads")
    axes.legend(loc="upper left", fontsize=8.5)
    note(axes, "lines: κ e³ / (D - 1)", 0.97, 0.04, ha="right")
