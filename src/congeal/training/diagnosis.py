"""What is likely wrong when a training ends with a score near zero, each from a check that is made.

Flow: final score near zero -> checks of the number of updates, the masks, the sizes of objects and
the place of the masks on the training images -> a line each, with what to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from congeal.data.alignment import align_masks
from congeal.data.check import NO_OBJECTS, quick_problems
from congeal.data.measures import evenly_spaced_samples
from congeal.data.sample import Dataset, Sample
from congeal.errors import CongealError
from congeal.methods.method import Method
from congeal.tasks import Task

__all__ = ["NEAR_ZERO", "diagnose", "final_score"]

NEAR_ZERO = 0.05  # headline score; trainings that work pass it early
# 100 updates of 4 x 128 px on drawn cells scored .005, 300 scored .927 (AP at IoU .5, compact
# network from scratch, seed 0, one thread, 30 November 2026: congeal train cells --epochs 1
# --set steps_per_epoch=300 --batch-size 4 --crop 128 --set tuning_share=0).
FEW_UPDATES = 300
LOOKED_AT = 16  # training images
LEAST_CELLS = 4  # points of the embedding map in the median object


@dataclass(frozen=True)
class _Run:
    """What the checks look at."""

    model: Method
    training: Dataset
    samples: list[Sample]
    updates: int
    started: bool


def final_score(task: Task, metrics: Mapping[str, float]) -> float | None:
    """The headline score of a model folder, after tuning where it was tuned; None without one.

    Example:
        >>> from congeal.tasks import TASKS
        >>> final_score(TASKS["semantic"], {"validation miou": 0.5, "tuned miou": 0.6})
        0.6
    """
    for stage in ("tuned", "validation"):
        found = [
            metrics[f"{stage} {name}"] for name in task.headline if f"{stage} {name}" in metrics
        ]
        if found:
            return float(np.mean(found))
    return None


def diagnose(model: Method, training: Dataset, updates: int, *, started: bool = False) -> list[str]:
    """Say what is likely wrong with a training that scored near zero, a line each.

    Checks, in this order: how many updates were made; whether masks are binary, maps of classes or
    hold one object each; whether objects are smaller than the spacing of the embedding map; and
    whether the outlines of the masks fit the edges of the images where they are.

    Args:
        model: as the training left it.
        training: the images it learned from; 16 of them are looked at.
        updates: that were made.
        started: whether the training began with the weights of a model.

    Returns:
        Lines; the last one names the page with more. Never empty.

    Example:
        >>> from congeal.data.drawn import DrawnDataset
        >>> from congeal.methods import find_method
        >>> model = find_method("rpe")(dimensions=4, coordinates="none")
        >>> diagnose(model, DrawnDataset("discs", count=2, size=64), updates=12)[0][:28]
        'only 12 updates were made: a'
    """
    run = _Run(model, training, _readable(training), updates, started)
    checks = [_few_updates]
    if model.task.target == "labels" and training.protocol not in NO_OBJECTS:
        checks += [_masks, _small_objects, _misplaced]
    found = [line for check in checks for line in check(run)]
    if not found:
        found = ["updates, masks, sizes of objects and the place of the masks look right"]
    return [*found, "more on a score near 0: docs/how-to/ap-is-zero.md"]


def _readable(training: Dataset) -> list[Sample]:
    try:
        return list(evenly_spaced_samples(training, LOOKED_AT))
    except CongealError:  # the training told so already
        return []


def _few_updates(run: _Run) -> list[str]:
    if run.updates >= FEW_UPDATES:
        return []
    made = f"{run.updates} update{' was' if run.updates == 1 else 's were'} made"
    named = None if run.started else run.model.starts.get(run.model.task.name)
    more = f", or begin with --start {named}" if named else ""
    return [
        f"only {made}: a first result takes some {FEW_UPDATES}; raise --max-minutes or lower "
        f"--crop or --batch-size{more}"
    ]


def _masks(run: _Run) -> list[str]:
    """What the masks say of themselves; one object in each image is worth a word only here."""
    lines = quick_problems(run.training, LOOKED_AT)
    most = max((len(np.unique(s.labels[s.labels > 0])) for s in run.samples), default=0)
    if most == 1 and len(run.samples) > 1 and not any("one object" in line for line in lines):
        lines.append(
            f"each of {len(run.samples)} masks looked at has one object only: if objects touch in "
            "them, give each a number of its own"
        )
    return lines


def _small_objects(run: _Run) -> list[str]:
    """Objects of so few points of the embedding map that there is nothing to group."""
    areas = [np.bincount(s.labels[s.labels > 0].ravel())[1:] for s in run.samples]
    every = np.concatenate(areas) if areas else np.empty(0)
    every = every[every > 0]
    if not len(every):
        return []
    area, spacing = float(np.median(every)), _spacing(run.model, run.samples[0])
    if area >= LEAST_CELLS * spacing**2:
        return []
    larger = np.ceil(2 * np.sqrt(LEAST_CELLS * spacing**2 / area)) * run.model.scale
    return [
        f"objects are smaller than what the network tells apart: the median one has {area:g} "
        f"pixels, and the embedding a point every {spacing:g} pixels"
        + (f"; show images larger, --set input.scale={larger:g}" if _can_scale(run.model) else "")
    ]


def _spacing(model: Method, sample: Sample) -> float:
    """Pixels of the image for each point of the coarsest map, one way."""
    maps = model.predict_maps(sample.image).maps.values()
    rows = min((one.shape[-2] for one in maps if one.ndim == 3), default=sample.labels.shape[0])
    return round(float(sample.labels.shape[0] / rows), 1)


def _can_scale(model: Method) -> bool:
    return "input.scale" in model.Config.leaves()


def _misplaced(run: _Run) -> list[str]:
    found = align_masks(run.samples)
    if found is None:
        return []
    where = f"in {found.images} image" + "s" * (found.images > 1)
    if found.transform:
        return [
            f"masks fit the images only when {found.transform} ({where}): export masks and images "
            "alike"
        ]
    if found.is_shifted:
        down, right = found.shift
        return [
            f"masks are shifted against the images: they fit best when moved {_way(down, 'down')} "
            f"and {_way(right, 'right')} ({where})"
        ]
    if found.is_unrelated:
        return [
            f"outlines of the masks follow no edges of the images ({where}): look whether each "
            "mask is of its image, with congeal data preview"
        ]
    return []


def _way(pixels: int, positive: str) -> str:
    opposite = {"down": "up", "right": "left"}[positive]
    return f"{abs(pixels)} px {positive if pixels >= 0 else opposite}"
