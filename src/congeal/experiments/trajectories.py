"""Points on a line, trained through mean shift (RPE, figure 13).

Points of three Gaussians are moved by gradient descent so that, after the grouping, a fixed linear
regressor gives 3 for some and 5 for the others. Settings of the paper: Gaussian blurring mean shift
of bandwidth .2, squared error, 30 updates of step .1, no grouping or 1 or 5 loops, and the loss
after the last loop only or after every loop.

Our choices, where the paper is not specific: the Gaussians have (mean, deviation) (3, .2), (4, .3)
and (5, .1), 30 points each; the regressor is the identity; the target of a point is the nearer one,
so the middle Gaussian is divided between both targets, like pixels between two objects; the loss
after every loop is the mean over t = 0..T, since a sum would make the step T + 1 times longer.

Four observations, as we interpret the figure, are checked by numbers of :func:`draw_trajectories`.
For seeds 0 to 6 the first, third and fourth held for all. The second held with 5 loops: for all
seeds with the loss at every loop, for all but seed 5 with the loss at the end.

1. Grouping moves neighbours together. Without it each point follows its own error; with it the
   points of a group have the same gradient and move in parallel (``spread of gradient``: standard
   deviation of the first gradient in the Gaussian at 5, relative to that without grouping).
2. The gradient concentrates on the points that grouping does not assign correctly: those between
   modes (``share of a tenth``: share of the tenth of the points with the largest gradient in the
   sum of squared first gradients).
3. With grouping the output is correct after fewer updates, while the points stay as spread as
   grouping allows (``updates to a tenth`` of the error, NaN if never reached; ``width`` of the
   Gaussian at 5 after all updates).
4. After many loops a single loss has no gradient for points in a wrong group, and its error stays;
   with a loss after every loop it does not (``error at the end``).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from congeal.experiments.result import FigureResult, house_style, new_figure, note, save_figure
from congeal.figures.plots import INK, LINES

__all__ = ["SETTINGS", "Run", "draw_trajectories", "follow", "gbms"]

GAUSSIANS = ((3.0, 0.2), (4.0, 0.3), (5.0, 0.1))
TARGETS = (3.0, 5.0)
BANDWIDTH = 0.2
UPDATES = 30
STEP = 0.1
POINTS = 30  # of each Gaussian

SETTINGS = {
    "no grouping": (0, False),
    "1 loop, loss at the end": (1, False),
    "5 loops, loss at the end": (5, False),
    "1 loop, loss at every loop": (1, True),
    "5 loops, loss at every loop": (5, True),
}
"""Number of loops, and whether the loss is computed after every loop."""


def gbms(points: Tensor, loops: int, bandwidth: float = BANDWIDTH) -> list[Tensor]:
    """Gaussian blurring mean shift on a line.

    Args:
        points: ``(N,)``.
        loops: steps T.
        bandwidth: standard deviation of the kernel.

    Returns:
        ``T + 1`` tensors ``(N,)``: the points, and the points after each step.

    Example:
        >>> [round(x, 3) for x in gbms(torch.tensor([0.0, 1.0]), 1, bandwidth=100.0)[1].tolist()]
        [0.5, 0.5]
    """
    trail = [points]
    for _ in range(loops):
        x = trail[-1]
        kernel = (-0.5 * ((x[:, None] - x) / bandwidth).square()).softmax(1)  # (N, N)
        trail.append(kernel @ x)
    return trail


@dataclass(frozen=True, eq=False)
class Run:
    """Result of one setting.

    Args:
        points: ``(updates + 1, N)``, before and after each update.
        error: ``(updates + 1,)``, mean squared error of the grouped points.
        gradient: ``(N,)``, of the first update.
    """

    points: Tensor
    error: Tensor
    gradient: Tensor


def follow(start: Tensor, target: Tensor, loops: int, *, every: bool) -> Run:
    """Move points by gradient descent through mean shift.

    Args:
        start: ``(N,)`` float64.
        target: ``(N,)``.
        loops: of mean shift.
        every: loss after every loop; else after the last one only.

    Example:
        >>> run = follow(torch.tensor([2.0]), torch.tensor([3.0]), 0, every=False)
        >>> round(run.points[1].item(), 3), run.error[0].item()
        (2.2, 1.0)
    """
    points, errors, gradients = [start], [], []
    for _ in range(UPDATES + 1):
        x = points[-1].detach().requires_grad_()
        trail = gbms(x, loops)
        terms = trail if every else trail[-1:]
        loss = torch.stack([(y - target).square().sum() for y in terms]).mean()
        (gradient,) = torch.autograd.grad(loss, x)
        errors.append((trail[-1] - target).square().mean().detach())
        gradients.append(gradient)
        points.append(x.detach() - STEP * gradient)
    return Run(torch.stack(points[:-1]), torch.stack(errors), gradients[0])


def _start(seed: int) -> tuple[Tensor, Tensor]:
    """The points ``(N,)`` and their targets ``(N,)``."""
    generator = torch.Generator().manual_seed(seed)
    parts = [
        mean + deviation * torch.randn(POINTS, generator=generator, dtype=torch.float64)
        for mean, deviation in GAUSSIANS
    ]
    points = torch.cat(parts)
    low, high = TARGETS
    return points, torch.where(points < (low + high) / 2, low, high).to(points)


def draw_trajectories(folder: str | Path, *, quick: bool = False, seed: int = 0) -> FigureResult:
    """Draw the paths of points trained through mean shift, in five settings.

    Args:
        folder: for ``trajectories.png`` and ``trajectories.csv``.
        quick: ignored; it takes a second.
        seed: seed of the points.

    Returns:
        The files, and for each setting the numbers of the four observations.
    """
    start, target = _start(seed)
    runs = {
        name: follow(start, target, loops, every=every) for name, (loops, every) in SETTINGS.items()
    }
    rows = [row for name, run in runs.items() for row in _rows(name, run, target)]
    return save_figure(folder, "trajectories", _draw(runs, target), rows, _numbers(runs))


def _rows(name: str, run: Run, target: Tensor) -> list[dict[str, Any]]:
    return [
        {
            "setting": name,
            "update": update,
            "point": point,
            "target": float(target[point]),
            "position": float(run.points[update, point]),
            "error": float(run.error[update]),
        }
        for update in range(UPDATES + 1)
        for point in range(len(target))
    ]


def _numbers(runs: dict[str, Run]) -> dict[str, float]:
    alone = runs["no grouping"].gradient[-POINTS:].std()
    numbers: dict[str, float] = {}
    for name, run in runs.items():
        squared = run.gradient.square().sort(descending=True).values
        below = (run.error < 0.1 * run.error[0]).nonzero()
        numbers |= {
            f"spread of gradient, {name}": float(run.gradient[-POINTS:].std() / alone),
            f"share of a tenth, {name}": float(squared[: len(squared) // 10].sum() / squared.sum()),
            f"updates to a tenth, {name}": float(below[0]) if len(below) else float("nan"),
            f"width, {name}": float(run.points[-1, -POINTS:].std()),
            f"error at the end, {name}": float(run.error[-1]),
        }
    return numbers


def _draw(runs: dict[str, Run], target: Tensor) -> Figure:
    with house_style():
        figure = new_figure(10.4, 6.2, "Points trained through mean shift to 3 and 5")
        grid = figure.subplots(2, 3)
        panels = [grid[0, 0], grid[0, 1], grid[0, 2], grid[1, 1], grid[1, 2]]
        for axes, (name, run) in zip(panels, runs.items(), strict=True):
            _draw_run(axes, name, run, target)
        _draw_errors(grid[1, 0], runs)
    return figure


def _draw_run(axes: Axes, name: str, run: Run, target: Tensor) -> None:
    for goal, colour in zip(TARGETS, LINES, strict=False):
        paths = run.points[:, target == goal].numpy()
        axes.plot(paths, color=colour, linewidth=0.7, alpha=0.55)
        axes.axhline(goal, color=INK, linewidth=0.8, linestyle=(0, (2, 3)))
    axes.set_title(name)
    axes.set(xlim=(0, UPDATES), ylim=(2.0, 5.6), xlabel="updates", ylabel="position")
    note(axes, f"error of the output {float(run.error[-1]):.4f}", 0.97, 0.02, ha="right")


def _draw_errors(axes: Axes, runs: dict[str, Run]) -> None:
    for index, (name, run) in enumerate(runs.items()):
        error = np.maximum(run.error.numpy(), 1e-7)
        style = "-" if index < 3 else "--"
        colour = (INK, *LINES)[index if index < 3 else index - 2]
        axes.semilogy(error, style, color=colour, linewidth=1.8, label=name)
    axes.set_title("error of the output")
    axes.set(xlim=(0, UPDATES), ylim=(5e-8, 2), xlabel="updates", ylabel="mean squared error")
    axes.legend(fontsize=7.2, loc="lower left", borderpad=0.2, labelspacing=0.3)
