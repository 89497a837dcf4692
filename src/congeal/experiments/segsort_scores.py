"""Scores of the models of the SegSort experiments, stored so that runs can be resumed.

Scores are stored in ``segsort_trainings`` in the output folder, one file per training. Experiments
that need the same training share its file.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from congeal.data.registry import open_dataset
from congeal.errors import CongealError
from congeal.experiments.kept import keep
from congeal.experiments.segsort_training import Effort, some, train_segsort
from congeal.methods.segsort import SegSort, SegSortConfig
from congeal.metrics.boundaries import ContourF1Metric
from congeal.metrics.semantic import SemanticMetric, TrimapMetric

__all__ = ["SCORES", "Row", "by_retrieval", "kept", "mean_defined", "score", "segsort_scores"]

Predict = Callable[[NDArray[Any]], NDArray[Any]]
Row = dict[str, Any]

SCORES = ("miou", "contour f1", "trimap")
BAND = 5  # px, width of the trimap and tolerance of contour F1
MINUTE = 60.0  # seconds


def kept(folder: str | Path, name: str, effort: Effort, seed: int, make: Callable[[], Any]) -> Any:
    """The result of a training; read from its file if it exists.

    Args:
        folder: folder of the experiment; the file is in ``segsort_trainings``.
        name: identifies a training among those with the same effort.
        effort: length and data of the training, and data of the evaluation.
        seed: seed of the training.
        make: trains and scores; returns a value that JSON can store.
    """
    length = f"{effort.steps}steps" if effort.minutes is None else f"{effort.minutes:g}min"
    shown = "all" if effort.tested is None else f"{effort.tested}"
    learnt = "" if effort.images is None else f"_of{effort.images}"
    file = f"{name}{learnt}_{length}_{effort.split}-{shown}_seed{seed}.json"
    plan = {
        "data": effort.data,
        "batch": effort.batch,
        "crop": effort.crop,
        "rate": effort.rate,
        "settings": dict(effort.settings),
    }
    return keep(Path(folder) / "segsort_trainings" / file, plan, make)


def segsort_scores(
    folder: str | Path, effort: Effort, seed: int, settings: Mapping[str, Any] | None = None
) -> Row:
    """Train and score by retrieval, or read the result: :func:`score` and ``minutes``.

    Args:
        folder: folder of the experiment.
        effort: length and data of the training.
        seed: seed of the training.
        settings: settings of the method, in addition to those of ``effort``.
    """
    usual = SegSortConfig.from_settings(effort.settings).flat()
    others = {path: value for path, value in (settings or {}).items() if usual[path] != value}
    names = [f"{path.rpartition('.')[2]}-{value}" for path, value in others.items()]

    def make() -> Row:
        model, seconds = train_segsort(effort, seed, others)
        return {**score(by_retrieval(model), effort), "minutes": seconds / MINUTE}

    found: Row = kept(folder, "_".join(["segsort", *names]), effort, seed, make)
    return found


def score(predict: Predict, effort: Effort) -> Row:
    """Compute ``miou``, ``contour f1`` within 5 px, and ``trimap`` (mIoU within 5 px of void).

    Undefined scores, such as the trimap of images without void, are None.
    """
    dataset = some(open_dataset(effort.data, effort.split), effort.tested)
    classes = len(dataset.class_names)
    semantic, contour = SemanticMetric(classes), ContourF1Metric((BAND,))
    trimap = TrimapMetric(classes, (BAND,))
    for sample in dataset:
        found, truth = predict(sample.image), sample.semantic
        if truth is None:
            raise CongealError(f"expected maps of classes, {dataset.name} has none")
        for metric in (semantic, contour, trimap):
            metric.update(prediction=found, truth=truth)
    values = (
        semantic.compute()["miou"],
        contour.compute()[f"contour_f1@{BAND}"],
        trimap.compute()[f"miou@{BAND}"],
    )
    return {
        name: None if math.isnan(value) else float(value)
        for name, value in zip(SCORES, values, strict=True)
    }


def by_retrieval(model: SegSort) -> Predict:
    """A function that predicts the class of each pixel by the index of a model."""

    def predict(image: NDArray[Any]) -> NDArray[Any]:
        found = model.segment(image).semantic
        assert found is not None
        return found

    return predict


def mean_defined(values: list[float | None]) -> float:
    """Mean of the values that are not None; NaN without any.

    Example:
        >>> mean_defined([0.5, None]), mean_defined([None])
        (0.5, nan)
    """
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else math.nan
