"""Pictures of how a result came about: value map, levels, groups of each bandwidth, candidates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from congeal.figures import embedding_rgb, enlarge, overlay, to_display
from congeal.methods.method import MapPrediction
from congeal.segmentation import Segmentation
from congeal.segmentation.objects import Crop

__all__ = ["draw_levels", "draw_stages", "draw_values"]

RGB = NDArray[np.uint8]
INCHES, DPI = 4.0, 120
BINS = 80  # of the histogram of levels
COLOURS = "viridis"  # perceptually uniform: equal steps of the value look equal
ACCEPTED, REJECTED = "#3cbe5a", "#eb3c3c"


def draw_values(values: NDArray[Any]) -> RGB:
    """A value map ``(C, h, w)`` in colour: viridis from 0 up, or three directions of several.

    Example:
        >>> draw_values(np.array([[[0.0, 2.0]]])).tolist()
        [[[68, 1, 84], [253, 231, 36]]]
    """
    if len(values) > 1:
        return embedding_rgb(values, values.max(0) > 0)
    shares = values[0] / max(float(values.max()), 1e-6)
    return np.asarray(matplotlib.colormaps[COLOURS](shares)[..., :3] * 255, np.uint8)


def draw_levels(values: NDArray[Any], bandwidths: Sequence[float], threshold: float) -> RGB:
    """Histogram of the values ``(C, h, w)`` from the threshold on, one line per number.

    The bars below it are as long as the bandwidths.
    """
    figure = Figure(figsize=(INCHES, INCHES), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    inside = values[:, values.max(0) >= threshold]  # (C, P)
    for number, line in enumerate(inside):
        axes.hist(line, BINS, histtype="stepfilled", alpha=0.6, label=f"number {number + 1}")
    start = float(inside.min()) if inside.size else 0.0
    for row, bandwidth in enumerate(bandwidths):
        height = -0.04 * (row + 1)
        ends = (start, start + 2 * bandwidth)
        axes.plot(ends, 2 * [height], transform=axes.get_xaxis_transform(), clip_on=False, lw=2)
        axes.annotate(f"±{bandwidth:g}", (ends[1], height), xycoords=axes.get_xaxis_transform())
    axes.tick_params(axis="x", pad=8 + 8 * len(bandwidths))
    axes.set_ylabel("pixels of the map")
    if len(inside) > 1:
        axes.legend()
    return _picture(figure)


class _Staged(Protocol):
    """What is asked of the model."""

    config: Any

    def candidates(self, maps: MapPrediction) -> Segmentation:
        """Groups before they are verified."""

    def decode(self, maps: MapPrediction) -> Segmentation:
        """Objects."""


def draw_stages(model: _Staged, image: NDArray[Any], maps: MapPrediction) -> list[tuple[str, RGB]]:
    """Title and picture of each stage between an image and its result, see :class:`DVIS`."""
    values = maps.maps["values"].float().cpu().numpy()
    c = model.config.decoding
    pictures = [
        ("value map", enlarge(draw_values(values))),
        ("levels", draw_levels(values, c.bandwidths, c.foreground_threshold)),
    ]
    for bandwidth in c.bandwidths:
        groups = _groups(model, maps, bandwidth)
        pictures.append((f"bandwidth {bandwidth:g}", overlay(image, groups.labels)))
    every = model.candidates(maps)
    accepted = model.decode(maps)
    kept = {_key(crop) for crop in accepted.crops()}
    chosen = np.array([_key(crop) in kept for crop in every.crops()], bool)
    for name, which, colour in (
        ("accepted", chosen, ACCEPTED),
        ("rejected", ~chosen, REJECTED),
    ):
        pictures.append((f"{name}: {which.sum()}", _candidates(image, every, which, colour)))
    return pictures


def _groups(model: _Staged, maps: MapPrediction, bandwidth: float) -> Segmentation:
    """All groups of one bandwidth."""
    before = model.config
    try:
        model.config = before.updated({"decoding.bandwidths": (bandwidth,)})
        return model.candidates(maps)
    finally:
        model.config = before


def _key(crop: Crop) -> tuple[Any, ...]:
    rows, columns = crop.window
    return rows.start, columns.start, crop.mask.shape, crop.mask.tobytes()


def _candidates(image: NDArray[Any], every: Segmentation, which: Any, colour: str) -> RGB:
    """Outlines of some candidates with their scores."""
    height, width = every.shape
    scale = INCHES / max(height, width)
    figure = Figure(figsize=(width * scale, height * scale), dpi=DPI)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.imshow(to_display(image), interpolation="nearest")
    for crop, score, shown in zip(every.crops(), every.scores, which, strict=True):
        if shown:
            _outline(axes, crop, float(score), colour)
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    return _picture(figure)


def _outline(axes: Axes, crop: Crop, score: float, colour: str) -> None:
    top, left = (axis.start - 1 for axis in crop.window)
    mask = np.pad(crop.mask, 1)  # so that the line closes
    rows, columns = np.arange(mask.shape[0]) + top, np.arange(mask.shape[1]) + left
    axes.contour(columns, rows, mask, [0.5], colors=[colour], linewidths=1.2)
    y, x = (float(np.mean(axis)) for axis in np.nonzero(mask))
    axes.text(
        x + left, y + top, f"{score:.2f}",
        color="white", fontsize=8, ha="center", va="center",
        bbox={"facecolor": colour, "edgecolor": "none", "pad": 1, "alpha": 0.8},
    )  # fmt: skip


def _picture(figure: Figure) -> RGB:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
