"""Similarity of pairs of pixels after each step of mean shift (RPE, figure 12)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from congeal.data.drawn import DrawnDataset
from congeal.experiments.result import FigureResult, house_style, new_figure, note, save_figure
from congeal.figures.plots import INK, LINES
from congeal.grouping.mean_shift import MeanShift
from congeal.methods.method import MapPrediction, Method
from congeal.methods.rpe import RPE
from congeal.models.folder import load
from congeal.models.shipped import DEFAULT_MODEL

__all__ = ["draw_similarities", "pair_similarities", "shift_image", "wrong_share"]

STEPS = 10
SHOWN = (0, 1, 2, 5, 10)
BINS = np.linspace(0, 1, 51)
PIXELS = 1500  # drawn from each image

Row = dict[str, Any]
Pairs = tuple[NDArray[np.float64], NDArray[np.float64]]


def shift_image(model: RPE, image: NDArray[Any], labels: NDArray[np.int64]) -> list[Tensor]:
    """Embeddings `(D, h, w)` of an image before and after each step, for pixels of objects.

    Args:
        model: determines concentration and radius.
        image: `(H, W, C)`.
        labels: `(H, W)`; background pixels are ignored.
    """
    return _shift(model, model.predict_maps(image), labels)


def _shift(model: RPE, maps: MapPrediction, labels: NDArray[np.int64]) -> list[Tensor]:
    embedding = maps.maps["embedding"][None]  # (1, D, h, w)
    mask = torch.from_numpy(labels[:: maps.stride, :: maps.stride] > 0)[None]
    kappa = float(model.shift.concentration)
    shift = MeanShift(kappa, steps=STEPS, kernel_radius=_radius(model, maps))
    with torch.inference_mode():
        return [embedding[0], *(step[0] for step in shift(embedding, mask))]


def _radius(model: RPE, maps: MapPrediction) -> float | None:
    """Repulsion radius in cells of the embedding; the setting is in pixels of the scaled image."""
    radius = model.config.loss.repulsion_radius
    shown = model.config.input.scale * maps.scale * maps.stride
    return None if radius is None else radius / shown


def pair_similarities(
    embedding: Tensor, labels: Tensor, chosen: Tensor, repulsion_radius: float | None
) -> Pairs:
    """Calibrated cosine of pairs of pixels of one object, and of two.

    Args:
        embedding: `(D, h, w)` unit vectors.
        labels: `(h, w)`.
        chosen: `(P,)` flat indices of pixels.
        repulsion_radius: maximum distance of pairs of two objects, in pixels of the map.

    Example:
        >>> embedding = torch.tensor([[[1.0, 1.0, -1.0]]])
        >>> pairs = pair_similarities(embedding, torch.tensor([[1, 1, 2]]), torch.arange(3), None)
        >>> pairs[0].tolist(), pairs[1].tolist()
        ([1.0], [0.0, 0.0])
    """
    points = embedding.flatten(1).T[chosen].double()
    groups = labels.flatten()[chosen]
    place = torch.stack([chosen // labels.shape[1], chosen % labels.shape[1]], 1).double()
    similarity = (0.5 + 0.5 * points @ points.T).clamp(0, 1)
    pairs = torch.ones_like(similarity, dtype=torch.bool).triu(1)
    same = groups[:, None] == groups
    apart = (
        ~same
        if repulsion_radius is None
        else ~same & (torch.cdist(place, place) < repulsion_radius)
    )
    return similarity[pairs & same].numpy(), similarity[pairs & apart].numpy()


def wrong_share(positive: NDArray[np.float64], negative: NDArray[np.float64]) -> float:
    """Share of pairs on the wrong side of the best threshold, both kinds weighted equally.

    Args:
        positive: `(B,)` histogram of pairs of one object.
        negative: `(B,)` histogram of pairs of two.

    Example:
        >>> wrong_share(np.array([0.0, 1.0]), np.array([3.0, 1.0]))
        0.125
    """
    missed = np.concatenate([[0], np.cumsum(positive)]) / positive.sum()
    kept = 1 - np.concatenate([[0], np.cumsum(negative)]) / negative.sum()
    return float((missed + kept).min() / 2)


def draw_similarities(folder: str | Path, *, quick: bool = False, seed: int = 0) -> FigureResult:
    """Draw histograms of the similarity of pairs, for the shipped model on drawn discs.

    The model was trained on photographs of cell nuclei, not on drawings. It separates objects only
    within its repulsion radius, so pairs of two objects farther apart are ignored.

    Args:
        folder: for ``similarities.png`` and ``similarities.csv``.
        quick: one small image instead of four.
        seed: seed of the drawings and of the sampled pixels.

    Returns:
        The files, and after 0, 1, ... 10 steps the mean similarity of ``positive`` and of
        ``negative`` pairs, the share of positive pairs above .95 (``tight``), and the share of
        ``wrong`` pairs at the best threshold.

    Raises:
        CongealError: this copy of congeal has no shipped model.
    """
    model = _shipped()
    size, count = (96, 1) if quick else (128, 4)
    steps: list[list[Pairs]] = [[] for _ in range(STEPS + 1)]
    for sample in DrawnDataset("discs", "test", count=count, size=size, seed=seed):
        for found, pairs in zip(steps, _pairs(model, sample, seed), strict=True):
            found.append(pairs)
    joined = [
        (np.concatenate([p for p, _ in pairs]), np.concatenate([n for _, n in pairs]))
        for pairs in steps
    ]
    counts = [tuple(np.histogram(part, BINS)[0].astype(float) for part in s) for s in joined]
    numbers: dict[str, float] = {}
    for step, (positive, negative) in enumerate(joined):
        numbers[f"positive, step {step}"] = float(positive.mean())
        numbers[f"negative, step {step}"] = float(negative.mean())
        numbers[f"tight, step {step}"] = float((positive > 0.95).mean())
        numbers[f"wrong, step {step}"] = wrong_share(*counts[step])
    rows = [row for step, pair in enumerate(counts) for row in _rows(step, *pair)]
    return save_figure(folder, "similarities", _draw(rows, numbers), rows, numbers)


def _shipped() -> RPE:
    model: Method = load(DEFAULT_MODEL)
    assert isinstance(model, RPE)
    return model


def _pairs(model: RPE, sample: Any, seed: int) -> list[Pairs]:
    """Pairs of one image before and after each step; the same pixels throughout."""
    maps = model.predict_maps(sample.image)
    trail = _shift(model, maps, sample.labels)
    labels = torch.from_numpy(sample.labels[:: maps.stride, :: maps.stride])
    inside = (labels.flatten() > 0).nonzero()[:, 0]
    generator = torch.Generator().manual_seed(seed)
    chosen = inside[torch.randperm(len(inside), generator=generator)[:PIXELS]]
    return [pair_similarities(step, labels, chosen, _radius(model, maps)) for step in trail]


def _rows(step: int, positive: NDArray[np.float64], negative: NDArray[np.float64]) -> list[Row]:
    return [
        {
            "step": step,
            "low": float(BINS[i]),
            "high": float(BINS[i + 1]),
            "positive": float(positive[i] / positive.sum()),
            "negative": float(negative[i] / negative.sum()),
        }
        for i in range(len(BINS) - 1)
    ]


def _draw(rows: list[Row], numbers: dict[str, float]) -> Figure:
    with house_style():
        title = "Similarity of pairs of pixels after steps of mean shift"
        figure = new_figure(10.8, 3.5, title)
        panels = figure.subplots(1, len(SHOWN), sharey=True)
        for axes, step in zip(panels, SHOWN, strict=True):
            _draw_step(axes, [row for row in rows if row["step"] == step], step)
            tight = numbers[f"tight, step {step}"]
            note(axes, f"one object, over .95:\n{tight:.1%} of the pairs", 0.06, 0.97, va="top")
        panels[0].set_ylabel("share of the pairs")
        handles, names = panels[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=2)
    return figure


def _draw_step(axes: Axes, rows: list[Row], step: int) -> None:
    named = {"negative": ("pairs of two objects within the radius", LINES[1])}
    named["positive"] = ("pairs of one object", LINES[0])
    for name, (label, colour) in named.items():
        values = np.maximum([row[name] for row in rows], 1e-5)
        axes.stairs(values, BINS, fill=True, baseline=1e-5, color=colour, alpha=0.5, label=label)
        axes.stairs(values, BINS, baseline=1e-5, color=colour, linewidth=1.2)
    axes.axvline(0.5, ymax=0.8, color=INK, linewidth=0.8, linestyle=(0, (2, 3)))
    axes.set_title(f"{step} step" + ("" if step == 1 else "s"))
    axes.set_yscale("log")
    axes.set(xlabel="similarity", xlim=(0, 1), ylim=(1e-4, 30))
    axes.set_xticks([0, 0.5, 1])
    axes.set_yticks([10.0**power for power in range(-4, 1)])
    axes.minorticks_off()
