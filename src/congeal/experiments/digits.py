"""Trained embeddings of digits on a sphere, before and after mean shift (RPE, figure 4).

A small network maps each pixel of drawn digits to a point on the sphere in three dimensions. As in
the paper, each digit is a group, and background is one more group.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from congeal.data.drawn import DrawnDataset
from congeal.data.intensity import scale_intensity
from congeal.data.sample import Sample
from congeal.experiments.result import FigureResult, house_style, new_figure, save_figure, show_map
from congeal.figures.colour import label_colours
from congeal.figures.display import to_display
from congeal.figures.plots import INK
from congeal.grouping.mean_shift import MeanShift
from congeal.grouping.modes import assign_to_modes, find_modes
from congeal.losses.pairwise import pairwise_loss
from congeal.methods.rpe import RPE
from congeal.metrics.matching import matching

__all__ = ["SIZE", "STRIDE", "Toy", "draw_batch", "draw_digits", "read_toy", "train_toy"]

SIZE = 96
STRIDE = 2
MARGIN = 0.1
CONCENTRATION = 25.0
"""As in the toy example of the authors (bandwidth .2). The value derived from the margin, 11, is
too small: the background has forty times the pixels of a digit, and would attract digits."""
LOOPS = 5
STEPS_SHOWN = 10
MERGE = 0.8  # minimum cosine to merge two modes, or to assign a pixel to a mode
GROUND = np.array([154, 164, 175])


@dataclass(frozen=True)
class Toy:
    """Length and data of a training.

    Args:
        steps: steps of the optimiser.
        batch: batch size.
        images: number of drawn images, randomly flipped and transposed.
        samples: pixels sampled per image for the loss.
        rate: maximum learning rate, reached after a tenth of the steps.
    """

    steps: int = 1200
    batch: int = 8
    images: int = 600
    samples: int = 512
    rate: float = 2e-3


QUICK = Toy(steps=8, batch=2, images=6, samples=128)


def read_toy(sample: Sample) -> tuple[Tensor, Tensor]:
    """Input `(3, H, W)` and labels `(h, w)` at the stride of the embedding."""
    labels = torch.from_numpy(sample.labels[::STRIDE, ::STRIDE].copy())
    return scale_intensity(sample.image), labels


def _turn(tensor: Tensor, way: int) -> Tensor:
    """Flip and transpose a square `(..., S, S)` in one of eight ways."""
    if way & 1:
        tensor = tensor.mT
    return tensor.flip([d for d, bit in ((-1, 2), (-2, 4)) if way & bit])


def train_toy(toy: Toy, seed: int = 0) -> tuple[RPE, list[float]]:
    """Train a small network on drawn digits, with the loss after each mean-shift step.

    Args:
        toy: length and data of the training.
        seed: seed of weights, drawings and order.

    Returns:
        The model, and the loss at each step.
    """
    torch.manual_seed(seed)
    model = RPE(dimensions=3, coordinates="channels", margin=MARGIN, stride=STRIDE).train()
    drawn = DrawnDataset("digits", "train", count=toy.images, size=SIZE, seed=seed)
    data = [read_toy(sample) for sample in drawn]
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(model.parameters(), lr=toy.rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, toy.rate, total_steps=max(toy.steps, 2), pct_start=0.1
    )
    losses = []
    for _ in range(toy.steps):
        image, labels = draw_batch(data, toy.batch, generator)
        loss = _loss(model, image, labels, toy.samples, generator)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        losses.append(float(loss.detach()) / (LOOPS + 1))
    return model.eval(), losses


def draw_batch(
    data: list[tuple[Tensor, Tensor]], batch: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Images `(B, 3, S, S)` and labels `(B, s, s)` at random, flipped and transposed at random."""
    chosen = torch.randint(len(data), (batch,), generator=generator).tolist()
    ways = torch.randint(8, (batch,), generator=generator).tolist()
    pairs = [
        (_turn(data[i][0], w), _turn(data[i][1], w)) for i, w in zip(chosen, ways, strict=True)
    ]
    return torch.stack([image for image, _ in pairs]), torch.stack([label for _, label in pairs])


