"""Files with training curves, scores over thresholds, precision-recall curves, contact sheets."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFont

from congeal.errors import CongealError
from congeal.figures.display import to_display
from congeal.files import atomic_path

__all__ = ["contact_sheet", "plot_curves", "plot_thresholds", "read_series"]

Series = dict[str, NDArray[np.float64]]

LINES = ("#0f766e", "#d97706", "#4f46e5", "#be185d", "#4d7c0f", "#0284c7")
INK, SOFT, GRID = "#16202c", "#5b6876", "#e3e7ec"
GAP, CAPTION = 12, 24
"""Pixels between the pictures of a contact sheet, and height of a title in pixels."""

STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.5,
    "text.color": INK,
    "axes.labelcolor": SOFT,
    "axes.edgecolor": "#b8c1cb",
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "legend.frameon": False,
    "figure.constrained_layout.h_pad": 0.1,
    "figure.constrained_layout.w_pad": 0.1,
    "svg.hashsalt": "congeal",
}


def read_series(path: str | Path, x: str = "step") -> Series:
    r"""Read a CSV log into one array `(P, 2)` per column, of column ``x`` and that column.

    Empty cells are skipped, for logs that alternate between training and validation.

    Raises:
        CongealError: the file or the column ``x`` is missing.

    Example:
        >>> import tempfile
        >>> log = Path(tempfile.mkdtemp()) / "metrics.csv"
        >>> _ = log.write_text("step,loss,lr\n0,2.5,\n1,1.5,0.1\n")
        >>> {name: values.tolist() for name, values in read_series(log).items()}
        {'loss': [[0.0, 2.5], [1.0, 1.5]], 'lr': [[1.0, 0.1]]}
    """
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise CongealError(f"cannot read {path}: {error.strerror}") from error
    if rows and x not in rows[0]:
        raise CongealError(f"expected a column {x!r} in {path}, got {', '.join(rows[0])}")
    points: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        at = _number(row.pop(x))
        for name, text in row.items():
            value = _number(text)
            if name != "epoch" and at is not None and value is not None:
                points.setdefault(name, []).append((at, value))
    return {name: np.array(values) for name, values in points.items()}


def _number(text: Any) -> float | None:
    try:
        value = float(text)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None


def _points(values: ArrayLike) -> NDArray[np.float64]:
    """Give points `(P, 2)`; values without x are numbered from 0."""
    array = np.asarray(values, np.float64)
    return np.stack([np.arange(len(array)), array], 1) if array.ndim == 1 else array


def _panel(name: str) -> tuple[str, str]:
    """Split a name into panel and line: ``val_loss`` is the line ``val`` of the panel ``loss``."""
    for part in ("train", "val", "valid", "test"):
        for mark in ("_", "/"):
            if name.startswith(part + mark):
                return name[len(part) + 1 :], part
    return ("learning rate", name) if re.match(r"lr\b", name) else (name, name)


def plot_curves(
    source: str | Path | Mapping[str, ArrayLike], path: str | Path, *, x: str = "step"
) -> Path:
    """Draw curves, for example of a training, in one panel per quantity.

    ``train_loss`` and ``val_loss`` share the panel ``loss``. Curves of more than 60 points are
    drawn faint, with their running mean on top. Quantities over several decades have a logarithmic
    axis.

    Args:
        source: CSV log, or values `(P,)` or points `(P, 2)` by name.
        path: file to write: .png, .svg or .pdf.
        x: column of the log for the horizontal axis; also the label of the axis.

    Raises:
        CongealError: there is nothing to draw, or reading the log or writing the file fails.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "curves.png"
        >>> plot_curves({"loss": [3.0, 2.0, 1.5]}, target).name
        'curves.png'
    """
    if isinstance(source, str | Path):
        series = read_series(source, x)
    else:
        series = {name: _points(values) for name, values in source.items()}
    panels: dict[str, Series] = {}
    for name, points in series.items():
        panel, line = _panel(name)
        if len(points):
            panels.setdefault(panel, {})[line] = points
    panels = dict(sorted(panels.items(), key=lambda panel: "loss" not in panel[0]))
    if not panels:
        raise CongealError(f"expected curves to draw in {path}, got none")
    with matplotlib.rc_context(STYLE):
        return _save(_draw_panels(panels, x), path)


def _draw_panels(panels: Mapping[str, Series], x: str) -> Figure:
    columns = min(3, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(3.7 * columns + 0.3, 2.6 * rows + 0.2), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).reshape(-1)
    for axes, (name, lines) in zip(grid, panels.items(), strict=False):
        axes.set_title(name.replace("_", " "))
        axes.set_xlabel(x)
        _draw_lines(axes, lines)
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    return figure


def _draw_lines(axes: Axes, lines: Series) -> None:
    for (name, points), colour in zip(lines.items(), LINES * len(lines), strict=False):
        at, value = points.T
        if len(points) > 60:
            axes.plot(at, value, color=colour, linewidth=0.7, alpha=0.25)
            at, value = at, _running_mean(value, len(points) // 25)
        marker = "o" if len(points) < 25 else ""
        axes.plot(at, value, color=colour, linewidth=1.8, label=name, marker=marker, markersize=3.5)
    everything = np.concatenate([points[:, 1] for points in lines.values()])
    low, high = np.percentile(everything, [5, 95])
    if everything.min() > 0 and high > 100 * low:
        axes.set_yscale("log")
    if len(lines) > 1:
        axes.legend()


def _running_mean(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Mean of ``width`` values around each one, of fewer at both ends."""
    kernel = np.ones(width)
    total = np.convolve(values, kernel, "same")
    return np.asarray(total / np.convolve(np.ones(len(values)), kernel, "same"))


