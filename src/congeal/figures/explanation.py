"""Pictures of an answer by similarity: segments beside the training segments they are like."""

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
CAPTION = 0.42  # inches, of two lines above a picture
DPI = 100
DIMMED = 0.5  # contrast that the rest of the image keeps beside a segment
GROUND = 0.75  # gray of the background in a map
MOST_POINTS = 2000  # prototypes that are placed on a map
LEAST_POINTS = 4  # that a map needs


@dataclass(frozen=True, eq=False)
class Candidate:
    """A training segment: a small picture of its image or None, its box as shares, a caption."""

    picture: ArrayLike | None
    box: Box
    caption: str
    class_id: int


@dataclass(frozen=True, eq=False)
class ExplainedSegment:
    """A segment of the image by its number in the map, with its nearest training segments."""

    number: int
    caption: str
    class_id: int
    candidates: Sequence[Candidate]


def explanation_sheet(
    image: ArrayLike, segments: ArrayLike, rows: Sequence[ExplainedSegment], title: str = ""
) -> Figure:
    """Draw a row for each segment: where it lies, then the training segments, nearest first.

    Args:
        image: ``(H, W[, C])``.
        segments: ``(H, W)`` int, the map of segments.
        rows: what to show.
        title: above the sheet.

    Example:
        >>> row = ExplainedSegment(1, "sky 0.9", 1, [Candidate(None, (0, 0, 1, 1), "sky", 1)])
        >>> len(explanation_sheet(np.zeros((4, 5)), np.ones((4, 5), int), [row]).axes)
        2
    """
    columns = 1 + max((len(row.candidates) for row in rows), default=0)
    told = [row.class_id for row in rows]
    told += [one.class_id for row in rows for one in row.candidates]
    colours = class_colours(max(told, default=1)) / 255
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        height, width = np.shape(segments)
        row_height = CELL * min(max(height / width, 0.4), 2.5) + CAPTION
        size = (CELL * columns + 0.2, row_height * max(len(rows), 1) + 0.4)
        figure = Figure(figsize=size, dpi=DPI, layout="constrained")
        figure.suptitle(title, x=0.01, ha="left", fontsize=10, fontweight="bold", color=INK)
        axes = figure.subplots(max(len(rows), 1), columns, squeeze=False)
        for row, line in zip(rows, axes, strict=False):
            shown = _highlight(image, np.asarray(segments) == row.number)
            _show(line[0], shown, row.caption, colours[row.class_id])
            for candidate, one in zip(row.candidates, line[1:], strict=False):
                _show_candidate(one, candidate, colours[candidate.class_id])
            for empty in line[1 + len(row.candidates) :]:
                empty.remove()
    return figure


def _highlight(image: ArrayLike, mask: NDArray[np.bool_]) -> RGB:
    """The image dimmed outside of the mask, with a line around it."""
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


def _show_candidate(axes: Any, one: Candidate, colour: NDArray[np.float64]) -> None:
    blank = np.full((8, 8, 3), 225, np.uint8)
    picture = blank if one.picture is None else to_display(one.picture)
    _show(axes, picture, one.caption, colour)
    y0, x0, y1, x1 = np.asarray(one.box) * np.tile(picture.shape[:2], 2) - 0.5
    for colour_of_line, width in ((INK, 3.0), ("white", 1.4)):  # seen on light and on dark
        frame = Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False)
        frame.set(edgecolor=colour_of_line, linewidth=width)
        axes.add_patch(frame)


def draw_prototypes(
    vectors: ArrayLike, classes: ArrayLike, names: Sequence[str], seed: int = 0
) -> Figure:
    """Draw a map of unit vectors in which like ones lie together (t-SNE), coloured by class.

    Args:
        vectors: ``(M, D)``; of more than 2,000 as many are drawn by chance.
        classes: ``(M,)`` class of each, a place in ``names``.
        names: of the classes.
        seed: of the choice and of the map.

    Example:
        >>> vectors = np.random.default_rng(0).normal(size=(12, 3))
        >>> figure = draw_prototypes(vectors, np.arange(12) % 2, ["sky", "sea"])
        >>> [text.get_text() for text in figure.legends[0].get_texts()]
        ['sky 6', 'sea 6']
    """
    points, kinds = np.asarray(vectors, np.float64), np.asarray(classes, np.int64)
    chosen = np.random.default_rng(seed).permutation(len(points))[:MOST_POINTS]
    place = _map(points[chosen], seed)
    colours = class_colours(len(names) - 1) / 255
    colours[0] = GROUND
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
    """``(M, 2)`` places; of very few points the first two coordinates."""
    if len(points) < LEAST_POINTS:
        return np.pad(points, ((0, 0), (0, 2)))[:, :2]
    from sklearn.manifold import TSNE

    near = min(30.0, (len(points) - 1) / 3)
    found: NDArray[np.float64] = TSNE(
        perplexity=near, metric="cosine", init="random", random_state=seed
    ).fit_transform(points)
    return found
