"""Unsupervised SegSort: classes as a share of supervised, and regions on BSDS500 (section 4.3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from skimage.graph import cut_threshold, rag_mean_color
from skimage.segmentation import felzenszwalb, slic

from congeal.data.intensity import scale_intensity
from congeal.data.registry import is_here, open_dataset
from congeal.data.sample import Dataset
from congeal.experiments.result import FigureResult, house_style, new_figure, note, save_figure
from congeal.experiments.segsort_training import FULL, QUICK, by_retrieval, score, train_segsort
from congeal.figures.plots import LINES
from congeal.grouping.contours import RegionHierarchy, gradient_boundary, region_hierarchy
from congeal.methods.segsort import SegSort
from congeal.metrics.bsds_regions import BsdsRegionMetric

__all__ = ["draw_segsort_unsupervised", "embedding_hierarchy"]

CUTS = tuple(np.linspace(0.05, 0.95, 19).round(2).tolist())
SCALES = (50.0, 100.0, 200.0, 400.0, 800.0)  # of Felzenszwalb and Huttenlocher
COLOURS = (5.0, 10.0, 20.0, 30.0, 40.0)  # 8-bit units below which superpixels are joined
PAPER_SHARE = 0.76  # of supervised mIoU, SegSort's abstract
GPB = {"covering_ods": 0.59, "covering_ois": 0.65, "pri_ods": 0.83, "pri_ois": 0.86,
       "voi_ods": 1.69, "voi_ois": 1.48}  # gPb-owt-ucm, Arbelaez et al., TPAMI 2011  # fmt: skip

Segmentations = Callable[[NDArray[Any]], list[NDArray[np.int64]]]


def embedding_hierarchy(model: SegSort, image: NDArray[Any]) -> RegionHierarchy:
    """Regions of an image by how far the embeddings on both sides of a boundary are apart.

    The boundary map is that of the image's gradient times 1 - cosine of the embeddings of two
    pixels one cell of the network apart, scaled to [0, 1].

    Args:
        model: whose embedding is taken.
        image: ``(H, W[, C])``.
    """
    maps = model.predict_maps(image)
    unit = maps.maps["embedding"].float().cpu().numpy()
    apart = np.zeros((unit.shape[1], unit.shape[2]))
    for axis in (1, 2):
        near = np.roll(unit, 1, axis), np.roll(unit, -1, axis)
        distance = (1 - (near[0] * near[1]).sum(0)) / 2
        np.maximum(apart, _without_border(distance, axis - 1), out=apart)
    height, width = maps.size
    rows = (np.arange(height) * apart.shape[0] // height)[:, None]
    columns = np.arange(width) * apart.shape[1] // width
    strength = np.sqrt(apart[rows, columns].clip(0, 1) * _gradient(image))
    return region_hierarchy(strength)


def _without_border(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """The first and last line, where neighbours wrap around, are 0."""
    kept = values.copy()
    np.moveaxis(kept, axis, 0)[[0, -1]] = 0
    return kept


def _gradient(image: NDArray[Any]) -> NDArray[np.float64]:
    return gradient_boundary(scale_intensity(image).movedim(0, 2).numpy())


def _hierarchy(make: Callable[[NDArray[Any]], RegionHierarchy]) -> Segmentations:
    def cut(image: NDArray[Any]) -> list[NDArray[np.int64]]:
        found = make(image)
        return [found.segments(threshold) for threshold in CUTS]

    return cut


def _graph_based(image: NDArray[Any]) -> list[NDArray[np.int64]]:
    pixels = scale_intensity(image).movedim(0, 2).numpy()
    return [1 + felzenszwalb(pixels, scale, 0.8, 50).astype(np.int64) for scale in SCALES]


def _superpixels(image: NDArray[Any]) -> list[NDArray[np.int64]]:
    pixels = 255 * scale_intensity(image).movedim(0, 2).numpy()
    fine = slic(pixels / 255, 400, start_label=1)
    return [1 + cut_threshold(fine, rag_mean_color(pixels, fine), one) for one in COLOURS]


def draw_segsort_unsupervised(
    folder: str | Path, *, quick: bool = False, seed: int = 0
) -> FigureResult:
    """Train without labels, then score classes by retrieval, and regions on BSDS500.

    Args:
        folder: where ``segsort_unsupervised.png`` and ``.csv`` go.
        quick: a few updates on drawn shapes; regions of two of them against their own objects.
        seed: of weights and order.

    Returns:
        The files, mIoU of both trainings and the ``share`` of the unsupervised one (paper: 76 %),
        and covering at ODS and OIS of the embedding, of the gradient alone, and of Felzenszwalb.
    """
    effort = QUICK if quick else replace(FULL, seeds=1)
    scores = {}
    for name, blind in (("supervised", False), ("unsupervised", True)):
        model, _ = train_segsort(effort, seed, {"loss.unsupervised": blind})
        scores[name] = score(by_retrieval(model), effort)["miou"]
    rows = _regions(model, _region_images(quick))
    numbers = {f"miou {name}": value for name, value in scores.items()}
    numbers["share"] = scores["unsupervised"] / max(scores["supervised"], 1e-9)
    numbers |= {f"{row['regions']} {key}": row[key] for row in rows for key in GPB}
    return save_figure(folder, "segsort_unsupervised", _draw(rows, scores), rows, numbers)


def _region_images(quick: bool) -> Dataset:
    if quick or not is_here("bsds500"):
        return open_dataset("shapes", "val", size=48, count=2)
    return open_dataset("bsds500", "test")


def _regions(model: SegSort, images: Dataset) -> list[dict[str, Any]]:
    kinds: dict[str, tuple[Segmentations, Sequence[float]]] = {
        "embedding": (_hierarchy(lambda image: embedding_hierarchy(model, image)), CUTS),
        "gradient": (_hierarchy(lambda image: region_hierarchy(_gradient(image))), CUTS),
        "felzenszwalb": (_graph_based, SCALES),
        "slic": (_superpixels, COLOURS),
    }
    rows = []
    for name, (cut, thresholds) in kinds.items():
        metric = BsdsRegionMetric(thresholds)
        for sample in images:
            truth = list(sample.annotations) or [sample.labels + 1]
            metric.update(prediction=cut(sample.image), truth=truth)
        found = metric.compute()
        rows.append({"regions": name, **{key: float(found[key]) for key in GPB}})
    return rows


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
