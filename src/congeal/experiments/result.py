"""Results of experiments: a picture, its data as CSV, the main numbers, and claims."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from congeal.figures.plots import INK, SOFT, STYLE
from congeal.files import atomic_path

__all__ = ["Claim", "FigureResult", "house_style", "new_figure", "note", "save_figure", "show_map"]

DPI = 120

Cell = float | int | str | None


@dataclass(frozen=True)
class Claim:
    """A claim of a paper, and the result here.

    Args:
        text: the claim.
        paper: numbers of the paper, with their data.
        here: our numbers.
        held: whether our numbers confirm the claim.

    Example:
        >>> print(Claim("larger is better", "1 to 2 (VOC)", "3 to 4 (drawn)", True))
        held: larger is better; paper: 1 to 2 (VOC); here: 3 to 4 (drawn)
    """

    text: str
    paper: str
    here: str
    held: bool

    def __str__(self) -> str:
        verdict = "held" if self.held else "did not hold"
        return f"{verdict}: {self.text}; paper: {self.paper}; here: {self.here}"


@dataclass(frozen=True)
class FigureResult:
    """Result of an experiment.

    Args:
        png: the picture.
        csv: table of its data.
        numbers: main numbers, by name.
        claims: claims of the paper that the experiment tests.
    """

    png: Path
    csv: Path
    numbers: dict[str, float]
    claims: tuple[Claim, ...] = ()


def house_style() -> AbstractContextManager[None]:
    """Context with the matplotlib style of the package."""
    return matplotlib.rc_context(STYLE)


def new_figure(width: float, height: float, title: str) -> Figure:
    """Create an empty figure with a title; width and height in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold", color=INK)
    return figure


def note(axes: Axes, text: str, x: float = 0.03, y: float = 0.03, **style: Any) -> None:
    """Add a small note to a panel, at a fraction of its width and height."""
    style = {"fontsize": 8, "color": SOFT, "va": "bottom", **style}
    axes.text(x, y, text, transform=axes.transAxes, **style)


def show_map(axes: Axes, picture: Any, title: str, **style: Any) -> Any:
    """Show a map or picture `(H, W[, 3])` without axes; returns the image, for a colour bar."""
    axes.set_title(title)
    axes.set_axis_off()
    return axes.imshow(picture, interpolation="nearest", **style)


def save_figure(
    folder: str | Path,
    name: str,
    figure: Figure,
    rows: Iterable[Mapping[str, Cell]],
    numbers: Mapping[str, float],
    claims: Iterable[Claim] = (),
) -> FigureResult:
    """Write ``name.png`` and ``name.csv`` to a folder, each atomically.

    Raises:
        CongealError: the folder cannot be written.

    Example:
        >>> import tempfile
        >>> figure = new_figure(2, 2, "Nothing")
        >>> made = save_figure(tempfile.mkdtemp(), "nothing", figure, [{"x": 0.5}], {"x": 0.5})
        >>> made.csv.read_text().split()
        ['x', '0.5']
    """
    png, table = Path(folder) / f"{name}.png", Path(folder) / f"{name}.csv"
    with house_style(), atomic_path(png) as temporary:
        # No program name, so that files are reproducible.
        figure.savefig(temporary, dpi=DPI, metadata={"Software": None})
    _write_table(table, list(rows))
    floats = {key: float(value) for key, value in numbers.items()}
    return FigureResult(png, table, floats, tuple(claims))


def _write_table(path: Path, rows: list[Mapping[str, Cell]]) -> None:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: _cell(value) for key, value in row.items()} for row in rows)


def _cell(value: Cell) -> str:
    if value is None:
        return ""
    return f"{value:.10g}" if isinstance(value, float) else str(value)
