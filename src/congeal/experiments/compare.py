"""Comparison of every method on every available dataset: same encoder, images and minutes.

The result is a table and a page of pictures. Finished trainings and their scores are kept in the
output folder, so that an interrupted comparison can be resumed. Scores are those of the protocol of
the data on the test images; settings are those that ``congeal train`` chooses.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from congeal.data.registry import is_available, open_dataset
from congeal.data.sample import Dataset, Sample
from congeal.errors import CongealError, unknown
from congeal.evaluation import Evaluation, evaluate
from congeal.experiments.intervals import half_width, half_width_over_images
from congeal.experiments.kept import keep, place_of, train_or_resume
from congeal.experiments.result import FigureResult, house_style, new_figure, save_figure
from congeal.figures.colour import RGB, overlay
from congeal.figures.display import to_display
from congeal.figures.maps import overlay_boundary, overlay_classes
from congeal.figures.plots import LINES
from congeal.figures.report import Report
from congeal.methods.method import Method
from congeal.methods.registry import method_names, method_tasks
from congeal.models import load
from congeal.networks.weights import PACKAGED

__all__ = ["Compare", "draw_compare"]

ENCODER = "tf_efficientnet_lite0"
SHOWN = 3  # test images of each dataset on the page
TASKS = {
    "nuclei": "instances",
    "cables:gray": "instances",
    "strokes": "instances",
    "sticks": "instances",
    "rosettes": "instances",
    "shapes": "instances",
    "coco_mini:super": "instances",
    "camvid": "semantic",
    "bsds500": "boundaries",
}
"""Datasets and their tasks."""

INTERVAL = (
    "mean over seeds, +- half of a 95 % interval: over seeds, of a single one over test images"
)

SECOND = {"shapes": ("apr-dvis", "apr_dvis"), "coco_mini:super": ("coco-agnostic", "ap@0.5")}
"""Datasets with a second protocol, and the name of its score."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Compare:
    """Plan of trainings and evaluation.

    Args:
        minutes: minutes of each complete training.
        seeds: trainings of each method.
        data: datasets in ``TASKS``; those that are not available are omitted.
        methods: names of methods, None for all with the task.
        tested: maximum number of test images per dataset, None for all.
        settings: settings of the trainings.
    """

    minutes: float = 20.0
    seeds: int = 3
    data: Sequence[str] = tuple(TASKS)
    methods: Sequence[str] | None = None
    tested: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


QUICK = Compare(
    minutes=1.0,
    seeds=1,
    data=("shapes",),
    tested=2,
    settings={"epochs": 1, "steps_per_epoch": 2, "batch_size": 2, "crop": 64, "tuning_share": 0},
)


def draw_compare(
    folder: str | Path,
    *,
    quick: bool = False,
    seed: int = 0,
    minutes: float | None = None,
    seeds: int | None = None,
    data: Sequence[str] | None = None,
    methods: Sequence[str] | None = None,
) -> FigureResult:
    """Train every method for the task of each dataset, and score it on the test images.

    Args:
        folder: for ``compare.png``, ``compare.csv`` and the page ``compare.html``, and models in
            ``compare``; existing trainings are not repeated.
        quick: two updates on drawn shapes, as a smoke test.
        seed: first seed of each method.
        minutes: minutes of each training, 20 when None.
        seeds: trainings of each method, 3 when None.
        data: names of datasets in ``TASKS``, all available ones when None.
        methods: names of methods, all with the task of the data when None.

    Returns:
        The files, and for each dataset and method the headline score of the protocol, mean over
        the seeds, with half of its 95 % interval (``+-``): over the seeds, or of one seed over
        the test images, for matching AP. Drawn shapes also have AP^r_avg, and coco_mini
        class-agnostic AP@.5; both rank objects by score, so they are computed without a minimum
        score.

    Raises:
        CongealError: a dataset has no task here, none is available, or a method is unknown.
    """
    asked = {"minutes": minutes, "seeds": seeds, "data": data, "methods": methods}
    plan = _plan(quick, asked)
    here = [name for name in plan.data if is_available(name)]
    if not here:
        raise CongealError(f"none of {', '.join(plan.data)} is on this machine")
    rows: list[Row] = []
    page = Report("Methods compared", f"{ENCODER}, {plan.minutes:g} minutes each")
    for name in here:
        rows += [_of_one(name, m, s, plan, Path(folder)) for m, s in _runs(name, seed, plan)]
        _add_pictures(page, name, [row for row in rows if row["data"] == name], plan, Path(folder))
    summary = _summary(rows)
    page.add_heading("Scores").add_table(summary, INTERVAL)
    page.save(Path(folder) / "compare.html")
    return save_figure(folder, "compare", _draw(summary), rows, _numbers(summary))


