"""Instances with classes, scored with and without a regressor (RPE, section 4.4, table 2).

A model is trained for objects and classes on each dataset: drawn shapes of four classes, nuclei
with the modality of the image as class, and supercategories of coco_mini. After the training, a
linear regressor on shape and agreement with the semantic map is fitted on training images. The same
objects in the test images are scored by the mean foreground probability and by the regressor, and
AP^r and COCO AP are computed for both rankings. The confidence interval of the difference is a
bootstrap over the test images. ``--data coco_mini`` uses all 80 classes. Models are kept in the
output folder, so that an interrupted run can be resumed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from congeal.data.registry import is_available, open_dataset
from congeal.data.sample import Dataset, Subset
from congeal.evaluation.comparison import Comparison
from congeal.evaluation.judge import Judge, make_judge
from congeal.experiments.kept import place_of, train_or_resume
from congeal.experiments.result import (
    Claim,
    FigureResult,
    house_style,
    new_figure,
    note,
    save_figure,
)
from congeal.figures.plots import LINES
from congeal.methods.rpe import RPE
from congeal.methods.rpe.scoring import object_quality
from congeal.models import load
from congeal.networks.weights import PACKAGED
from congeal.training.validation import evenly_spread

__all__ = ["DATA", "SCORES", "Table2", "draw_table2"]

DATA = ("shapes", "nuclei:modality", "coco_mini:super")
SCORES = ("foreground", "regressor")
PAPER = 0.645  # AP^r at .5 on VOC 2012 val, from the paper
LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9)
ENCODER = "tf_efficientnet_lite0"
RESAMPLED = 200  # bootstrap samples of the test images

Row = dict[str, Any]


@dataclass(frozen=True)
class Table2:
    """Plan of trainings and evaluation.

    Args:
        data: names of the datasets.
        training: settings of each training and of the method.
        images: numbers of training and test images, None for all.
        resampled: number of bootstrap samples of the test images.
    """

    data: tuple[str, ...] = DATA
    training: Mapping[str, Any] = field(default_factory=lambda: {"max_minutes": 20.0})
    images: tuple[int | None, int | None] = (None, None)
    resampled: int = RESAMPLED


QUICK = Table2(
    data=("shapes:size=48", "shapes:objects=2-3,size=48"),
    training={"epochs": 1, "steps_per_epoch": 4, "batch_size": 2, "crop": 64, "tuning_share": 0},
    images=(6, 3),
    resampled=3,
)


@dataclass(frozen=True, eq=False)
class _Found:
    """Results on the test images for one kind of score.

    Attributes:
        apr: judge of AP^r for each image.
        coco: judge of COCO AP for all images.
        pairs: score and IoU with the truth of every object, ``(N, 2)``.
    """

    apr: list[Judge]
    coco: Judge
    pairs: NDArray[np.float64]


def draw_table2(
    folder: str | Path,
    *,
    quick: bool = False,
    seed: int = 0,
    minutes: float | None = None,
    data: Sequence[str] | None = None,
    images: int | None = None,
) -> FigureResult:
    """Train on each dataset, then score the objects with and without the regressor.

    Args:
        folder: for ``table2.png`` and ``table2.csv``, and models in ``table2``; existing trainings
            are not repeated.
        quick: a few updates on drawn shapes, as a smoke test.
        seed: seed of the trainings and of the bootstrap.
        minutes: minutes of each training, 20 when None.
        data: names of datasets with classes; those of :data:`DATA` when None.
        images: number of test images, evenly spread; all when None.

    Returns:
        The files; for each dataset and score AP^r at .5, its mean over .5 to .9, COCO AP, and the
        correlation of score and true IoU; for each dataset the gain in mean AP^r with the limits of
        its 95 % interval. Datasets that are not available are omitted.
    """
    plan = _plan(quick, minutes, data, images)
    rows, numbers = list[Row](), dict[str, float]()
    for name in plan.data:
        if not is_available(name.partition(":")[0]):
            continue
        test = _images(name, "test", plan.images[1])
        model = _train(name, plan, seed, place_of(Path(folder) / "table2", name, seed))
        found = {kind: _predict(model, test, kind) for kind in _kinds(model)}
        rows += [_row(name, kind, one, test) for kind, one in found.items()]
        numbers |= _gain(name, found, test, plan, seed)
    numbers |= {
        f"{r['data']}, {r['score']}, {k}": r[k] for r in rows for k in ("apr", "ap", "corr")
    }
    defined = {name: value for name, value in numbers.items() if np.isfinite(value)}
    figure, claims = _draw(rows), _claims(numbers, rows)
    return save_figure(folder, "table2", figure, _cells(rows), defined, claims)


def _plan(
    quick: bool, minutes: float | None, data: Sequence[str] | None, images: int | None
) -> Table2:
    plan = QUICK if quick else Table2()
    plan = replace(plan, images=(plan.images[0], images or plan.images[1]))
    if minutes is not None:
        plan = replace(plan, training={**plan.training, "max_minutes": minutes})
    return plan if data is None else replace(plan, data=tuple(data))


def _images(name: str, split: str, count: int | None) -> Dataset:
    data = open_dataset(name, split)
    return data if count is None else Subset(data, evenly_spread(len(data), count))


def _train(name: str, plan: Table2, seed: int, place: Path) -> RPE:
    common: dict[str, Any] = {"seed": seed, "overlays": False, "decoding.score": "regressor"}
    if name.startswith("coco") and find_spec(PACKAGED[ENCODER][0]) is not None:
        common |= {"network.encoder": ENCODER, "network.pretrained": True}
    training, held_out = (_images(name, split, plan.images[0]) for split in ("train", "val"))
    made = train_or_resume(place, "rpe", training, held_out, **{**common, **plan.training})
    model: RPE = load(made, device="auto")  # type: ignore[assignment]
    return model


def _kinds(model: RPE) -> tuple[str, ...]:
    """Kinds of scores; only one if the regressor is not fitted (no objects in training images)."""
    return SCORES if model.scoring.fitted else SCORES[:1]


def _predict(model: RPE, test: Dataset, kind: str) -> _Found:
    """Predict and evaluate the test images."""
    model.configure(score=kind)
    apr, coco, pairs = list[Judge](), make_judge("coco", test), list[tuple[float, float]]()
    for sample in test:
        result = model.segment(sample.image)
        one = Comparison(sample, result, test)
        apr.append(make_judge("apr-dvis", test))
        apr[-1].update(one)
        coco.update(one)
        quality = object_quality(sample, result.labels, result.classes, classed=True)
        known = np.isfinite(quality)
        pairs += zip(result.scores[known].tolist(), quality[known].tolist(), strict=True)
    return _Found(apr, coco, np.array(pairs).reshape(-1, 2))


def _pooled(judges: list[Judge], test: Dataset) -> dict[str, float]:
    whole = make_judge("apr-dvis", test)
    for judge in judges:
        whole.merge(judge)
    return whole.compute()


def _row(name: str, kind: str, found: _Found, test: Dataset) -> Row:
    apr, coco = _pooled(found.apr, test), found.coco.compute()
    levels = {f"apr@{level:g}": apr[f"apr@{level:g}"] for level in LEVELS}
    scores = {"apr": apr["apr_dvis"], **levels, "ap": coco["ap"], "ap@0.5": coco["ap@0.5"]}
    counts = {"images": len(test), "objects": apr["objects"], "predicted": apr["predicted"]}
    return {"data": name, "score": kind, **scores, "corr": _correlation(found.pairs), **counts}


def _correlation(pairs: NDArray[np.float64]) -> float:
    """Correlation of score and true IoU; NaN if one of them is constant."""
    if len(pairs) < 3 or not pairs.std(0).all():
        return float("nan")
    return float(np.atleast_2d(np.corrcoef(pairs.T))[0, 1])


def _gain(
    name: str, found: Mapping[str, _Found], test: Dataset, plan: Table2, seed: int
) -> dict[str, float]:
    """Difference of mean AP^r, and the limits of its 95 % interval."""
    if len(found) < len(SCORES):
        return {}
    chance, count = np.random.default_rng(seed), len(test)

    def difference(chosen: NDArray[np.int64]) -> float:
        before, after = (
            _pooled([found[kind].apr[i] for i in chosen], test)["apr_dvis"] for kind in SCORES
        )
        return after - before

    drawn = [difference(chance.integers(0, count, count)) for _ in range(plan.resampled)]
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    whole = difference(np.arange(count))
    return {f"{name} gain": whole, f"{name} gain low": float(low), f"{name} gain high": float(high)}


def _claims(numbers: Mapping[str, float], rows: list[Row]) -> tuple[Claim, ...]:
    names = dict.fromkeys(row["data"] for row in rows)
    lows = {name: numbers.get(f"{name} gain low", np.nan) for name in names}
    gains = [
        f"{n} {numbers.get(f'{n} gain', np.nan):+.3f} (low {low:+.3f})" for n, low in lows.items()
    ]
    order = Claim(
        "scores by a linear regressor on shape and agreement order objects better than foreground",
        "used, not compared (PASCAL VOC 2012)",
        "mean AP^r .5 to .9: " + "; ".join(gains),
        all(low > 0 for low in lows.values()),
    )
    return (order,)


def _cells(rows: list[Row]) -> list[Row]:
    """Replace NaN by None (an empty cell)."""
    return [
        {k: None if isinstance(v, float) and np.isnan(v) else v for k, v in row.items()}
        for row in rows
    ]


def _draw(rows: list[Row]) -> Figure:
    names = list(dict.fromkeys(row["data"] for row in rows))
    with house_style():
        figure = new_figure(3.4 * len(names) + 1, 3.8, "Semantic instances, scored in two ways")
        axes = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
        for place, name in enumerate(names):
            for row in (row for row in rows if row["data"] == name):
                colour = LINES[SCORES.index(row["score"])]
                values = [row[f"apr@{level:g}"] for level in LEVELS]
                label = f"{row['score']}, COCO AP {row['ap']:.3f}"
                axes[place].plot(LEVELS, values, "o-", color=colour, label=label)
            axes[place].set(title=name, xlabel="IoU", ylim=(0, 1), xticks=LEVELS)
            axes[place].legend(fontsize=8)
        axes[0].set_ylabel("AP$^r$")
        note(axes[0], f"paper: {PAPER:.3f} at .5 on VOC 2012 val", 0.02, 0.02)
    return figure
