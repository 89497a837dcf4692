"""Crossing objects: embeddings against boxes (the motivation of DL, section 1).

Images have increasing numbers of crossing sticks, whose bounding boxes overlap almost completely.
The discriminative loss and RPE are compared with Mask R-CNN (torchvision): same pretrained encoder,
images, augmentation and minutes. StarDist, if installed, has the same images and minutes, but its
own network and augmentation. Connected components and a watershed of the distance to the background
use the true foreground, which the other methods do not. The score is AP at IoU .5 over 30 test
images for each number of sticks, over the mean number of pairs of sticks that touch.

The settings of the methods are those that ``congeal train`` chooses; anchors (16 to 128 pixels) and
learning rate of Mask R-CNN are ours. Its minimum score, the decoding settings of the methods and
the thresholds of StarDist are tuned on eight validation images after the training.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.segmentation import watershed

from congeal.data.drawn import DrawnDataset
from congeal.data.sample import Sample
from congeal.experiments.boxes import BoxSegmenter, Budget, train_boxes
from congeal.experiments.kept import keep, place_of
from congeal.experiments.result import FigureResult, house_style, new_figure, save_figure
from congeal.experiments.stars import has_stardist, train_stars
from congeal.figures.plots import LINES
from congeal.metrics.matching import MatchingMetric
from congeal.models import load
from congeal.networks.weights import PACKAGED
from congeal.training import train

__all__ = ["Crossing", "crossings", "draw_dl_crossing"]

ENCODER = "tf_efficientnet_lite0"
SIDE = 128  # px
LONG = Budget(minutes=20.0)
PEAKS = (5, 10, 20, 40, 80)  # px between seeds of the watershed, candidates

Row = dict[str, Any]
Labels = NDArray[np.int64]
SegmentSample = Callable[[Sample], Labels]


Make = Callable[["Crossing", int], SegmentSample]


@dataclass(frozen=True)
class Crossing:
    """Plan of trainings and evaluation.

    Args:
        budget: length of each training.
        objects: numbers of sticks in the test images.
        images: numbers of training images, and of test images per number of sticks.
        seeds: trainings of each method.
        settings: settings of the trainings, such as the batch size.
    """

    budget: Budget = LONG
    objects: tuple[int, ...] = (2, 4, 6, 9, 12)
    images: tuple[int, int] = (512, 30)
    seeds: int = 3
    settings: Mapping[str, Any] = field(default_factory=dict)


QUICK = Crossing(
    budget=Budget(updates=2),
    objects=(2, 9),
    images=(4, 2),
    seeds=1,
    settings={"batch_size": 2, "crop": 64},
)


def draw_dl_crossing(
    folder: str | Path,
    *,
    quick: bool = False,
    seed: int = 0,
    minutes: float | None = None,
    seeds: int | None = None,
) -> FigureResult:
    """Train on crossing sticks and score by the number of crossings.

    Args:
        folder: for ``dl_crossing.png`` and ``dl_crossing.csv``, and scores of each training in
            ``dl_crossing``; existing trainings are not repeated.
        quick: two updates and a few images, as a smoke test.
        seed: first seed of each method.
        minutes: minutes of each training, 20 when None.
        seeds: trainings of each method, 3 when None.

    Returns:
        The files, and for each method ``ap@0.5`` on the images with the fewest and with the most
        sticks, mean over the seeds.
    """
    plan = QUICK if quick else Crossing()
    if minutes is not None:
        plan = replace(plan, budget=Budget(minutes=minutes))
    plan = plan if seeds is None else replace(plan, seeds=seeds)
    rows: list[Row] = []
    for number in range(seed, seed + plan.seeds):
        for name, make in METHODS.items():
            rows += keep(
                place_of(Path(folder) / "dl_crossing", name, number).with_suffix(".json"),
                {"minutes": plan.budget.minutes, "updates": plan.budget.updates},
                partial(_train_and_score, name, make, plan, number),
            )
    return save_figure(folder, "dl_crossing", _draw(rows), rows, _numbers(rows))


def crossings(labels: Labels) -> int:
    """Number of pairs of objects that touch, by a side or a corner.

    Example:
        >>> crossings(np.array([[1, 1, 2], [0, 0, 3]]))
        3
    """
    height, width = labels.shape
    pairs = set()
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        rows, columns = height - down, width - abs(right)
        left = max(0, -right)
        one = labels[:rows, left : left + columns]
        other = labels[down:, left + right : left + right + columns]
        met = (one != other) & (one > 0) & (other > 0)
        pairs |= {tuple(sorted(pair)) for pair in zip(one[met], other[met], strict=True)}
    return len(pairs)


def _train_and_score(name: str, make: Make, plan: Crossing, seed: int) -> list[Row]:
    return _score(name, make(plan, seed), plan, seed)


def _score(name: str, segment: SegmentSample, plan: Crossing, seed: int) -> list[Row]:
    rows = []
    for objects in plan.objects:
        data = DrawnDataset("sticks", "test", count=plan.images[1], size=SIDE, objects=objects)
        metric, met = MatchingMetric((0.5, 0.7)), []
        for sample in data:
            met.append(crossings(sample.labels))
            metric.update(prediction=segment(sample), truth=sample.labels)
        found = metric.compute()
        row = {"method": name, "seed": seed, "objects": objects, "crossings": float(np.mean(met))}
        rows.append(row | {f"ap@{at}": found[f"matching_ap@{at}"] for at in (0.5, 0.7)})
    return rows


def _training_images(plan: Crossing) -> DrawnDataset:
    objects = (min(plan.objects), max(plan.objects))
    return DrawnDataset("sticks", "train", count=plan.images[0], size=SIDE, objects=objects)


def _held_out(plan: Crossing, seed: int = 0) -> DrawnDataset:
    """Images for validation, and for tuning after training."""
    objects = (min(plan.objects), max(plan.objects))
    return DrawnDataset("sticks", "val", count=8, size=SIDE, objects=objects, seed=seed)


def _by_method(method: str) -> Callable[[Crossing, int], SegmentSample]:
    """Train a method of the package with the common encoder."""

    def make(plan: Crossing, seed: int) -> SegmentSample:
        length: dict[str, Any] = {"max_minutes": plan.budget.minutes}
        if plan.budget.updates is not None:
            length = {"epochs": 1, "steps_per_epoch": plan.budget.updates, "tuning_share": 0}
        given: dict[str, Any] = {
            "network.encoder": ENCODER,
            "network.pretrained": _has_weights(),
            "seed": seed,
            "overlays": False,
        }
        with tempfile.TemporaryDirectory() as place:
            made = train(
                method,
                _training_images(plan),
                val=_held_out(plan),
                output=place,
                **(given | length | dict(plan.settings)),
            )
            model = load(made)
        return lambda sample: model.segment(sample.image).labels

    return make


def _by_boxes(plan: Crossing, seed: int) -> SegmentSample:
    torch.manual_seed(seed)
    model = BoxSegmenter(ENCODER, pretrained=_has_weights(), side=SIDE)
    train_boxes(model, _training_images(plan), plan.budget, seed=seed, **plan.settings)
    model.tune(_held_out(plan))
    return lambda sample: model.segment(sample.image).labels


def _by_stars(plan: Crossing, seed: int) -> SegmentSample:
    stars = train_stars(
        _training_images(plan), _held_out(plan), plan.budget, seed=seed, **plan.settings
    )
    return lambda sample: stars.segment(sample.image)


def _has_weights() -> bool:
    """Whether the package with ImageNet weights of the encoder is installed."""
    return find_spec(PACKAGED[ENCODER][0]) is not None


def _by_components(plan: Crossing, seed: int) -> SegmentSample:
    """Connected components of the true foreground."""
    del plan, seed
    return lambda sample: ndimage.label(sample.labels > 0)[0].astype(np.int64)


def _by_watershed(plan: Crossing, seed: int) -> SegmentSample:
    """Watershed of the distance to the background in the true foreground.

    The minimum distance of its seeds is tuned on validation images.
    """
    samples = list(_held_out(plan, seed))

    def quality(apart: int) -> float:
        metric = MatchingMetric((0.5,))
        for sample in samples:
            metric.update(prediction=_watershed(sample, apart), truth=sample.labels)
        return metric.compute()["matching_ap@0.5"]

    best = max(PEAKS, key=quality)
    return lambda sample: _watershed(sample, best)


def _watershed(sample: Sample, apart: int) -> Labels:
    """Watershed from peaks of the distance that are at least ``apart`` pixels apart."""
    inside = sample.labels > 0
    depth = ndimage.distance_transform_edt(inside)
    seeds = np.zeros(inside.shape, np.int64)
    peaks = peak_local_max(depth, min_distance=apart, labels=inside.astype(int))
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    return np.asarray(watershed(-depth, seeds, mask=inside), np.int64)


METHODS: Mapping[str, Make] = {
    "discriminative": _by_method("discriminative"),
    "rpe": _by_method("rpe"),
    "mask r-cnn": _by_boxes,
    **({"stardist": _by_stars} if has_stardist() else {}),
    "components": _by_components,
    "watershed": _by_watershed,
}

LABELS = {
    "discriminative": "discriminative loss",
    "rpe": "RPE",
    "mask r-cnn": "Mask R-CNN",
    "stardist": "StarDist",
    "components": "connected components of the truth",
    "watershed": "watershed of the truth",
}
"""Names of ``METHODS`` in the picture."""


def _numbers(rows: list[Row]) -> dict[str, float]:
    numbers = {}
    for name in METHODS:
        for extreme in (min, max):
            objects = extreme(row["objects"] for row in rows)
            found = [r["ap@0.5"] for r in rows if (r["method"], r["objects"]) == (name, objects)]
            numbers[f"{name}, {objects} sticks"] = float(np.mean(found))
    return numbers


def _draw(rows: list[Row]) -> Figure:
    with house_style():
        figure = new_figure(6.4, 4.2, "Sticks that cross")
        axes = figure.subplots()
        for name, colour in zip(METHODS, LINES, strict=False):
            own = [row for row in rows if row["method"] == name]
            places = sorted({(row["objects"], row["crossings"]) for row in own})
            found = [[r["ap@0.5"] for r in own if r["objects"] == n] for n, _ in places]
            met = [crossed for _, crossed in places]
            axes.plot(met, [np.mean(f) for f in found], "o-", color=colour, label=LABELS[name])
            low, high = [min(f) for f in found], [max(f) for f in found]
            axes.fill_between(met, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.set(xlabel="crossings in an image", ylabel="AP at IoU .5", ylim=(0, 1.02))
        axes.legend(fontsize=8.5)
    return figure