def _plan(quick: bool, asked: Mapping[str, Any]) -> Compare:
    """The plan, with the given values instead of the defaults."""
    for name in asked["data"] or ():
        if name not in TASKS:
            raise CongealError(f"expected data of {', '.join(TASKS)}, got {name!r}")
    for name in asked["methods"] or ():
        if name not in method_names():
            raise unknown("method", name, method_names())
    given = {name: value for name, value in asked.items() if value is not None}
    return replace(QUICK if quick else Compare(), **given)


def _runs(name: str, seed: int, plan: Compare) -> Iterator[tuple[str, int]]:
    for method in method_names():
        asked = plan.methods is None or method in plan.methods
        if asked and TASKS[name] in method_tasks(method):
            yield from ((method, seed + k) for k in range(plan.seeds))


def _place(folder: Path, data: str, method: str, seed: int) -> Path:
    return place_of(folder / "compare", data, method, seed)


def _of_one(data: str, method: str, seed: int, plan: Compare, folder: Path) -> Row:
    """One training and its scores; read, where they are there for as many minutes."""
    place = _place(folder, data, method, seed)
    row: Row = keep(
        place / "compare.json",
        {"minutes": plan.minutes, "tested": plan.tested},
        lambda: _train_and_score(data, method, seed, plan, place),
    )
    return row


def _train_and_score(data: str, method: str, seed: int, plan: Compare, place: Path) -> Row:
    task = TASKS[data]
    parts = (open_dataset(data, part) for part in ("train", "val"))
    made = train_or_resume(place, method, *parts, **_asked(task, seed, plan))
    model, test = load(made), open_dataset(data, "test")
    found = evaluate(model, test, limit=plan.tested, report=False)
    trained = json.loads((made / "config.json").read_text())["training"]
    return {
        "data": data,
        "method": method,
        "seed": seed,
        "score": found.headline,
        "value": _or_none(found.metrics[found.headline]),
        "seconds an image": found.metrics["seconds_per_image"],
        "images": found.metrics["images"],
        "updates": trained["steps"],
        "minutes": plan.minutes,
        "+- over images": _over_images(found),
        **_second_score(model, data, test, plan),
    }


def _over_images(found: Evaluation) -> float | None:
    """Half of the interval of a matching AP over the test images; None for other scores."""
    name, _, threshold = found.headline.partition("@")
    if name != "matching_ap":
        return None
    kinds = [f"{kind}@{threshold}" for kind in ("tp", "fp", "fn")]
    return half_width_over_images([[row[kind] for kind in kinds] for row in found.per_image])


def _second_score(model: Method, data: str, test: Dataset, plan: Compare) -> Row:
    if data not in SECOND:
        return {}
    protocol, name = SECOND[data]
    model.configure(**{"decoding.min_score": 0.0})
    found = evaluate(model, test, protocol=protocol, limit=plan.tested, report=False)
    return {"second score": name, "second value": _or_none(found.metrics[name])}


def _asked(task: str, seed: int, plan: Compare) -> Row:
    """Common settings of all methods."""
    from importlib.util import find_spec

    return {
        "task": task,
        "start": None,
        "seed": seed,
        "max_minutes": plan.minutes,
        "overlays": False,
        "network.encoder": ENCODER,
        "network.pretrained": find_spec(PACKAGED[ENCODER][0]) is not None,
        **plan.settings,
    }


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value