def plot_thresholds(metrics: Mapping[str, float], path: str | Path) -> Path:
    """Draw scores over the IoU threshold, one line per score.

    Args:
        metrics: as in ``evaluation.json``, with names such as ``"matching_ap@0.5"``. Names without
            a threshold and scores outside [0, 1] are ignored.
        path: file to write: .png, .svg or .pdf.

    Raises:
        CongealError: no name has a threshold, or writing fails.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "thresholds.svg"
        >>> plot_thresholds({"recall@0.5": 0.9, "recall@0.7": 0.6}, target).name
        'thresholds.svg'
    """
    lines: dict[str, list[tuple[float, float]]] = {}
    for key, value in metrics.items():
        name, _, threshold = key.partition("@")
        at = _number(threshold)
        if at is not None and value is not None and 0 <= value <= 1:
            lines.setdefault(name, []).append((at, float(value)))
    if not lines:
        raise CongealError(f"expected scores such as 'recall@0.5' to draw in {path}, got none")
    with matplotlib.rc_context(STYLE):
        return _save(_draw_thresholds({k: np.array(sorted(v)) for k, v in lines.items()}), path)


def _draw_thresholds(lines: Series) -> Figure:
    figure = Figure(figsize=(5.6, 3.3), layout="constrained")
    axes = figure.subplots()
    for (name, points), colour in zip(lines.items(), LINES * len(lines), strict=False):
        label = name.removeprefix("matching_")
        label = label.upper() if len(label) <= 2 else label
        axes.plot(*points.T, color=colour, linewidth=1.8, marker="o", markersize=4, label=label)
    axes.set(xlabel="IoU a match needs", ylim=(0, 1.02))
    axes.set_xticks(np.unique(np.concatenate([points[:, 0] for points in lines.values()])))
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def plot_precision_recall(curves: Mapping[str, ArrayLike], path: str | Path) -> Path:
    """Draw precision over recall: a line per curve; a curve of one point is a dot.

    Dotted lines show constant F-measure, .1 to .9.

    Args:
        curves: recall and precision ``(N, 2)`` in [0, 1], by name.
        path: file to write: .png, .svg or .pdf.

    Raises:
        CongealError: there is no curve, or the file cannot be written.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "curve.svg"
        >>> curves = {"model": [(0.2, 0.9), (0.8, 0.5)], "annotators": [(0.7, 0.9)]}
        >>> plot_precision_recall(curves, target).name
        'curve.svg'
    """
    if not curves:
        raise CongealError(f"expected a curve to draw in {path}, got none")
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.6, 4.0), layout="constrained")
        axes = figure.subplots()
        for f in np.arange(1, 10) / 10:
            recall = np.linspace(f / (2 - f), 1, 50)  # from where precision is 1
            axes.plot(recall, f * recall / (2 * recall - f), ":", color=SOFT, linewidth=0.6)
        for (name, curve), colour in zip(curves.items(), LINES * len(curves), strict=False):
            points = np.asarray(curve, np.float64)
            style = "o" if len(points) == 1 else "-"
            axes.plot(*points.T, style, color=colour, linewidth=1.8, label=name)
        axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1))
        axes.legend(loc="lower left")
        return _save(figure, path)


