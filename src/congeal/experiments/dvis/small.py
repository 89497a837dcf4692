"""Small variants of DVIS trained on drawn scenes, and how they are scored."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from matplotlib.axes import Axes

from congeal.data.drawn import DrawnDataset
from congeal.data.sample import Dataset
from congeal.evaluation import evaluate
from congeal.methods.dvis import DVIS
from congeal.models.folder import load
from congeal.training import train

__all__ = [
    "FULL",
    "QUICK",
    "SmallBudget",
    "budget_of",
    "draw_lines",
    "scores",
    "shapes",
    "train_small",
    "trained_on_shapes",
]

RANKED = ("apr-dvis", "coco-agnostic")  # protocols that rank objects by score
CHANNELS = 3  # numbers per pixel: a scalar holds too few objects, see the experiment `capacity`


@dataclass(frozen=True)
class SmallBudget:
    """How long to train, and on how much.

    Args:
        updates: of both stages together.
        batch: crops in each.
        images: drawn for training.
        test: images to score.
        side: of the images, in pixels.
        minutes: of a training, in place of updates.
    """

    updates: int = 1000
    batch: int = 8
    images: int = 600
    test: int = 64
    side: int = 96
    minutes: float | None = None


FULL = SmallBudget()
QUICK = SmallBudget(updates=6, batch=2, images=4, test=2, side=64)


def budget_of(quick: bool, minutes: float | None = None) -> SmallBudget:
    """The budget of a run, short or whole, by updates or by the clock."""
    return replace(QUICK if quick else FULL, minutes=minutes)


def shapes(
    split: str, budget: SmallBudget, seed: int, kind: str = "shapes", **scene: Any
) -> Dataset:
    """Drawn scenes of a part of the data; see :class:`DrawnDataset` for what scenes take.

    Example:
        >>> len(shapes("test", QUICK, seed=0, objects=3))
        2
    """
    count = {"train": budget.images, "val": 4, "test": budget.test}[split]
    return DrawnDataset(kind, split, count=count, size=budget.side, seed=seed, **scene)


def train_small(data: Dataset, budget: SmallBudget, seed: int, **settings: Any) -> DVIS:
    """Train both stages; nothing is chosen by the images, so that variants differ by settings only.

    Args:
        data: training images, of classes or without.
        budget: how long.
        seed: of weights and order.
        settings: of :class:`DVIS`.
    """
    names = tuple(data.class_names[1:]) or ("object",)
    model = DVIS(**{"network.channels": CHANNELS, "class_names": names, **settings})
    with TemporaryDirectory() as folder:
        found = train(
            model,
            data,
            val=data,
            output=Path(folder) / "model",
            **_length(budget),
            batch_size=budget.batch,
            crop=budget.side,
            seed=seed,
            validation_images=1,
            tuning_share=0,
            keep="last",
            overlays=False,
        )
        trained: DVIS = load(found)  # type: ignore[assignment]
    return trained


def _length(budget: SmallBudget) -> dict[str, Any]:
    if budget.minutes is not None:
        return {"max_minutes": budget.minutes}
    return {"epochs": 1, "steps_per_epoch": budget.updates}


@lru_cache(maxsize=2)
def trained_on_shapes(budget: SmallBudget, seed: int) -> DVIS:
    """The model that several experiments look at: four classes, 2 to 8 objects an image."""
    return train_small(shapes("train", budget, seed), budget, seed)


def scores(model: DVIS, data: Dataset, protocol: str = "apr-dvis") -> dict[str, float]:
    """Scores of a model by a protocol of :data:`congeal.metrics.PROTOCOLS`.

    AP ranks all candidates by their scores, so that none is rejected before.
    """
    usual = model.config
    if protocol in RANKED:
        model.configure(min_score=0.0)
    try:
        return dict(evaluate(model, data, protocol=protocol, report=False).metrics)
    finally:
        model.config = usual


def draw_lines(
    axes: Axes, x: list[float], lines: dict[str, list[float]], labels: tuple[str, str]
) -> None:
    """Lines with points, 0 to 1 upwards, evenly spaced in x."""
    places = list(range(len(x)))
    for name, line in lines.items():
        axes.plot(places, line, marker="o", label=name)
    axes.set_xticks(places, [f"{value:g}" for value in x])
    axes.set(xlabel=labels[0], ylabel=labels[1], ylim=(0, 1))
    axes.legend(fontsize=8.5)