def _summary(rows: list[Row]) -> list[Row]:
    """One row for each dataset and method."""
    found = []
    for data, method in dict.fromkeys((row["data"], row["method"]) for row in rows):
        own = [row for row in rows if (row["data"], row["method"]) == (data, method)]
        values = [row["value"] for row in own if row["value"] is not None]
        found.append(
            {
                "data": data,
                "method": method,
                "score": own[0]["score"],
                "mean": float(np.mean(values)) if values else math.nan,
                "+-": half_width(values) if len(own) > 1 else own[0].get("+- over images"),
                "seeds": len(own),
                "updates": round(float(np.mean([row["updates"] for row in own]))),
                "seconds an image": float(np.mean([row["seconds an image"] for row in own])),
                **_second_summary(own),
            }
        )
    return found


def _second_summary(own: list[Row]) -> Row:
    values = [row["second value"] for row in own if row.get("second value") is not None]
    if not values:
        return {"second score": "", "second mean": "", "second +-": ""}
    return {
        "second score": own[0]["second score"],
        "second mean": float(np.mean(values)),
        "second +-": half_width(values),
    }


def _numbers(summary: list[Row]) -> dict[str, float]:
    numbers = {}
    for row in summary:
        name = f"{row['data']}, {row['method']}, {row['score']}"
        numbers[name] = row["mean"]
        if row["+-"] is not None:
            numbers[f"{name} +-"] = row["+-"]
        if row["second score"]:
            numbers[f"{row['data']}, {row['method']}, {row['second score']}"] = row["second mean"]
    return numbers


def _draw(summary: list[Row]) -> Figure:
    sets = list(dict.fromkeys(row["data"] for row in summary))
    methods = list(dict.fromkeys(row["method"] for row in summary))
    width = 0.8 / len(methods)
    with house_style():
        figure = new_figure(max(6.4, 1.3 * len(sets)), 4.0, "Same encoder, same minutes")
        axes = figure.subplots()
        for place, method in enumerate(methods):
            own = [row for row in summary if row["method"] == method]
            at = [sets.index(row["data"]) + width * place for row in own]
            means = np.nan_to_num([row["mean"] for row in own])
            spread = [row["+-"] or 0.0 for row in own]
            colour = LINES[place % len(LINES)]
            axes.bar(at, means, width, yerr=spread, color=colour, label=method, capsize=2)
        scores = {row["data"]: row["score"] for row in summary}
        names = [f"{name}\n{scores[name].removeprefix('matching_')}" for name in sets]
        axes.set_xticks(np.arange(len(sets)) + width * (len(methods) - 1) / 2, names, fontsize=7)
        axes.set(ylim=(0, 1))
        axes.legend(fontsize=8)
    return figure


def _add_pictures(page: Report, data: str, rows: list[Row], plan: Compare, folder: Path) -> None:
    """Add the first test images, each with truth and the result of the first seed per method."""
    first = {row["method"]: row["seed"] for row in reversed(rows)}
    models = [(m, load(_place(folder, data, m, s))) for m, s in reversed(first.items())]
    page.add_heading(data)
    count = SHOWN if plan.tested is None else min(SHOWN, plan.tested)
    for sample in islice(open_dataset(data, "test"), count):
        pictures = [("image", to_display(sample.image)), ("truth", _truth(data, sample))]
        pictures += [(m, model.segment(sample.image).draw(sample.image)) for m, model in models]
        page.add_case(sample.name, pictures)


def _truth(data: str, sample: Sample) -> RGB:
    if TASKS[data] == "semantic" and sample.semantic is not None:
        return overlay_classes(sample.image, sample.semantic)
    if TASKS[data] == "boundaries":
        return overlay_boundary(sample.image, np.mean(sample.boundaries, axis=0))
    return overlay(sample.image, sample.labels)
