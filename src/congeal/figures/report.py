"""Reports as one HTML file with embedded pictures, scores and tables, without external files."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment
from numpy.typing import ArrayLike

from congeal.figures.inline import inline_file, inline_picture
from congeal.files import write_text

__all__ = ["Report"]

Picture = ArrayLike | str | Path
Block = dict[str, Any]


class Report:
    """An HTML page, built block by block and saved as one file.

    A click on a picture enlarges it; a click on a column heading sorts the table. The page supports
    light and dark mode, small screens and printing.

    Args:
        title: heading of the page.
        subtitle: a sentence below it.

    Example:
        >>> report = Report("Nuclei", "131 images nobody trained on")
        >>> _ = report.add_heading("Scores").add_scores({"AP at IoU 0.5": 0.81, "images": 131})
        >>> "0.810" in report.html()
        True
    """

    def __init__(self, title: str, subtitle: str = "") -> None:
        self.title = title
        self.subtitle = subtitle
        self._blocks: list[Block] = []

    def _add(self, kind: str, **content: Any) -> Report:
        self._blocks.append({"kind": kind, **content})
        return self

    def add_heading(self, text: str) -> Report:
        """Begin a section; a page of two or more sections has a navigation bar.

        Example:
            >>> 'id="worst-images-1"' in Report("a").add_heading("Worst images").html()
            True
        """
        count = 1 + sum(block["kind"] == "heading" for block in self._blocks)
        anchor = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
        return self._add("heading", text=text, anchor=f"{anchor}-{count}")

    def add_text(self, text: str) -> Report:
        """Add paragraphs, separated by empty lines, as plain text without markup.

        Example:
            >>> "<p>1 &lt; 2</p>" in Report("a").add_text("1 < 2").html()
            True
        """
        paragraphs = [part for part in re.split(r"\n\s*\n", text.strip()) if part]
        return self._add("text", paragraphs=paragraphs)

    def add_code(self, text: str) -> Report:
        """Add a command or a piece of code.

        Example:
            >>> "<code>congeal demo</code>" in Report("a").add_code("congeal demo").html()
            True
        """
        return self._add("code", text=text.strip("\n"))

    def add_scores(self, scores: Mapping[str, Any]) -> Report:
        """Add numbers as tiles; a fraction between 0 and 1 gets a bar, a text such as "0.1 s" none.

        Example:
            >>> "width:50.0%" in Report("a").add_scores({"recall": 0.5}).html()
            True
        """
        return self._add("scores", scores=_scores(scores))

    def add_table(self, rows: Iterable[Mapping[str, Any]], caption: str = "") -> Report:
        """Add a table: each row maps columns to values; columns in order of appearance.

        Example:
            >>> "<table>" in Report("a").add_table([{"image": "a.png", "AP": 0.7}]).html()
            True
        """
        given = list(rows)
        names = list(dict.fromkeys(name for row in given for name in row))
        columns = [
            {"name": name, "number": _all_numbers(row.get(name) for row in given)} for name in names
        ]
        cells = [[_cell(row.get(name)) for name in names] for row in given]
        return self._add("table", columns=columns, rows=cells, caption=caption)

    def add_image(self, picture: Picture, caption: str = "") -> Report:
        """Add one picture.

        Args:
            picture: `(H, W, 3)` uint8 or another image, or the path of a PNG, JPEG or SVG file.
            caption: a line below it.

        Raises:
            CongealError: the array is not an image, or the file cannot be read.

        Example:
            >>> import numpy as np
            >>> page = Report("a").add_image(np.zeros((4, 4, 3), np.uint8), "black")
            >>> "data:image/" in page.html()
            True
        """
        return self._add("image", picture=_picture(picture, caption, True))

    def add_gallery(self, pictures: Iterable[tuple[str, Picture]], side: int = 240) -> Report:
        """Add pictures with captions in a grid whose cells are at least ``side`` pixels wide.

        Raises:
            CongealError: an array is not an image, or a file cannot be read.

        Example:
            >>> import numpy as np
            >>> page = Report("a").add_gallery([("one", np.zeros((4, 4), np.uint8))])
            >>> "<figcaption>one</figcaption>" in page.html()
            True
        """
        return self._add("gallery", pictures=_pictures(pictures), side=side)

    def add_case(
        self,
        title: str,
        pictures: Sequence[tuple[str, Picture]],
        scores: Mapping[str, Any] | None = None,
    ) -> Report:
        """Add a row of pictures of one image, below its name and its scores.

        Raises:
            CongealError: an array is not an image, or a file cannot be read.

        Example:
            >>> import numpy as np
            >>> black = np.zeros((4, 4), np.uint8)
            >>> page = Report("a").add_case("a.png", [("image", black)], {"AP": 0.25})
            >>> "<b>0.250</b>" in page.html()
            True
        """
        shown = _pictures(pictures)
        return self._add("case", title=title, pictures=shown, scores=_scores(scores or {}))

    def html(self) -> str:
        """Give the page as text.

        Example:
            >>> Report("a").html().startswith("<!DOCTYPE html>")
            True
        """
        headings = [block for block in self._blocks if block["kind"] == "heading"]
        page: str = _template().render(
            title=self.title,
            subtitle=self.subtitle,
            blocks=self._blocks,
            headings=headings,
            css=_asset("report.css"),
            js=_asset("report.js"),
        )
        return page

    def save(self, path: str | Path) -> Path:
        """Write the page and return its path.

        Raises:
            CongealError: the file cannot be written.

        Example:
            >>> import tempfile
            >>> Report("a").save(Path(tempfile.mkdtemp()) / "index.html").name
            'index.html'
        """
        write_text(path, self.html())
        return Path(path)


def _asset(name: str) -> str:
    return (resources.files("congeal.figures") / "templates" / name).read_text(encoding="utf-8")


@cache
def _template() -> Any:
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_asset("report.html"))


def _picture(picture: Picture, caption: str, alone: bool = False) -> Block:
    if isinstance(picture, str | Path):
        shown = inline_file(Path(picture))
    else:
        shown = inline_picture(picture)
    # Maximum width: a single small picture would otherwise be enlarged to the width of the page.
    limit = max(shown["width"], 560) if alone else None
    return {**shown, "caption": caption, "shown": limit}


def _pictures(pictures: Iterable[tuple[str, Picture]]) -> list[Block]:
    return [_picture(picture, caption) for caption, picture in pictures]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _all_numbers(values: Iterable[Any]) -> bool:
    present = [value for value in map(_plain, values) if value is not None]
    return bool(present) and all(map(_is_number, present))


def _plain(value: Any) -> Any:
    """Convert numbers of NumPy and PyTorch to Python numbers; NaN becomes None."""
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and math.isnan(value) else value


def _show(value: Any) -> str:
    """Format a value: three decimals below 100, one above, thousands separated by commas."""
    if value is None:
        return "–"
    if isinstance(value, bool) or not _is_number(value):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if value and abs(value) < 0.0005:
        return f"{value:.1e}"
    return f"{value:,.3f}" if abs(value) < 100 else f"{value:,.1f}"


def _cell(value: Any) -> Block:
    plain = _plain(value)
    missing = "-Infinity" if plain is None else plain
    return {"text": _show(plain), "value": missing}


def _scores(scores: Mapping[str, Any]) -> list[Block]:
    table = {name: _plain(value) for name, value in scores.items()}
    return [{"name": k, "text": _show(v), "share": _share(v)} for k, v in table.items()]


def _share(value: Any) -> float | None:
    """Give a fraction in percent; None for integers, which are counts."""
    fraction = isinstance(value, float) and 0 <= value <= 1
    return round(100 * value, 1) if fraction else None