def _save(figure: Figure, path: str | Path) -> Path:
    # No date, so that files are reproducible.
    metadata = {"Date": None} if Path(path).suffix == ".svg" else None
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=160, metadata=metadata)
    return Path(path)


def contact_sheet(
    pictures: Iterable[tuple[str, ArrayLike]],
    path: str | Path,
    columns: int = 4,
    side: int = 240,
) -> Path:
    """Arrange pictures with titles in a grid, in one file.

    Args:
        pictures: title and picture, `(H, W)` or `(H, W, C)`, of each.
        path: file to write: .png or .jpg.
        columns: pictures per row.
        side: width and height in pixels of the square that each picture is fitted into.

    Raises:
        CongealError: there is no picture, one is not an image, or writing fails.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "sheet.png"
        >>> contact_sheet([("noise", np.random.default_rng(0).random((9, 9)))], target).name
        'sheet.png'
    """
    cells = list(pictures)
    if not cells:
        raise CongealError(f"expected pictures for {path}, got none")
    columns = min(columns, len(cells))
    fitted = [(title, _fit(picture, side)) for title, picture in cells]
    rows = [fitted[i : i + columns] for i in range(0, len(fitted), columns)]
    heights = [max(image.height for _, image in row) + CAPTION + GAP for row in rows]
    sheet = Image.new("RGB", (columns * (side + GAP) + GAP, sum(heights) + GAP), "white")
    top = GAP
    for row, height in zip(rows, heights, strict=True):
        for column, (title, image) in enumerate(row):
            left = GAP + column * (side + GAP)
            sheet.paste(image, (left + (side - image.width) // 2, top))
            _write(sheet, title, (left, top + height - CAPTION - GAP + 5), side)
        top += height
    with atomic_path(path) as temporary:
        sheet.save(temporary)
    return Path(path)


def _fit(picture: ArrayLike, side: int) -> Image.Image:
    """Fit a picture into a square: enlarged by nearest neighbour, or reduced by Lanczos."""
    image = Image.fromarray(to_display(picture))
    scale = side / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    smooth = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.LANCZOS
    return image.resize(size, smooth)


def _write(sheet: Image.Image, title: str, corner: tuple[int, int], side: int) -> None:
    font = ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf", 13)
    draw = ImageDraw.Draw(sheet)
    draw.text(corner, _shorten(title, font, side), fill=INK, font=font)


def _shorten(title: str, font: Any, width: int) -> str:
    """Replace the middle of a title that is too wide; names mostly differ at their ends."""
    shown, keep = title, len(title)
    while font.getlength(shown) > width and keep > 2:
        keep -= 1
        shown = f"{title[: keep - keep // 2]}…{title[len(title) - keep // 2 :]}"
    return shown
