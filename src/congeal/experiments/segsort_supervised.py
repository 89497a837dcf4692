"""SegSort: retrieval against softmax, and mIoU over the number of labels (section 4.2)."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from congeal.experiments.intervals import half_width
from congeal.experiments.result import (
    Claim,
    FigureResult,
    house_style,
    new_figure,
    note,
    save_figure,
)
from congeal.experiments.segsort_scores import (
    SCORES,
    Row,
    by_retrieval,
    kept,
    mean_defined,
    score,
    segsort_scores,
)
from congeal.experiments.segsort_softmax import softmax_scores
from congeal.experiments.segsort_training import (
    Effort,
    choose_effort,
    some,
    train_segsort,
    training_images,
)
from congeal.figures.plots import INK, LINES

__all__ = ["draw_segsort_labels", "draw_segsort_supervised"]

LABELLED = (1, 5, 20, None)
KINDS = {"segsort": segsort_scores, "softmax": softmax_scores}


def draw_segsort_supervised(
    folder: str | Path,
    *,
    quick: bool = False,
    seed: int = 0,
    minutes: float | None = None,
    seeds: int | None = None,
    images: int | None = None,
) -> FigureResult:
    """Train SegSort and a softmax classifier, and score both on the test images.

    Both have the same network, encoder, crops, order and minutes. The paper reports higher scores
    for retrieval than for softmax on PASCAL VOC, especially at contours. Existing trainings are not
    repeated.

    Args:
        folder: for ``segsort_supervised.png`` and ``.csv``, and ``segsort_trainings``.
        quick: a few updates on drawn shapes, as a smoke test.
        seed: first seed.
        minutes: minutes of each training, 20 when None.
        seeds: trainings of each loss, three when None.
        images: number of test images, all when None.

    Returns:
        The files; for each loss the mean over seeds of mIoU, contour F1, trimap mIoU and minutes;
        and the difference in mIoU with the half width of its 95 % interval (``+-``).
    """
    effort = choose_effort(quick, minutes, seeds, images)
    rows = [
        {"loss": kind, "seed": seed + k, **scores(folder, effort, seed + k)}
        for k in range(effort.seeds)
        for kind, scores in KINDS.items()
    ]
    numbers = _compared(rows)
    claim = Claim(
        "retrieval scores above softmax, by more than half of the 95 % interval",
        "above, same network (PASCAL VOC)",
        f"mIoU {numbers['segsort miou']:.3f} against {numbers['softmax miou']:.3f} "
        f"({effort.data}, {effort.split})",
        numbers["difference"] > numbers["difference +-"],
    )
    return save_figure(folder, "segsort_supervised", _bars(rows), rows, numbers, [claim])


def _compared(rows: list[Row]) -> dict[str, float]:
    numbers: dict[str, float] = {}
    for kind in KINDS:
        own = [row for row in rows if row["loss"] == kind]
        for name in (*SCORES, "minutes"):
            mean = mean_defined([row[name] for row in own])
            numbers |= {} if math.isnan(mean) else {f"{kind} {name}": mean}
    apart = [a["miou"] - b["miou"] for a, b in zip(rows[::2], rows[1::2], strict=True)]
    return {**numbers, "difference": float(np.mean(apart)), "difference +-": half_width(apart)}


def _bars(rows: list[Row]) -> Figure:
    with house_style():
        figure = new_figure(6.4, 3.8, "Classes by retrieval and by softmax, same network")
        axes = figure.subplots()
        for place, kind in enumerate(KINDS):
            own = [row for row in rows if row["loss"] == kind]
            at = np.arange(len(SCORES)) + 0.38 * place
            means = [mean_defined([row[name] for row in own]) for name in SCORES]
            axes.bar(at, np.nan_to_num(means), 0.34, color=LINES[place], label=kind)
            for row in own:
                dots = [np.nan if row[name] is None else row[name] for name in SCORES]
                axes.plot(at, dots, "o", color=INK, markersize=2.5)
        axes.set_xticks(np.arange(len(SCORES)) + 0.19, SCORES)
        axes.set_ylim(0, 1)
        axes.legend()
        note(axes, "dots: seeds; paper: retrieval above softmax", 0.02, 0.93)
    return figure


def draw_segsort_labels(
    folder: str | Path,
    *,
    quick: bool = False,
    seed: int = 0,
    minutes: float | None = None,
    images: int | None = None,
) -> FigureResult:
    """Train with 1, 5, 20 and all labelled images, supervised and unsupervised.

    Supervised models are trained on the labelled images only. One unsupervised model is trained on
    all images without labels; only its index uses labels.

    Args:
        folder: for ``segsort_labels.png`` and ``.csv``, and ``segsort_trainings``.
        quick: a few updates on drawn shapes.
        seed: seed of weights and order.
        minutes: minutes of each of the five trainings, 20 when None.
        images: number of test images, all when None.

    Returns:
        The files, and for each number of labelled images the mIoU of both on test images.
    """
    effort = choose_effort(quick, minutes, 1, images)
    known = len(training_images(effort))
    counts = sorted({min(count or known, known) for count in LABELLED})
    scores = _unsupervised_scores(folder, effort, seed, counts)
    rows: list[Row] = []
    for count, unsupervised in zip(counts, scores, strict=True):
        subset = effort if count == known else replace(effort, images=count)
        supervised = segsort_scores(folder, subset, seed)["miou"]
        for name, miou in (("supervised", supervised), ("unsupervised", unsupervised)):
            rows.append({"training": name, "labelled": count, "miou": miou})
    numbers = {f"{row['training']} {row['labelled']}": row["miou"] for row in rows}
    return save_figure(folder, "segsort_labels", _curves(rows), rows, numbers)


def _unsupervised_scores(
    folder: str | Path, effort: Effort, seed: int, counts: list[int]
) -> list[float]:
    """MIoU of one unsupervised model, with indexes of these numbers of labelled images."""

    def make() -> list[float]:
        known = training_images(effort)
        model, _ = train_segsort(effort, seed, {"loss.unsupervised": True}, some(known, 1))
        found = []
        for count in counts:
            model.finish(some(known, count))
            found.append(float(score(by_retrieval(model), effort)["miou"]))
        return found

    name = f"unsupervised_labels-{'-'.join(str(count) for count in counts)}"
    found: list[float] = kept(folder, name, effort, seed, make)
    return found


def _curves(rows: list[Row]) -> Figure:
    with house_style():
        figure = new_figure(6.0, 3.8, "Labelled images")
        axes = figure.subplots()
        for name, colour in zip(("supervised", "unsupervised"), LINES, strict=False):
            own = [row for row in rows if row["training"] == name]
            places = [row["labelled"] for row in own]
            axes.plot(places, [row["miou"] for row in own], "o-", color=colour, label=name)
        axes.set_xscale("log")
        axes.set(xlabel="labelled images", ylabel="mIoU", ylim=(0, 1))
        axes.legend()
        note(axes, "paper: unsupervised at 76 % of supervised", 0.02, 0.93)
    return figure
