"""Objects of classes that no training image shows (figure 6)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from congeal.data.sample import Dataset, Sample
from congeal.data.scenes_shapes import draw_shapes
from congeal.experiments.dvis.small import SmallBudget, budget_of, scores, train_small
from congeal.experiments.result import Claim, FigureResult, house_style, new_figure, save_figure

__all__ = ["ShapesOf", "draw_dvis_figure6"]

SEEN, UNSEEN = ("disc", "square"), ("triangle", "star")


class ShapesOf(Dataset):
    """Drawn scenes of 2 to 8 shapes of some classes, without their classes in the labels.

    Args:
        names: of :data:`congeal.data.scenes_shapes.SHAPES`.
        split: ``"train"`` or ``"test"``.
        budget: how many images of which side.
        seed: of the drawings.
    """

    def __init__(self, names: tuple[str, ...], split: str, budget: SmallBudget, seed: int) -> None:
        self.names_drawn, self.split, self.side, self.seed = names, split, budget.side, seed
        self.count = budget.images if split == "train" else budget.test
        self.name = "shapes: " + ", ".join(names)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        rng = np.random.default_rng([self.seed, self.split == "train", index])
        count, size = int(rng.integers(2, 9)), (self.side, self.side)
        image, labels, _ = draw_shapes(rng, size, count, shapes=self.names_drawn)
        return Sample(str(index), image, labels)

    def names(self) -> list[str]:
        """Numbers of the images."""
        return [str(index) for index in range(self.count)]


def draw_dvis_figure6(
    folder: str | Path, *, quick: bool = False, seed: int = 0, minutes: float | None = None
) -> FigureResult:
    """Train on discs and squares without classes, then look for triangles and stars.

    Args:
        folder: where ``dvis_figure6.png`` and ``dvis_figure6.csv`` go.
        quick: a few updates only, which shows nothing but that it runs.
        seed: of the network, the drawings and the training.
        minutes: of each training; None: a fixed number of updates.

    Returns:
        The files; class-agnostic AP, AP at IoU .5 and recall of 100 of both.
    """
    budget = budget_of(quick, minutes)
    model = train_small(ShapesOf(SEEN, "train", budget, seed), budget, seed)
    found: dict[str, dict[str, float]] = {}
    for name, classes in (("seen", SEEN), ("unseen", UNSEEN)):
        got = scores(model, ShapesOf(classes, "test", budget, seed), "coco-agnostic")
        found[name] = {key: got[key] for key in ("ap", "ap@0.5", "ar@100")}
    rows: list[dict[str, Any]] = [{"classes": name, **line} for name, line in found.items()]
    seen, unseen = (found[name]["ap@0.5"] for name in ("seen", "unseen"))
    claim = Claim(
        "the value map groups objects of unseen classes too",
        "shown in pictures (COCO)",
        f"AP@.5 {unseen:.3f} unseen, {seen:.3f} seen (drawn shapes)",
        unseen > 0 and unseen >= 0.5 * seen,
    )
    with house_style():
        figure = new_figure(5.6, 4.0, "Objects of classes that were not trained on")
        axes = figure.subplots()
        for shift, (name, line) in zip((-0.2, 0.2), found.items(), strict=True):
            axes.bar(np.arange(len(line)) + shift, list(line.values()), 0.4, label=name)
        axes.set_xticks(range(3), ["AP", "AP at IoU .5", "AR of 100"])
        axes.set(ylim=(0, 1))
        axes.legend(fontsize=8.5)
    numbers = {
        f"{key}, {name}": value for name, line in found.items() for key, value in line.items()
    }
    return save_figure(folder, "dvis_figure6", figure, rows, numbers, [claim])
