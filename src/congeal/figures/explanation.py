"""Figures that explain retrieval: segments with their nearest training segments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike, NDArray

from congeal.figures.colour import RGB, outline
from congeal.figures.display import to_display
from congeal.figures.maps import LINE, class_colours
from congeal.figures.plots import INK, SOFT, STYLE

__all__ = ["Candidate", "ExplainedSegment", "draw_prototypes", "explanation_sheet"]

Box = tuple[float, float, float, float]
CELL = 1.6  # inches, width of a picture in the sheet
CAPTION_HEIGHT = 0.42  # inches, height of the two caption lines above a picture
DPI = 100
DIMMED = 0.5  # contrast of the image outside of the highlighted segment
BACKGROUND_GRAY = 0.75  # colour of background prototypes
MAX_POINTS = 2000  # prototypes passed to t-SNE
MIN_POINTS = 4  # fewer points are not enough for t-SNE


@dataclass(frozen=True, eq=False)
class Candidate:
    """A training segment: thumbnail of its image or None, box y0, x0, y1, x1 in [0, 1], caption."""

    picture: ArrayLike | None
    box: Box
    caption: str
    class_id: int


@dataclass(frozen=True, eq=False)
class ExplainedSegment:
    """A segment, by its label in the segment map, and its nearest training segments."""

    number: int
    caption: str
    class_id: int
    candidates: Sequence[Candidate]


def explanation_sheet(
    image: ArrayLike, segments: ArrayLike, rows: Sequence[ExplainedSegment], title: str = ""
) -> Figure:
    """Draw one row per segment: its position in the image, then training segments, nearest first.

    Args:
        image: ``(H, W[, C])``.
        segments: ``(H, W)`` int, the map of segments.
        rows: segments to show.
        title: title of the figure.

    Example:
        >>> row = ExplainedSegment(1, "sky 0.9", 1, [Candidate(None, (0, 0, 1, 1), "sky", 1)])
        >>> len(explanation_sheet(np.zeros((4, 5)), np.ones((4, 5), int), [row]).axes)
        2
    """
    columns = 1 + max((len(row.candidates) for row in rows), default=0)
    class_ids = [row.class_id for row in rows]
    class_ids += [candidate.class_id for row in rows for candidate in row.candidates]
    colours = class_colours(max(class_ids, default=1)) / 255
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        height, width = np.shape(segments)
        row_height = CELL * min(max(height / width, 0.4), 2.5) + CAPTION_HEIGHT
        size = (CELL * columns + 0.2, row_height * max(len(rows), 1) + 0.4)
        figure = Figure(figsize=size, dpi=DPI, layout="constrained")
        figure.suptitle(title, x=0.01, ha="left", fontsize=10, fontweight="bold", color=INK)
        axes = figure.subplots(max(len(rows), 1), columns, squeeze=False)
        for row, panels in zip(rows, axes, strict=False):
            shown = _highlight(image, np.asarray(segments) == row.number)
            _show(panels[0], shown, row.caption, colours[row.class_id])
            for candidate, panel in zip(row.candidates, panels[1:], strict=False):
                _show_candidate(panel, candidate, colours[candidate.class_id])
            for empty in panels[1 + len(row.candidates) :]:
                empty.remove()
    return figure


def _highlight(image: ArrayLike, mask: NDArray[np.bool_]) -> RGB:
    """The image, dimmed outside of the mask, with the outline of the mask."""
    shown = to_display(image)
    faded = (DIMMED * shown + 255 * (1 - DIMMED) * 0.8).astype(np.uint8)
    dim = np.where(mask[..., None], shown, faded)
    width = max(1, round(max(mask.shape) / 160))
    return np.where(outline(mask.astype(np.int64), width)[..., None], np.array(LINE, np.uint8), dim)


def _show(axes: Any, picture: RGB, caption: str, colour: NDArray[np.float64]) -> None:
    axes.imshow(picture, interpolation="nearest")
    axes.set_title(caption, fontsize=7, fontweight="normal", color=INK)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(visible=True, color=colour, linewidth=2.5)


def _show_candidate(axes: Any, candidate: Candidate, colour: NDArray[np.float64]) -> None:
    blank = np.full((8, 8, 3), 225, np.uint8)
    picture = blank if candidate.picture is None else to_display(candidate.picture)
    _show(axes, picture, candidate.caption, colour)
    y0, x0, y1, x1 = np.asarray(candidate.box) * np.tile(picture.shape[:2], 2) - 0.5
    for colour_of_line, width in ((INK, 3.0), ("white", 1.4)):  # visible on light and on dark
        frame = Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False)
        frame.set(edgecolor=colour_of_line, linewidth=width)
        axes.add_patch(frame)


def draw_prototypes(
    vectors: ArrayLike, classes: ArrayLike, names: Sequence[str], seed: int = 0
) -> Figure:
    """Draw a t-SNE map of unit vectors, coloured by class.

    Args:
        vectors: ``(M, D)``; if M > 2,000, a random sample of 2,000 is shown.
        classes: ``(M,)`` class of each vector, an index of ``names``.
        names: class names.
        seed: of the sample and of t-SNE.

    Example:
        >>> vectors = np.random.default_rng(0).normal(size=(12, 3))
        >>> figure = draw_prototypes(vectors, np.arange(12) % 2, ["sky", "sea"])
        >>> [text.get_text() for text in figure.legends[0].get_texts()]
        ['sky 6', 'sea 6']
    """
    points, kinds = np.asarray(vectors, np.float64), np.asarray(classes, np.int64)
    chosen = np.random.default_rng(seed).permutation(len(points))[:MAX_POINTS]
    place = _map(points[chosen], seed)
    colours = class_colours(len(names) - 1) / 255
    colours[0] = BACKGROUND_GRAY
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(7.5, 5.5), dpi=DPI, layout="constrained")
        axes = figure.subplots()
        for kind in np.unique(kinds):
            at = place[kinds[chosen] == kind]
            label = f"{names[kind]} {int((kinds == kind).sum())}"
            axes.scatter(at[:, 0], at[:, 1], s=9, color=colours[kind], label=label, linewidths=0)
        axes.set_axis_off()
        note = f"{len(chosen)} of {len(points)} training segments; near ones are alike (t-SNE)"
        axes.set_title(note, fontsize=9, fontweight="normal", color=SOFT)
        figure.legend(loc="outside right center", fontsize=8, markerscale=2)
    return figure


def _map(points: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Positions ``(M, 2)`` by t-SNE; the first two coordinates if there are too few points."""
    if len(points) < MIN_POINTS:
        return np.pad(points, ((0, 0), (0, 2)))[:, :2]
    from sklearn.manifold import TSNE

    near = min(30.0, (len(points) - 1) / 3)
    found: NDArray[np.float64] = TSNE(
        perplexity=near, metric="cosine", init="random", random_state=seed
    ).fit_transform(points)
    return found
