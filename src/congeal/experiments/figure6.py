"""Boundaries of BSDS500: logistic loss alone against embedding first (RPE, section 4.1, figure 6).

Three trainings of the same network, for the same minutes on the training images: the logistic loss
alone, the embedding first and fine-tuning by the logistic loss after it, and both losses at once.
Decoding is tuned on the validation images; scored are the test images, by the boundary benchmark.
In the same run stand Sobel's gradient and Canny's edges of scikit-image, and how well the
annotators agree. What others published is drawn as such. The interval of the difference is over
the test images: both trainings are scored on the same images drawn again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from skimage.color import rgb2gray
from skimage.feature import canny
from skimage.filters import gaussian, sobel

from congeal.data.registry import open_dataset
from congeal.data.sample import Dataset, Sample, Subset
from congeal.experiments.result import (
    Claim,
    FigureResult,
    house_style,
    new_figure,
    note,
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
from congeal.training import train

__all__ = ["ARMS", "PUBLISHED", "Figure6", "draw_figure6"]

PUBLISHED: Mapping[str, float] = {
    "gPb": 0.726,
    "HED": 0.788,
    "COB": 0.793,
    "PiDiNet": 0.807,
    "human": 0.803,
}
"""ODS on the test images of BSDS500 as their authors published them, on 99 thresholds."""
ARMS: Mapping[str, Mapping[str, Any]] = {
    "logistic alone": {"loss.embedding_share": 0.0, "loss.embedding_weight": 0.0},
    "embedding first": {"loss.embedding_share": 0.3, "loss.embedding_weight": 0.0},
    "both at once": {"loss.embedding_share": 0.0, "loss.embedding_weight": 1.0},
}
"""Settings of the trainings, by name."""
ENCODER = "tf_efficientnet_lite0"
SOBEL_SCALE = 0.1  # gradient that makes a strength of 1 - 1/e
CANNY_STEPS = 10  # levels of the upper threshold
CANNY_TOP = 0.3  # highest of them; gradients of smoothed images in [0, 1] hardly reach it
CANNY_RATIO = 0.4  # of the lower threshold to the upper one
SIGMA = 1.5  # px, of the smoothing before Sobel and Canny
REDRAWN = 500  # times that the test images are drawn again

Boundary = NDArray[np.float64]
Detect = Callable[[Sample], Boundary]
Row = dict[str, Any]


@dataclass(frozen=True)
class Figure6:
    """What is trained, for how long, and what is scored.

    Args:
        training: settings of each training.
        images: of training and test, None for all.
        thresholds: of the benchmark; fewer than 99 are a quick estimate.
        shown: test images in the picture.
    """

    training: Mapping[str, Any] = field(default_factory=lambda: {"max_minutes": 30.0})
    images: tuple[int | None, int | None] = (None, None)
    thresholds: int = FULL
    shown: int = 2


QUICK = Figure6(
    training={"epochs": 2, "steps_per_epoch": 1, "batch_size": 2, "crop": 64, "tuning_share": 0},
    images=(4, 2),
    thresholds=5,
    shown=1,
)


class _Annotated(Dataset):
    """Drawn images with the outlines of their objects for a single annotator."""

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


def draw_figure6(folder: str | Path, *, quick: bool = False, seed: int = 0) -> FigureResult:
    """Train with and without the embedding loss, and score all on the boundary benchmark.

    Args:
        folder: where ``figure6.png`` and ``figure6.csv`` go.
        quick: a few updates on drawn shapes and few thresholds, which shows only that it runs.
        seed: of the trainings, and of the images drawn again.

    Returns:
        The files, and of each method ``ods``, ``ois`` and ``ap``, the gain of ``embedding first``
        over ``logistic alone`` with the ends of its 95 % interval, and ``human`` agreement.

    Raises:
        CongealError: the files of BSDS500 are not found.
    """
    plan = QUICK if quick else Figure6()
    test = _images("test", plan, quick)
    models = {name: _train(settings, plan, quick, seed) for name, settings in ARMS.items()}
    detectors: dict[str, Detect] = {name: _by_model(model) for name, model in models.items()}
    detectors |= {"Sobel": _sobel, "Canny": _canny}
    found = {name: _score(detect, test, plan, quick) for name, detect in detectors.items()}
    human = HumanAgreementMetric()
    for sample in test:
        human.update(truth=_annotators(sample))
    gain = _gain(found["embedding first"], found["logistic alone"], seed)
    people = human.compute()
    figure = _draw(found, people, models["embedding first"], test, plan)
    numbers = _numbers(found) | gain | {"human": people["f"]}
    return save_figure(folder, "figure6", figure, _rows(found, people), numbers, _claims(numbers))


def _images(split: str, plan: Figure6, quick: bool) -> Dataset:
    if quick:
        count = plan.images[split == "test"]
        return _Annotated(open_dataset("shapes", split, size=64, count=count))
    data = open_dataset("bsds500", split)
    limit = {"train": plan.images[0], "test": plan.images[1]}.get(split)
    return data if limit is None else Subset(data, range(min(limit, len(data))))


def _train(settings: Mapping[str, Any], plan: Figure6, quick: bool, seed: int) -> RPEBoundaries:
    common: dict[str, Any] = {"seed": seed, "overlays": False, **plan.training, **settings}
    if not quick and find_spec(PACKAGED[ENCODER][0]) is not None:
        common |= {"network.encoder": ENCODER, "network.pretrained": True}
    training, held_out = (_images(split, plan, quick) for split in ("train", "val"))
    with tempfile.TemporaryDirectory() as place:
        output = Path(place) / "model"
        made = train("rpe", training, val=held_out, task="boundaries", output=output, **common)
        model: RPEBoundaries = load(made, device="auto")  # type: ignore[assignment]
    return model


def _by_model(model: RPEBoundaries) -> Detect:
    return lambda sample: np.asarray(model.segment(sample.image).boundary, np.float64)


def _gray(sample: Sample) -> Boundary:
    image = sample.image / np.iinfo(np.uint8).max
    return np.asarray(rgb2gray(image) if image.ndim == 3 else image, np.float64)


def _sobel(sample: Sample) -> Boundary:
    """The gradient of the smoothed image by Sobel's filter, thinned."""
    strength = 1 - np.exp(-sobel(gaussian(_gray(sample), SIGMA)) / SOBEL_SCALE)
    return suppress_non_maxima(strength)


