"""Unsupervised SegSort: mIoU relative to supervised, and regions on BSDS500 (section 4.3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from skimage.graph import cut_threshold, rag_mean_color
from skimage.segmentation import felzenszwalb, slic

from congeal.data.intensity import scale_intensity
from congeal.data.registry import is_available, open_dataset
from congeal.data.sample import Dataset
from congeal.experiments.result import (
    Claim,
    FigureResult,
    house_style,
    new_figure,
    note,
    save_figure,
)
from congeal.experiments.segsort_scores import Row, by_retrieval, kept, score, segsort_scores
from congeal.experiments.segsort_training import Effort, choose_effort, some, train_segsort
from congeal.figures.plots import LINES
from congeal.methods.segsort import SegSort
from congeal.methods.segsort.hierarchy import image_gradient, sized_hierarchy
from congeal.metrics.bsds_regions import BsdsRegionMetric, segments_from_contours

__all__ = ["draw_segsort_unsupervised"]

CUTS = tuple(np.linspace(0.05, 0.95, 19).round(2).tolist())
SCALES = (50.0, 100.0, 200.0, 400.0, 800.0)  # of Felzenszwalb and Huttenlocher
COLOURS = (5.0, 10.0, 20.0, 30.0, 40.0)  # 8-bit difference below which superpixels are merged
PAPER_SHARE = 0.76  # of supervised mIoU, from the abstract of SegSort
GPB = {"covering_ods": 0.59, "covering_ois": 0.65, "pri_ods": 0.83, "pri_ois": 0.86,
       "voi_ods": 1.69, "voi_ois": 1.48}  # gPb-owt-ucm, Arbelaez et al., TPAMI 2011  # fmt: skip

Segmentations = Callable[[NDArray[Any]], list[NDArray[np.int64]]]


def _by_embedding(model: SegSort) -> Segmentations:
    model.configure(hierarchy=True)

    def cut(image: NDArray[Any]) -> list[NDArray[np.int64]]:
        contours = model.segment(image).contours
        assert contours is not None
        return list(segments_from_contours(contours, CUTS))

    return cut


def _by_gradient(image: NDArray[Any]) -> list[NDArray[np.int64]]:
    found = sized_hierarchy(image_gradient(image))
    return [found.segments(threshold) for threshold in CUTS]


def _graph_based(image: NDArray[Any]) -> list[NDArray[np.int64]]:
    pixels = scale_intensity(image).movedim(0, 2).numpy()
    return [1 + felzenszwalb(pixels, scale, 0.8, 50).astype(np.int64) for scale in SCALES]


def _superpixels(image: NDArray[Any]) -> list[NDArray[np.int64]]:
    pixels = 255 * scale_intensity(image).movedim(0, 2).numpy()
    fine = slic(pixels / 255, 400, start_label=1)
    return [1 + cut_threshold(fine, rag_mean_color(pixels, fine), one) for one in COLOURS]


UNTRAINED: dict[str, tuple[Segmentations, Sequence[float]]] = {
    "gradient": (_by_gradient, CUTS),
    "felzenszwalb": (_graph_based, SCALES),
    "slic": (_superpixels, COLOURS),
}


def draw_segsort_unsupervised(
    folder: str | Path,
    *,
    quick: bool = False,
    seed: int = 0,
    minutes: float | None = None,
    seeds: int | None = None,
    images: int | None = None,
) -> FigureResult:
    """Train without labels, then score classes by retrieval, and regions on BSDS500.

    Classes are scored on the test images of CamVid. Regions are predicted by the first unsupervised
    model for the test images of BSDS500, which are not used for training. Scores of gPb-owt-ucm are
    published numbers. Existing trainings are not repeated.

    Args:
        folder: for ``segsort_unsupervised.png`` and ``.csv``, and ``segsort_trainings``.
        quick: a few updates on drawn shapes; regions of two images, with their objects as truth.
        seed: first seed of weights and order.
        minutes: minutes of each training, 20 when None.
        seeds: trainings of each kind, one when None.
        images: maximum number of test images of each dataset, all when None.

    Returns:
        The files, mIoU of both trainings and the ``share`` of the unsupervised one (paper: 76 %),
        and covering, PRI and VOI at ODS and OIS of the embedding, of the gradient alone, of
        Felzenszwalb's, and of SLIC with merging.
    """
    effort = choose_effort(quick, minutes, seeds or 1, images)
    runs = range(seed, seed + effort.seeds)
    unsupervised = [_without_labels(folder, effort, one, quick) for one in runs]
    supervised = [segsort_scores(folder, effort, one)["miou"] for one in runs]
    scores = {
        "supervised": float(np.mean(supervised)),
        "unsupervised": float(np.mean([found["miou"] for found in unsupervised])),
    }
    rows = [unsupervised[0]["regions"], *_others(folder, effort, seed, quick)]
    numbers = {f"miou {name}": value for name, value in scores.items()}
    numbers["share"] = scores["unsupervised"] / max(scores["supervised"], 1e-9)
    numbers |= {f"{row['regions']} {key}": row[key] for row in rows for key in GPB}
    table = [*rows, {"regions": "gpb-owt-ucm (published)", **GPB}]
    figure, claims = _draw(rows, scores), _claims(numbers)
    return save_figure(folder, "segsort_unsupervised", figure, table, numbers, claims)


def _claims(numbers: dict[str, float]) -> list[Claim]:
    ours, plain = (numbers[f"{name} covering_ods"] for name in ("embedding", "felzenszwalb"))
    return [
        Claim(
            "learnt without labels it has three quarters of the supervised mIoU",
            f"{PAPER_SHARE:.0%} (PASCAL VOC)",
            f"{numbers['share']:.0%}",
            numbers["share"] >= PAPER_SHARE,
        ),
        Claim(
            "its regions cover those of people better than Felzenszwalb's (ODS)",
            f"none; gPb-owt-ucm {GPB['covering_ods']} as published (BSDS500)",
            f"{ours:.3f} against {plain:.3f}",
            ours > plain,
        ),
    ]


def _region_images(quick: bool, count: int | None) -> Dataset:
    if quick or not is_available("bsds500"):
        return open_dataset("shapes", "val", size=48, count=2)
    return some(open_dataset("bsds500", "test"), count)


def _without_labels(folder: str | Path, effort: Effort, seed: int, quick: bool) -> Row:
    """Train without labels; returns ``miou``, and scores of the ``regions`` of the embedding."""

    def make() -> Row:
        model, _ = train_segsort(effort, seed, {"loss.unsupervised": True})
        miou = score(by_retrieval(model), effort)["miou"]
        return {"miou": miou, "regions": _regions("embedding", _by_embedding(model), CUTS, images)}

    images = _region_images(quick, effort.tested)
    found: Row = kept(folder, "unsupervised", effort, seed, make)
    return found


def _others(folder: str | Path, effort: Effort, seed: int, quick: bool) -> list[Row]:
    """Scores of regions by methods without training."""
    images = _region_images(quick, effort.tested)
    return [
        kept(folder, f"regions-{name}", effort, seed, partial(_regions, name, cut, values, images))
        for name, (cut, values) in UNTRAINED.items()
    ]


def _regions(name: str, cut: Segmentations, thresholds: Sequence[float], images: Dataset) -> Row:
    metric = BsdsRegionMetric(thresholds)
    for sample in images:
        truth = list(sample.annotations) or [sample.labels + 1]
        metric.update(prediction=cut(sample.image), truth=truth)
    found = metric.compute()
    return {"regions": name, **{key: float(found[key]) for key in GPB}}


def _draw(rows: list[dict[str, Any]], scores: dict[str, float]) -> Figure:
    with house_style():
        figure = new_figure(8.6, 3.8, "Without labels: classes and regions")
        left, right = figure.subplots(1, 2, width_ratios=(1, 2))
        left.bar(list(scores), list(scores.values()), color=LINES[:2])
        left.axhline(PAPER_SHARE * scores["supervised"], color=LINES[3], linestyle="--")
        left.set(ylabel="mIoU by retrieval", ylim=(0, 1))
        note(left, "dashed: 76 % of supervised (paper)", 0.02, 0.93)
        names = [row["regions"] for row in rows]
        for place, key in enumerate(("covering_ods", "covering_ois")):
            at = np.arange(len(names)) + 0.38 * place
            label = key.replace("_", " ")
            right.bar(at, [row[key] for row in rows], 0.34, color=LINES[place], label=label)
            right.axhline(GPB[key], color=LINES[place], linestyle="--", linewidth=1)
        right.set_xticks(np.arange(len(names)) + 0.19, names)
        right.set(ylabel="covering", ylim=(0, 1))
        right.legend(loc="upper right")
        note(right, "dashed: gPb-owt-ucm on BSDS500, as published", 0.02, 0.93)
    return figure
