"""The loss of a pair against its similarity (RPE, figure 2)."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from congeal.experiments.result import FigureResult, house_style, new_figure, save_figure
from congeal.figures.plots import INK, LINES
from congeal.losses.pairwise import pairwise_loss
from congeal.sphere import angle_from_margin

__all__ = ["MARGINS", "draw_loss", "pair_loss"]

MARGINS = (0.1, 0.25, 0.5, 0.75)


def pair_loss(similarity: float, *, same: bool, margin: float) -> float:
    """Loss of one pair of pixels, computed by :func:`pairwise_loss` for an image of two pixels.

    In such an image the pair has half of the weight; the other half is of pairs of a pixel with
    itself, whose loss is 0.

    Args:
        similarity: s of the pair, 0..1.
        same: whether both pixels are of the same group.
        margin: alpha.

    Example:
        >>> pair_loss(0.75, same=True, margin=0.5), pair_loss(0.75, same=False, margin=0.5)
        (0.25, 0.25)
    """
    cosine = 2 * similarity - 1
    across = math.sqrt(max(0.0, 1 - cosine * cosine))
    pair = torch.tensor([[[1.0, cosine], [0.0, across]]], dtype=torch.float64)  # (1, D, 2)
    labels = torch.tensor([[1, 1 if same else 2]])
    return 2 * float(pairwise_loss(pair, labels, margin=margin))


def draw_loss(folder: str | Path, *, quick: bool = False, seed: int = 0) -> FigureResult:
    """Draw the loss of pairs of one group, and of two groups for several margins.

    Args:
        folder: for ``loss.png`` and ``loss.csv``.
        quick: fewer points.
        seed: not used.

    Returns:
        The files, and ``gap_to_formula``: the largest difference to 1 - s and max(s - alpha, 0).
    """
    count = 11 if quick else 61
    angles = np.linspace(0, math.pi, count)  # evenly in both, for the two panels
    similarity = np.unique(np.concatenate([np.linspace(0, 1, count), 0.5 + 0.5 * np.cos(angles)]))
    similarity = np.unique(np.concatenate([similarity.clip(0, 1), MARGINS]))
    curves = {"positive": [pair_loss(s, same=True, margin=0.5) for s in similarity]}
    gaps = [np.abs(np.array(curves["positive"]) - (1 - similarity)).max()]
    for margin in MARGINS:
        values = [pair_loss(s, same=False, margin=margin) for s in similarity]
        curves[f"negative@{margin:g}"] = values
        gaps.append(np.abs(np.array(values) - np.maximum(similarity - margin, 0)).max())
    rows = [
        {"similarity": float(s), **{name: values[i] for name, values in curves.items()}}
        for i, s in enumerate(similarity)
    ]
    return save_figure(
        folder, "loss", _draw(similarity, curves), rows, {"gap_to_formula": float(max(gaps))}
    )


def _draw(similarity: NDArray[np.float64], curves: dict[str, list[float]]) -> Figure:
    with house_style():
        figure = new_figure(8.6, 4.0, "Loss of a pair of pixels of one group and of two")
        left, right = figure.subplots(1, 2, sharey=True)
        angle = np.degrees(np.arccos(2 * similarity - 1))
        for axes, at in ((left, similarity), (right, angle)):
            axes.plot(at, curves["positive"], color=INK, linewidth=2.2, label="one group")
            for margin, colour in zip(MARGINS, LINES, strict=False):
                label = f"two, α = {margin:g}"
                values = curves[f"negative@{margin:g}"]
                axes.plot(at, values, color=colour, linewidth=1.8, label=label)
        left.set(xlabel="similarity s = (1 + cosine) / 2", ylabel="loss", xlim=(0, 1))
        left.set_title("against similarity")
        right.set(xlabel="angle between the embeddings, degrees", xlim=(0, 180))
        right.set_title("against the angle")
        right.set_xticks(range(0, 181, 30))
        degrees = [math.degrees(angle_from_margin(margin)) for margin in MARGINS]
        right.plot(degrees, [0.0] * len(degrees), "o", color=INK, markersize=4, clip_on=False)
        handles, names = right.get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=5, fontsize=8.5)
    return figure