def _canny(sample: Sample) -> Boundary:
    """The highest of some upper thresholds at which Canny's edges hold a pixel, 0 to 1."""
    gray = _gray(sample)
    strength = np.zeros(gray.shape)
    for step in range(1, CANNY_STEPS + 1):
        high = CANNY_TOP * step / CANNY_STEPS
        strength[canny(gray, SIGMA, CANNY_RATIO * high, high)] = step / CANNY_STEPS
    return strength


def _annotators(sample: Sample) -> list[NDArray[Any]]:
    return [*(sample.boundaries or sample.annotations)]


def _score(detect: Detect, test: Dataset, plan: Figure6, quick: bool) -> BsdsBoundaryMetric:
    def images() -> Iterator[tuple[Boundary, list[NDArray[Any]]]]:
        for sample in test:
            yield detect(sample), _annotators(sample)

    return boundary_benchmark(images(), plan.thresholds, workers=1 if quick else None)


def _gain(one: BsdsBoundaryMetric, other: BsdsBoundaryMetric, seed: int) -> dict[str, float]:
    """By how much ODS differs, and the ends of the 95 % interval over images drawn again."""
    tables = np.array(one.tables), np.array(other.tables)
    chance = np.random.default_rng(seed)

    def difference(chosen: NDArray[np.int64]) -> float:
        ods = [boundary_scores(table[chosen], one.thresholds).ods.f for table in tables]
        return ods[0] - ods[1]

    count = len(tables[0])
    drawn = [difference(chance.integers(0, count, count)) for _ in range(REDRAWN)]
    low, high = np.percentile(drawn, [2.5, 97.5])
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
    """A row for each point of a curve, and one for each score, measured or published."""
    rows: list[Row] = []
    for name, metric in found.items():
        scores = {key: float(metric.compute()[key]) for key in ("ods", "ois", "ap")}
        rows.append({"method": name, "source": "measured", **scores})
        for point in metric.scores().curve:
            told = {"threshold": point.threshold, "recall": point.recall}
            rows.append({"method": name, "source": "curve", **told, "precision": point.precision})
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
    axes.set(xlabel="ODS", xlim=(0, 1))
    axes.invert_yaxis()
    note(axes, "gray: published, of other trainings", 0.5, 0.02)


def _draw_example(line: list[Axes], model: RPEBoundaries, sample: Sample) -> None:
    """Image, three side outputs as colours, the result, and what the annotators drew."""
    steps = model.illustrate(sample.image)[:-1]
    sides = [steps[round(place)] for place in np.linspace(0, len(steps) - 1, 3)]
    result = np.asarray(model.segment(sample.image).boundary)
    marked = [one if one.dtype == bool else corner_boundaries(one) for one in _annotators(sample)]
    black = np.zeros_like(to_display(sample.image))
    pictures = [
        ("image", to_display(sample.image)),
        *sides,
        ("result", overlay_boundary(black, result)),
        ("annotators", overlay_boundary(black, np.mean(marked, axis=0))),
    ]
    for axes, (title, picture) in zip(line, pictures, strict=True):
        show_map(axes, picture, title)
