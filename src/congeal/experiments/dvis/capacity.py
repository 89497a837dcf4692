"""How many objects fit: quality against objects of an image, which the paper leaves open."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from congeal.experiments.dvis.small import budget_of, draw_lines, scores, shapes, train_small
from congeal.experiments.result import Claim, FigureResult, house_style, new_figure, save_figure

__all__ = ["draw_dvis_capacity"]

SIDE = 128  # px
OBJECTS = (2, 4, 8, 16, 32, 64)
VARIANTS: dict[str, dict[str, Any]] = {
    "one number": {"network.channels": 1},
    "three numbers": {"network.channels": 3},
    "one number, near objects differ": {"network.channels": 1, "loss.repulsion_radius": 32.0},
}


def draw_dvis_capacity(
    folder: str | Path, *, quick: bool = False, seed: int = 0, minutes: float | None = None
) -> FigureResult:
    """Train three variants on drawn discs, 2 to 64 an image, and score them by objects.

    Args:
        folder: where ``dvis_capacity.png`` and ``dvis_capacity.csv`` go.
        quick: a few updates and two numbers of objects, to see that it runs.
        seed: of the network, the drawings and the training.
        minutes: of each training; None: a fixed number of updates.

    Returns:
        The files; AP at IoU .5 by variant and objects.
    """
    budget = budget_of(quick, minutes)
    budget = budget if quick else replace(budget, side=SIDE, test=24)
    counts = OBJECTS[: 2 if quick else None]
    train = shapes("train", budget, seed, "discs", objects=(counts[0], counts[-1]))
    tests = {n: shapes("test", budget, seed, "discs", objects=n) for n in counts}
    found: dict[str, list[float]] = {}
    for name, settings in VARIANTS.items():
        model = train_small(train, budget, seed, **{"decoding.min_area": 8.0, **settings})
        found[name] = [scores(model, test, "coco-agnostic")["ap@0.5"] for test in tests.values()]
    rows: list[dict[str, Any]] = [
        {"variant": name, "objects": n, "AP": value}
        for name, line in found.items()
        for n, value in zip(counts, line, strict=True)
    ]
    one, best = (found["one number"][-1], max(line[-1] for line in found.values()))
    claim = Claim(
        f"at {counts[-1]} objects a remedy finds more than one number does",
        "left open",
        f"AP@.5 {best:.3f} against {one:.3f} (drawn discs)",
        best > one,
    )
    with house_style():
        figure = new_figure(6.4, 4.2, "Objects found against objects in an image")
        labels = ("objects", "AP at IoU .5")
        draw_lines(figure.subplots(), [float(n) for n in counts], found, labels)
    numbers = {f"{row['variant']} @{row['objects']}": float(row["AP"]) for row in rows}
    return save_figure(folder, "dvis_capacity", figure, rows, numbers, [claim])