def _loss(
    model: RPE, image: Tensor, labels: Tensor, samples: int, generator: torch.Generator
) -> Tensor:
    return pairwise_loss(
        model(image).embedding,
        labels,
        margin=MARGIN,
        samples=samples,
        sampling="balanced",
        grouping=MeanShift(CONCENTRATION, steps=LOOPS),
        generator=generator,
    )


@dataclass(frozen=True, eq=False)
class _Shown:
    """One image with its embeddings `(D, h, w)` before mean shift and after each step."""

    image: NDArray[Any]
    labels: NDArray[np.int64]
    trail: list[Tensor]
    groups: NDArray[np.int64]


@torch.inference_mode()
def _predict(model: RPE, sample: Sample) -> _Shown:
    image, labels = read_toy(sample)
    embedding = model(image[None]).embedding
    shifted = MeanShift(CONCENTRATION, steps=STEPS_SHOWN)(embedding)
    return _Shown(
        sample.image,
        labels.numpy(),
        [embedding[0], *(x[0] for x in shifted)],
        _groups(shifted[-1][0]),
    )


def _groups(embedding: Tensor) -> NDArray[np.int64]:
    """Label map `(h, w)` of the modes; the largest group is the background."""
    points = embedding.flatten(1).T
    modes = find_modes(points, margin=MERGE, min_mass=8)
    if len(modes) == 0:
        return np.zeros(embedding.shape[1:], np.int64)
    nearest = assign_to_modes(points, modes)
    counts = torch.bincount(nearest, minlength=len(modes))
    rename = torch.arange(1, len(modes) + 1)
    rename[counts.argmax()] = 0
    return rename[nearest].reshape(embedding.shape[1:]).numpy()


