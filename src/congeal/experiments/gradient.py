"""The gradient on embeddings with and without grouping (RPE, figure 5).

Without grouping, every misplaced pixel gets a gradient. Mean shift moves most of them to the right
mode anyway; with the loss after mean shift, the gradient concentrates on pixels for which it does
not: those between two modes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from congeal.experiments.result import FigureResult, house_style, new_figure, save_figure, show_map
from congeal.figures.plots import INK, SOFT
from congeal.grouping.mean_shift import MeanShift
from congeal.losses.pairwise import pairwise_loss
from congeal.sphere import normalise

__all__ = ["Scene", "between_modes", "draw_gradient", "draw_scene", "gradients"]

MARGIN = 0.5
STEPS = 5
NOISE = 0.28
COLOURS = ("#9aa4af", "#0f766e", "#d97706")
NAMES = ("ground", "object 1", "object 2")
PLACES = ((-1.2, -0.95, "left"), (1.2, -0.95, "right"), (0, 1.06, "center"))  # of the names
LOSSES = {
    "alone": "no grouping",
    "every step": f"loss at steps 0 to {STEPS}",
    "last step": f"loss at step {STEPS} only",
}


@dataclass(frozen=True, eq=False)
class Scene:
    """A drawn image of two objects on a background, with noisy embeddings.

    Args:
        embedding: ``(D, H, W)`` float64 unit vectors.
        labels: ``(H, W)`` int64, 0, 1 and 2.
        doubtful: ``(H, W)`` bool, part of object 1 with embeddings between those of both objects.
    """

    embedding: Tensor
    labels: Tensor
    doubtful: Tensor


def draw_scene(side: int = 40, seed: int = 0) -> Scene:
    """Draw two discs on a background, with orthogonal modes, for which the loss is 0.

    Example:
        >>> scene = draw_scene(20)
        >>> scene.embedding.shape, scene.labels.unique().tolist()
        (torch.Size([3, 20, 20]), [0, 1, 2])
    """
    generator = torch.Generator().manual_seed(seed)
    row, column = torch.meshgrid(*[(torch.arange(side) + 0.5) / side] * 2, indexing="ij")
    labels = torch.zeros(side, side, dtype=torch.int64)
    labels[(row - 0.5).square() + (column - 0.29).square() < 0.22**2] = 1
    labels[(row - 0.5).square() + (column - 0.71).square() < 0.22**2] = 2
    doubtful = (labels == 1) & (column > 0.37) & ((row - 0.5).abs() < 0.1)
    modes = torch.eye(3, dtype=torch.float64)[labels].permute(2, 0, 1)  # (D, H, W)
    share = 0.42 + 0.16 * torch.rand(side, side, generator=generator, dtype=torch.float64)
    between = torch.stack([torch.zeros_like(share), 1 - share, share])
    noise = torch.randn(3, side, side, generator=generator, dtype=torch.float64)
    clean = torch.where(doubtful, between, modes)
    scale = torch.where(doubtful, NOISE / 4, NOISE)
    return Scene(normalise(clean + scale * noise, dim=0), labels, doubtful)


def between_modes(scene: Scene, gap: float = 0.3) -> Tensor:
    """Pixels `(H, W)` with a difference of the cosines to the two nearest modes below ``gap``.

    These are most pixels of the doubtful part, and some others due to noise.

    Example:
        >>> bool(between_modes(draw_scene(20)).any())
        True
    """
    first, second = scene.embedding.topk(2, dim=0).values  # the modes are the axes
    between: Tensor = first - second < gap
    return between


def gradients(scene: Scene, steps: int = STEPS) -> dict[str, Tensor]:
    """Gradients ``(D, H, W)`` of the loss without grouping, after every step, after the last.

    Example:
        >>> [name for name in gradients(draw_scene(16), steps=2)]
        ['alone', 'every step', 'last step']
    """
    embedding = scene.embedding[None].clone().requires_grad_()  # (1, D, H, W)
    labels = scene.labels[None]
    shift = MeanShift(margin=MARGIN, steps=steps)
    losses = {
        "alone": pairwise_loss(embedding, labels, margin=MARGIN),
        "every step": pairwise_loss(embedding, labels, margin=MARGIN, grouping=shift),
        "last step": pairwise_loss(shift(embedding)[-1], labels, margin=MARGIN),
    }
    return {name: torch.autograd.grad(loss, embedding)[0][0] for name, loss in losses.items()}


def draw_gradient(folder: str | Path, *, quick: bool = False, seed: int = 0) -> FigureResult:
    """Draw the gradient on the embeddings of a small scene, as maps and as arrows on the sphere.

    Args:
        folder: for ``gradient.png`` and ``gradient.csv``.
        quick: a smaller image.
        seed: seed of the noise.

    Returns:
        The files; for each loss ``in doubt over others``, the mean gradient norm of pixels between
        two modes divided by that of other pixels, and their ``share of total`` norm.
    """
    scene = draw_scene(32 if quick else 40, seed)
    found = gradients(scene)
    lengths = {name: g.norm(dim=0).numpy() for name, g in found.items()}
    between = between_modes(scene).numpy()
    numbers: dict[str, float] = {}
    for name, length in lengths.items():
        ratio = length[between].mean() / length[~between].mean()
        numbers[f"in doubt over others, {name}"] = float(ratio)
        numbers[f"share of total, {name}"] = float(length[between].sum() / length.sum())
    figure = _draw(scene, found)
    return save_figure(folder, "gradient", figure, _rows(scene, lengths), numbers)


def _rows(scene: Scene, lengths: dict[str, NDArray[np.float64]]) -> list[dict[str, Any]]:
    between = between_modes(scene)
    return [
        {
            "row": row,
            "column": column,
            "label": int(scene.labels[row, column]),
            "doubtful": int(scene.doubtful[row, column]),
            "between": int(between[row, column]),
            **{name: float(length[row, column]) for name, length in lengths.items()},
        }
        for row in range(len(scene.labels))
        for column in range(len(scene.labels))
    ]


def _draw(scene: Scene, found: dict[str, Tensor]) -> Figure:
    with house_style():
        figure = new_figure(11.4, 6.0, "Gradient on the embeddings, with and without grouping")
        grid = figure.subplots(2, 4)
        picture = np.array([_rgb(colour) for colour in COLOURS])[scene.labels.numpy()]
        show_map(grid[0, 0], picture, "two objects on a ground")
        _mark(grid[0, 0], scene.doubtful)
        _draw_points(grid[1, 0], scene)
        for column, (name, gradient) in enumerate(found.items(), start=1):
            length = gradient.norm(dim=0).numpy()
            shown = show_map(
                grid[0, column], length / length.mean(), LOSSES[name], cmap="magma", vmin=0, vmax=8
            )
            _mark(grid[0, column], scene.doubtful)
            _draw_arrows(grid[1, column], scene, gradient)
        bar = figure.colorbar(shown, ax=list(grid[0]), shrink=0.8, pad=0.01)
        bar.set_label("length over its mean")
        bar.outline.set_visible(False)
    return figure


def _rgb(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))


def _mark(axes: Axes, doubtful: Tensor) -> None:
    """Frame the doubtful part."""
    axes.contour(doubtful.numpy().astype(float), levels=[0.5], colors="white", linewidths=1.2)


def _flat(vectors: Tensor) -> NDArray[np.float64]:
    """View of `(P, 3)` vectors along (1, 1, 1), `(P, 2)`: the three modes at 120 degrees."""
    right = torch.tensor([-1.0, -1.0, 2.0], dtype=torch.float64) / math.sqrt(6)
    up = torch.tensor([-1.0, 1.0, 0.0], dtype=torch.float64) / math.sqrt(2)
    turned = torch.stack([vectors @ up, vectors @ right], 1).numpy()
    return np.asarray(turned)


def _prepare(axes: Axes, title: str) -> None:
    axes.set_title(title)
    angle = np.linspace(0, 2 * math.pi, 200)
    axes.plot(np.cos(angle), np.sin(angle), color="#d3d9df", linewidth=1)
    axes.set(xlim=(-1.22, 1.22), ylim=(-1.22, 1.22), aspect="equal")
    axes.set_axis_off()


def _draw_points(axes: Axes, scene: Scene) -> None:
    _prepare(axes, "embeddings")
    points, labels = _flat(scene.embedding.flatten(1).T), scene.labels.flatten().numpy()
    doubtful = scene.doubtful.flatten().numpy()
    for label, colour in enumerate(COLOURS):
        chosen = (labels == label) & ~doubtful
        axes.scatter(
            points[chosen, 0], points[chosen, 1], s=4, color=colour, alpha=0.6, linewidth=0
        )
    x, y = points[doubtful].T
    axes.scatter(x, y, s=9, color=COLOURS[1], edgecolor=INK, linewidth=0.5)
    for (x, y, side), colour, name in zip(PLACES, COLOURS, NAMES, strict=True):
        axes.text(x, y, name, ha=side, fontsize=8, color=colour)
    axes.text(0, -1.2, "ringed, and black: in doubt", ha="center", fontsize=8, color=SOFT)


def _draw_arrows(axes: Axes, scene: Scene, gradient: Tensor) -> None:
    """Draw the descent directions of some pixels, scaled to equal longest arrows in all panels."""
    _prepare(axes, "descent")
    doubtful = scene.doubtful.flatten()
    order = torch.randperm(len(doubtful), generator=torch.Generator().manual_seed(0))
    shown = order[(~doubtful)[order]][:220]
    shown = torch.cat([shown, doubtful.nonzero()[:, 0]])
    start = _flat(scene.embedding.flatten(1).T[shown])
    step = _flat(-gradient.flatten(1).T[shown])
    step *= 0.4 / np.quantile(np.linalg.norm(step, axis=1), 0.98)
    colours = np.array(COLOURS, object)[scene.labels.flatten()[shown].numpy()]
    colours[doubtful[shown].numpy()] = INK
    axes.quiver(
        *start.T, *step.T, color=list(colours), angles="xy", scale_units="xy", scale=1, width=0.006
    )
