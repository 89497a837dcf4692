"""Diagnosis of a training whose final score is near zero.

Flow: final score near zero -> checks of the number of updates, the masks, the object sizes and the
alignment of masks and images -> a line of advice for each check that fails.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from congeal.data.alignment import align_masks
from congeal.data.check import NO_OBJECTS, quick_problems
from congeal.data.measures import some_samples
from congeal.data.sample import Dataset, Sample
from congeal.errors import CongealError
from congeal.methods.method import Method
from congeal.tasks import Task

__all__ = ["NEAR_ZERO", "diagnose", "final_score"]

NEAR_ZERO = 0.05  # headline score; working trainings exceed it early
# 100 updates of 4 x 128 px on drawn cells scored .005, 300 scored .927 (AP at IoU .5, compact
# network from scratch, seed 0, one thread, 30 November 2026: congeal train cells --epochs 1
# --set steps_per_epoch=300 --batch-size 4 --crop 128 --set tuning_share=0).
FEW_UPDATES = 300
CHECKED_IMAGES = 16  # training images
MIN_POINTS = 4  # of the embedding map in the median object, or grouping has nothing to group


@dataclass(frozen=True)
class _Run:
    """The training that is checked: input of every check."""

    model: Method
    training: Dataset
    samples: list[Sample]
    updates: int
    started: bool


def final_score(task: Task, metrics: Mapping[str, float]) -> float | None:
    """Headline score from the metrics of a model folder, after tuning if it was tuned.

    Args:
        task: task of the model.
        metrics: scores of ``config.json`` by name.

    Returns:
        The score, or None if the model was never validated.

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
    """List likely causes of a score near zero.

    Checks, in this order: the number of update steps; masks that are binary, class maps, or hold
    one object each; objects smaller than the spacing of the embedding map; masks that are shifted
    or turned against the images.

    Args:
        model: model after training.
        training: training images; 16 of them are read.
        updates: number of update steps made.
        started: whether the training began with the weights of another model.

    Returns:
        One line per cause; the last line names the page with more advice.

    Example:
        >>> from congeal.data.drawn import DrawnDataset
        >>> from congeal.methods import find_method
        >>> model = find_method("rpe")(dimensions=4, coordinates="none")
        >>> diagnose(model, DrawnDataset("discs", count=2, size=64), updates=12)[0][:28]
        'only 12 updates were made: a'
    """
    run = _Run(model, training, _readable(training), updates, started)
    checks = [_few_updates]
    if model.task.learns_from == "labels" and training.protocol not in NO_OBJECTS:
        checks += [_masks, _small_objects, _misplaced]
    lines = [line for check in checks for line in check(run)]
    if not lines:
        lines = ["number of updates, masks, object sizes and alignment of the masks look right"]
    return [*lines, "more on a score near 0: docs/how-to/ap-is-zero.md"]


def _readable(training: Dataset) -> list[Sample]:
    try:
        return list(some_samples(training, CHECKED_IMAGES))
    except CongealError:  # the training has reported it already
        return []


def _few_updates(run: _Run) -> list[str]:
    if run.updates >= FEW_UPDATES:
        return []
    made = f"{run.updates} update{' was' if run.updates == 1 else 's were'} made"
    start = None if run.started else run.model.start_models.get(run.model.task.name)
    alternative = f", or begin with --start {start}" if start else ""
    return [
        f"only {made}: a first result takes about {FEW_UPDATES}; raise --max-minutes or lower "
        f"--crop or --batch-size{alternative}"
    ]


def _masks(run: _Run) -> list[str]:
    """Problems of the masks; one object per image is reported only for a score near zero."""
    lines = quick_problems(run.training, CHECKED_IMAGES)
    most = max((len(np.unique(s.labels[s.labels > 0])) for s in run.samples), default=0)
    if most == 1 and len(run.samples) > 1 and not any("one object" in line for line in lines):
        lines.append(
            f"each of the {len(run.samples)} masks checked has one object only: if objects touch, "
            "give each its own number"
        )
    return lines


def _small_objects(run: _Run) -> list[str]:
    """Median object with fewer than MIN_POINTS points of the embedding map."""
    per_image = [np.bincount(s.labels[s.labels > 0].ravel())[1:] for s in run.samples]
    areas = np.concatenate(per_image) if per_image else np.empty(0)
    areas = areas[areas > 0]
    if not len(areas):
        return []
    area, spacing = float(np.median(areas)), _spacing(run.model, run.samples[0])
    if area >= MIN_POINTS * spacing**2:
        return []
    scale = np.ceil(2 * np.sqrt(MIN_POINTS * spacing**2 / area)) * run.model.scale
    return [
        f"objects are too small for the network: the median one has {area:g} pixels, and the "
        f"embedding has a point every {spacing:g} pixels"
        + (f"; enlarge images with --set input.scale={scale:g}" if _can_scale(run.model) else "")
    ]


def _spacing(model: Method, sample: Sample) -> float:
    """Stride of the coarsest map in pixels of the image."""
    maps = model.predict_maps(sample.image).maps.values()
    rows = min((map_.shape[-2] for map_ in maps if map_.ndim == 3), default=len(sample.labels))
    return round(float(sample.labels.shape[0] / rows), 1)


def _can_scale(model: Method) -> bool:
    return "input.scale" in model.Config.leaves()


def _misplaced(run: _Run) -> list[str]:
    """Masks whose outlines do not fit the image edges, or only after a turn or shift."""
    alignment = align_masks(run.samples)
    if alignment is None:
        return []
    where = f"in {alignment.images} image" + "s" * (alignment.images > 1)
    if alignment.turn:
        return [
            f"masks fit the images only when {alignment.turn} ({where}): export masks and images "
            "in the same orientation"
        ]
    if alignment.is_shifted:
        down, right = alignment.shift
        return [
            "masks are shifted against the images: they fit best when moved "
            f"{_distance(down, 'down')} and {_distance(right, 'right')} ({where})"
        ]
    if alignment.is_lost:
        return [
            f"outlines of the masks do not follow edges of the images ({where}): check with "
            "congeal data preview that each mask belongs to its image"
        ]
    return []


def _distance(pixels: int, positive: str) -> str:
    """Format a signed distance, such as ``3 px up``."""
    opposite = {"down": "up", "right": "left"}[positive]
    return f"{abs(pixels)} px {positive if pixels >= 0 else opposite}"