def draw_digits(folder: str | Path, *, quick: bool = False, seed: int = 0) -> FigureResult:
    """Train a network on digits, then draw embeddings of test digits on the sphere.

    Args:
        folder: for ``digits.png`` and ``digits.csv``.
        quick: a few updates, as a smoke test.
        seed: seed of network, drawings and training.

    Returns:
        The files, and ``first loss`` and ``last loss`` of a step, the mean similarity of pairs of
        one group (``positive``) and of two (``negative``) before and after 10 steps on unseen
        images, and the share of digits ``found`` (IoU of at least .5 at half the resolution).
    """
    toy = QUICK if quick else Toy()
    model, losses = train_toy(toy, seed)
    test = DrawnDataset("digits", "test", count=2 if quick else 32, size=SIZE, seed=seed)
    shown = [_predict(model, sample) for sample in test]
    tail = max(1, len(losses) // 20)
    numbers = {
        "first loss": float(np.mean(losses[:tail])),
        "last loss": float(np.mean(losses[-tail:])),
        **_similarities(shown),
        "found": _found(shown),
    }
    best = max(shown, key=_suits)
    return save_figure(folder, "digits", _draw(best, numbers), _rows(best), numbers)


def _suits(shown: _Shown) -> int:
    """Rank images by how near their number of digits is to six, regardless of the result."""
    return -abs(int(shown.labels.max()) - 6)


def _similarities(shown: list[_Shown]) -> dict[str, float]:
    """Mean similarity of pairs, weighted equally per group, before and after the steps."""
    numbers = {}
    for name, index in (("before", 0), ("after", -1)):
        values = np.array([_mean_pairs(one.trail[index], one.labels) for one in shown])
        numbers[f"positive {name}"], numbers[f"negative {name}"] = values.mean(0).tolist()
    return numbers


def _mean_pairs(embedding: Tensor, labels: NDArray[np.int64]) -> tuple[float, float]:
    """From the means of the groups: mean x_i.x_j is the product of two means."""
    ids, index = np.unique(labels, return_inverse=True)
    points = embedding.flatten(1).T.double()
    means = torch.stack(
        [points[torch.from_numpy(index.ravel() == k)].mean(0) for k in range(len(ids))]
    )
    similarity = 0.5 + 0.5 * means @ means.T  # (K, K)
    off = similarity[~torch.eye(len(ids), dtype=torch.bool)]
    return float(similarity.diagonal().mean()), float(off.mean()) if len(off) else 0.0


def _found(shown: list[_Shown]) -> float:
    scores = [matching(prediction=one.groups, truth=one.labels, threshold=0.5) for one in shown]
    return sum(score.tp for score in scores) / max(1, sum(score.n_true for score in scores))


def _rows(shown: _Shown) -> list[dict[str, Any]]:
    before, after = shown.trail[0], shown.trail[-1]
    return [
        {
            "row": row,
            "column": column,
            "label": int(shown.labels[row, column]),
            "group": int(shown.groups[row, column]),
            **{f"{a}_before": float(before[i, row, column]) for i, a in enumerate("xyz")},
            **{f"{a}_after": float(after[i, row, column]) for i, a in enumerate("xyz")},
        }
        for row in range(shown.labels.shape[0])
        for column in range(shown.labels.shape[1])
    ]


def _draw(shown: _Shown, numbers: dict[str, float]) -> Figure:
    steps = (0, 2, STEPS_SHOWN)
    with house_style():
        title = f"Digits on the sphere; {numbers['found']:.0%} of unseen digits are found"
        figure = new_figure(11.0, 6.4, title)
        halves: Any = figure.subfigures(2, 1, height_ratios=[1, 1.6])
        above, below = halves
        maps = above.subplots(1, 5)
        show_map(maps[0], to_display(shown.image), "unseen image")
        show_map(maps[1], _paint(shown.labels), "true digits")
        show_map(maps[2], _as_colours(shown.trail[0]), "embedding as colours")
        show_map(maps[3], _as_colours(shown.trail[-1]), f"after {STEPS_SHOWN} steps")
        show_map(maps[4], _paint(shown.groups), "groups found")
        for index, step in enumerate(steps, start=1):
            axes: Any = below.add_subplot(1, len(steps), index, projection="3d")
            name = "before" if step == 0 else f"after {step} steps"
            _draw_sphere(axes, shown.trail[step], shown.labels, name)
    return figure


def _paint(labels: NDArray[np.int64]) -> NDArray[np.uint8]:
    colours = np.concatenate([GROUND[None], label_colours(max(1, int(labels.max())))])
    return np.asarray(colours[labels], np.uint8)


def _as_colours(embedding: Tensor) -> NDArray[np.float64]:
    return (0.5 + 0.5 * embedding.permute(1, 2, 0).double().numpy()).clip(0, 1)


def _draw_sphere(axes: Any, embedding: Tensor, labels: NDArray[np.int64], title: str) -> None:
    """Scatter pixels on a sphere; points on the far side are pale."""
    turn, tilt = np.linspace(0, 2 * np.pi, 25), np.linspace(0, np.pi, 13)
    x, y, z = (
        np.outer(np.cos(turn), np.sin(tilt)),
        np.outer(np.sin(turn), np.sin(tilt)),
        np.outer(np.ones_like(turn), np.cos(tilt)),
    )
    axes.plot_wireframe(x, y, z, color="#d3d9df", linewidth=0.4)
    axes.view_init(elev=22, azim=-55)
    points = embedding.flatten(1).T.numpy()
    colours = _paint(labels).reshape(-1, 3) / 255
    order = np.argsort(labels.ravel() > 0, kind="stable")  # digits over the background
    size = np.where(labels.ravel() > 0, 9, 4)
    axes.scatter(
        *points[order].T, c=colours[order], s=size[order], depthshade=True, linewidth=0, alpha=0.8
    )
    axes.set(xlim=(-1, 1), ylim=(-1, 1), zlim=(-1, 1))
    axes.set_box_aspect((1, 1, 1), zoom=1.5)
    axes.set_axis_off()
    axes.set_title(title, color=INK, y=1.0, loc="center")
