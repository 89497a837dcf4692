"""Boundaries of BSDS500: logistic loss alone against embedding first (RPE, section 4.1, figure 6).

The same network is trained three times, for the same minutes on the training images: logistic loss
alone; pairwise loss first, then fine-tuning by the logistic loss; both losses at once. Decoding is
tuned on the validation images. Scores are those of the boundary benchmark on the test images. For
comparison: Sobel and Canny of scikit-image, the agreement of the annotators, and published numbers
of other methods, marked as such. The confidence interval of the difference is a paired bootstrap
over the test images. Models and counts are kept in the output folder, so that an interrupted run
can be resumed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter
from skimage.color import rgb2gray
from skimage.feature import canny
from skimage.filters import gaussian, sobel

from congeal.data.registry import open_dataset
from congeal.data.sample import Dataset, Sample, Subset
from congeal.experiments.kept import keep, place_of, train_or_resume
from congeal.experiments.result import (
    Claim,
    FigureResult,
    house_style,
    new_figure,
    save_figure,
    show_map,
)
from congeal.figures.display import to_display
from congeal.figures.maps import overlay_boundary
from congeal.figures.plots import LINES
from congeal.methods.rpe import RPEBoundaries
from congeal.methods.rpe.edges import suppress_non_maxima
from congeal.metrics.boundary_matching import corner_boundaries
from congeal.metrics.bsds_benchmark import boundary_benchmark
from congeal.metrics.bsds_boundaries import BsdsBoundaryMetric, HumanAgreementMetric
from congeal.metrics.bsds_curves import FULL, boundary_scores
from congeal.models import load
from congeal.networks.weights import PACKAGED
from congeal.training.validation import evenly_spread

__all__ = ["ARMS", "PUBLISHED", "Figure6", "draw_figure6"]

PUBLISHED: Mapping[str, float] = {
    "gPb": 0.726,
    "HED": 0.788,
    "COB": 0.793,
    "PiDiNet": 0.807,
    "human": 0.803,
}
"""ODS on the test images of BSDS500 as published by the authors, for 99 thresholds."""
ARMS: Mapping[str, Mapping[str, Any]] = {
    "logistic alone": {"loss.embedding_share": 0.0, "loss.embedding_weight": 0.0},
    "embedding first": {"loss.embedding_share": 0.3, "loss.embedding_weight": 0.0},
    "both at once": {"loss.embedding_share": 0.0, "loss.embedding_weight": 1.0},
}
"""Settings of the trainings, by name."""
ENCODER = "tf_efficientnet_lite0"
SOBEL_SCALE = 0.1  # gradient with a boundary strength of 1 - 1/e
FEW_THRESHOLDS = 15  # for a subset of the test images; takes a sixth of the time
CANNY_STEPS = 10  # number of upper thresholds
CANNY_TOP = 0.3  # highest upper threshold; rarely reached after smoothing of images in [0, 1]
CANNY_RATIO = 0.4  # lower / upper threshold
SIGMA = 1.5  # px, smoothing before Sobel and Canny
RESAMPLED = 500  # bootstrap samples of the test images

Boundary = NDArray[np.float64]
Detect = Callable[[Sample], Boundary]
Row = dict[str, Any]


@dataclass(frozen=True)
class Figure6:
    """Plan of trainings and evaluation.

    Args:
        training: settings of each training.
        images: numbers of training and test images, None for all.
        thresholds: thresholds of the benchmark; fewer than 99 are a quick estimate.
        shown: number of test images in the figure.
        seeds: trainings of each arm.
    """

    training: Mapping[str, Any] = field(default_factory=lambda: {"max_minutes": 30.0})
    images: tuple[int | None, int | None] = (None, None)
    thresholds: int = FULL
    shown: int = 2
    seeds: int = 1


QUICK = Figure6(
    training={"epochs": 2, "steps_per_epoch": 1, "batch_size": 2, "crop": 64, "tuning_share": 0},
    images=(4, 2),
    thresholds=5,
    shown=1,
)


class _Annotated(Dataset):
    """Drawn images, with their objects as the segmentation of a single annotator."""

    protocol = "bsds-boundaries"

    def __init__(self, drawn: Dataset) -> None:
        self.drawn, self.name, self.split = drawn, drawn.name, drawn.split

    def __len__(self) -> int:
        return len(self.drawn)

    def names(self) -> list[str]:
        return self.drawn.names()

    def __getitem__(self, index: int) -> Sample:
        sample = self.drawn[index]
        return replace(sample, annotations=(sample.labels + 1,))


def draw_figure6(
    folder: str | Path,
    *,
    quick: bool = False,
    seed: int = 0,
    minutes: float | None = None,
    seeds: int | None = None,
    images: int | None = None,
) -> FigureResult:
    """Train with and without the embedding loss, and score all on the boundary benchmark.

    Args:
        folder: for ``figure6.png`` and ``figure6.csv``, and models and counts in ``figure6``;
            existing trainings are not repeated.
        quick: a few updates on drawn shapes and few thresholds, as a smoke test.
        seed: seed of the first training of each arm, and of the bootstrap.
        minutes: minutes of each training, 30 when None.
        seeds: trainings of each arm, 1 when None; their counts are added up.
        images: number of test images, evenly spread, at 15 thresholds; all at 99 when None.

    Returns:
        The files; for each method ``ods``, ``ois`` and ``ap``; the gain of ``embedding first`` over
        ``logistic alone`` with the limits of its 95 % interval; and ``human`` agreement.

    Raises:
        CongealError: the files of BSDS500 are not found, or the folder holds other trainings.
    """
    plan, place = _plan(quick, minutes, seeds, images), Path(folder) / "figure6"
    test = _images("test", plan, quick)
    score = partial(_score, place=place, test=test, plan=plan, quick=quick)
    found: dict[str, list[BsdsBoundaryMetric]] = {}
    for name in ARMS:
        found[name] = []
        for one in range(seed, seed + plan.seeds):
            model = _train(place, name, plan, quick, one)
            found[name].append(score((name, one), _by_model(model)))
    found |= {name: [score((name,), detect)] for name, detect in CLASSICAL.items()}
    human = HumanAgreementMetric()
    for sample in test:
        human.update(truth=_annotators(sample))
    gain = _gain(found["embedding first"], found["logistic alone"], seed)
    people, pooled = human.compute(), {name: _pooled(own) for name, own in found.items()}
    shown = _train(place, "embedding first", plan, quick, seed)
    figure = _draw(pooled, people, shown, test, plan)
    numbers = _numbers(pooled) | gain | {"human": people["f"]}
    return save_figure(folder, "figure6", figure, _rows(pooled, people), numbers, _claims(numbers))


def _plan(quick: bool, minutes: float | None, seeds: int | None, images: int | None) -> Figure6:
    plan = QUICK if quick else Figure6()
    if minutes is not None:
        plan = replace(plan, training={"max_minutes": minutes})
    if images is not None:
        fewer = min(plan.thresholds, FEW_THRESHOLDS)
        plan = replace(plan, images=(plan.images[0], images), thresholds=fewer)
    return replace(plan, seeds=seeds or plan.seeds)


def _images(split: str, plan: Figure6, quick: bool) -> Dataset:
    if quick:
        count = plan.images[split == "test"]
        return _Annotated(open_dataset("shapes", split, size=64, count=count))
    data = open_dataset("bsds500", split)
    limit = {"train": plan.images[0], "test": plan.images[1]}.get(split)
    return data if limit is None else Subset(data, evenly_spread(len(data), limit))


def _train(place: Path, name: str, plan: Figure6, quick: bool, seed: int) -> RPEBoundaries:
    """The trained model of an arm, from the folder if it exists."""
    common: dict[str, Any] = {"seed": seed, "overlays": False, "task": "boundaries"}
    if not quick and find_spec(PACKAGED[ENCODER][0]) is not None:
        common["preset"] = "imagenet"
    settings = {**common, **plan.training, **ARMS[name]}
    training, held_out = (_images(split, plan, quick) for split in ("train", "val"))
    made = train_or_resume(place_of(place, name, seed), "rpe", training, held_out, **settings)
    model: RPEBoundaries = load(made, device="auto")  # type: ignore[assignment]
    return model


def _by_model(model: RPEBoundaries) -> Detect:
    return lambda sample: np.asarray(model.segment(sample.image).boundary, np.float64)


def _gray(sample: Sample) -> Boundary:
    image = sample.image / np.iinfo(np.uint8).max
    return np.asarray(rgb2gray(image) if image.ndim == 3 else image, np.float64)


def _sobel(sample: Sample) -> Boundary:
    """Sobel gradient of the smoothed image, thinned."""
    strength = 1 - np.exp(-sobel(gaussian(_gray(sample), SIGMA)) / SOBEL_SCALE)
    return suppress_non_maxima(strength)


def _canny(sample: Sample) -> Boundary:
    """Highest of several upper thresholds at which a pixel is a Canny edge, 0 to 1."""
    gray = _gray(sample)
    strength = np.zeros(gray.shape)
    for step in range(1, CANNY_STEPS + 1):
        high = CANNY_TOP * step / CANNY_STEPS
        strength[canny(gray, SIGMA, CANNY_RATIO * high, high)] = step / CANNY_STEPS
    return strength


def _annotators(sample: Sample) -> list[NDArray[Any]]:
    return [*(sample.boundaries or sample.annotations)]


CLASSICAL: Mapping[str, Detect] = {"Sobel": _sobel, "Canny": _canny}


def _score(
    of: tuple[object, ...],
    detect: Detect,
    *,
    place: Path,
    test: Dataset,
    plan: Figure6,
    quick: bool,
) -> BsdsBoundaryMetric:
    """Counts on the test images; read from the folder if they exist."""

    def images() -> Iterator[tuple[Boundary, list[NDArray[Any]]]]:
        for sample in test:
            yield detect(sample), _annotators(sample)

    def tables() -> list[Any]:
        metric = boundary_benchmark(images(), plan.thresholds, workers=1 if quick else None)
        return [table.tolist() for table in metric.tables]

    asked = {"images": len(test), "thresholds": plan.thresholds, "training": {**plan.training}}
    metric = BsdsBoundaryMetric(plan.thresholds)
    for table in keep(place_of(place, *of).with_suffix(".json"), asked, tables):
        metric.add(table)
    return metric


def _pooled(own: list[BsdsBoundaryMetric]) -> BsdsBoundaryMetric:
    """One metric with the sum of the counts of several trainings."""
    whole = BsdsBoundaryMetric(own[0].thresholds)
    for metric in own:
        whole.merge(metric)
    return whole


def _gain(
    one: list[BsdsBoundaryMetric], other: list[BsdsBoundaryMetric], seed: int
) -> dict[str, float]:
    """Difference of ODS, and the limits of its 95 % interval by a bootstrap over images.

    Args:
        one: counts of each training of an arm, on the same images.
        other: counts of each training of the other arm.
        seed: seed of the bootstrap.
    """
    arms = [np.array([metric.tables for metric in own]) for own in (one, other)]  # (S, N, T, 4)
    chance, thresholds = np.random.default_rng(seed), one[0].thresholds

    def difference(chosen: NDArray[np.int64]) -> float:
        drawn = [tables[:, chosen].reshape(-1, *tables.shape[2:]) for tables in arms]
        ods = [boundary_scores(tables, thresholds).ods.f for tables in drawn]
        return ods[0] - ods[1]

    count = len(one[0].tables)
    gains = [difference(chance.integers(0, count, count)) for _ in range(RESAMPLED)]
    low, high = np.percentile(gains, [2.5, 97.5])
    whole = difference(np.arange(count))
    return {"gain": whole, "gain low": float(low), "gain high": float(high)}


def _numbers(found: Mapping[str, BsdsBoundaryMetric]) -> dict[str, float]:
    return {
        f"{name} {key}": float(metric.compute()[key])
        for name, metric in found.items()
        for key in ("ods", "ois", "ap")
    }


def _claims(numbers: Mapping[str, float]) -> tuple[Claim, ...]:
    low, high = numbers["gain low"], numbers["gain high"]
    here = f"ODS {numbers['gain']:+.3f}, 95 % interval {low:+.3f} to {high:+.3f}"
    text = "the embedding loss before the logistic loss is better than the logistic loss alone"
    return (Claim(text, "better (BSDS500, figure 6)", here, low > 0),)


def _rows(found: Mapping[str, BsdsBoundaryMetric], people: Mapping[str, float]) -> list[Row]:
    """One row per point of a curve, and one per score, measured or published."""
    rows: list[Row] = []
    for name, metric in found.items():
        scores = {key: float(metric.compute()[key]) for key in ("ods", "ois", "ap")}
        rows.append({"method": name, "source": "measured", **scores})
        for point in metric.scores().curve:
            at = {"threshold": point.threshold, "recall": point.recall}
            rows.append({"method": name, "source": "curve", **at, "precision": point.precision})
    agreed = {"recall": people["recall"], "precision": people["precision"], "ods": people["f"]}
    rows.append({"method": "human", "source": "measured", **agreed})
    return rows + [{"method": n, "source": "published", "ods": v} for n, v in PUBLISHED.items()]


def _draw(
    found: Mapping[str, BsdsBoundaryMetric],
    people: Mapping[str, float],
    model: RPEBoundaries,
    test: Dataset,
    plan: Figure6,
) -> Figure:
    with house_style():
        figure = new_figure(11.0, 4.2 + 1.7 * plan.shown, "Boundaries by the embedding and without")
        halves = figure.add_gridspec(2, 1, height_ratios=(4.0, 1.7 * plan.shown))
        top, bottom = (figure.add_subfigure(halves[place, 0]) for place in range(2))
        left, right = top.subplots(1, 2)
        _draw_curves(left, found, people)
        _draw_scores(right, found)
        grid = bottom.subplots(plan.shown, 6, squeeze=False)
        for line, index in zip(grid, range(plan.shown), strict=True):
            _draw_example(list(line), model, test[index])
    return figure


def _draw_curves(
    axes: Axes, found: Mapping[str, BsdsBoundaryMetric], people: Mapping[str, float]
) -> None:
    for colour, (name, metric) in zip(LINES, found.items(), strict=False):
        scores = metric.scores()
        points = [(p.recall, p.precision) for p in scores.curve if p.precision > 0]
        label = f"{name}: {scores.ods.f:.3f}"
        axes.plot(*(zip(*points, strict=True) if points else ((), ())), color=colour, label=label)
    recall = np.linspace(0.01, 1, 200)
    f = people["f"]
    if f > 0:
        same = f * recall / np.where(2 * recall > f, 2 * recall - f, np.nan)
        axes.plot(recall, same, ":", color="#7a828c", linewidth=1)
        label = f"annotators agree: {f:.3f}"
        axes.plot(people["recall"], people["precision"], "o", color="#16202c", label=label)
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1))
    axes.legend(fontsize=8, loc="lower left", title="ODS")


def _draw_scores(axes: Axes, found: Mapping[str, BsdsBoundaryMetric]) -> None:
    ours = {name: metric.scores().ods.f for name, metric in found.items()}
    names = [*ours, *PUBLISHED]
    values = [*ours.values(), *PUBLISHED.values()]
    colours = [LINES[0]] * len(ours) + ["#b8bfc7"] * len(PUBLISHED)
    axes.barh(names, values, color=colours)
    for place, value in enumerate(values):
        axes.text(value + 0.01, place, f"{value:.3f}", va="center", fontsize=8)
    axes.set(xlabel="ODS (gray: published, of other trainings)", xlim=(0, 1))
    axes.invert_yaxis()


def _thicken(boundary: NDArray[Any]) -> NDArray[Any]:
    """Lines three pixels wide: those of one pixel vanish in a small picture."""
    return np.asarray(maximum_filter(boundary, 3))


def _draw_example(line: list[Axes], model: RPEBoundaries, sample: Sample) -> None:
    """Draw image, three side outputs as colours, result, and annotations."""
    steps = model.illustrate(sample.image)[:-1]
    sides = [steps[round(place)] for place in np.linspace(0, len(steps) - 1, 3)]
    result = np.asarray(model.segment(sample.image).boundary)
    marked = [one if one.dtype == bool else corner_boundaries(one) for one in _annotators(sample)]
    black = np.zeros_like(to_display(sample.image))
    pictures = [
        ("image", to_display(sample.image)),
        *sides,
        ("result", overlay_boundary(black, _thicken(result))),
        ("annotators", overlay_boundary(black, _thicken(np.mean(marked, axis=0)))),
    ]
    for axes, (title, picture) in zip(line, pictures, strict=True):
        show_map(axes, picture, title)
