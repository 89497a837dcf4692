"""What an evaluation found: scores for people, for machines, and as a page."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Table

from congeal.evaluation.examples import Example
from congeal.files import write_json

__all__ = ["COLUMNS", "Evaluation"]

COLUMNS = {
    "matching_ap": "AP",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "pq": "PQ",
    "mean_matched_score": "mean IoU",
}
"""Scores of matching shown in tables, and their titles."""

WIDEST = 72
"""Columns of a terminal that a table is widened to for its title."""

SHOWN = 24
"""Numbers of another protocol that a table shows; of more, those of the headline's kind."""


@dataclass(frozen=True)
class Evaluation:
    """The scores of a model on a dataset.

    Attributes:
        data: name of the dataset.
        split: which part of it.
        model: name or path of the model, or the name of its class.
        protocol: how it was measured, such as ``"matching"``.
        thresholds: IoU from which a predicted object counts as matched; empty for protocols other
            than matching.
        metrics: scores by name, such as ``"matching_ap@0.5"``, over all objects together, and
            ``images``, ``objects``, ``predicted`` and ``seconds_per_image``; the protocol says
            which. NaN where nothing can be said, null in ``evaluation.json``.
        per_image: name, scores, counts and seconds of each image, in the order of the data.
        examples: the worst images, worst first; not part of ``evaluation.json``.
        headline: name of the score to look at first.
        notes: what a reader of the scores should know, a line each.
        class_names: names of the classes by class id, where the protocol scores them one by one.

    Example:
        >>> from congeal.metrics import MatchingMetric
        >>> scores = MatchingMetric((0.5,)).compute() | {"seconds_per_image": 0.1}
        >>> found = Evaluation("sticks", "test", "toy", "matching", (0.5,), scores, [])
        >>> sorted(found.to_dict())
        ['data', 'metrics', 'model', 'per_image', 'protocol', 'split']
    """

    data: str
    split: str
    model: str
    protocol: str
    thresholds: tuple[float, ...]
    metrics: dict[str, float]
    per_image: list[dict[str, Any]]
    examples: list[Example] = field(default_factory=list, compare=False, repr=False)
    headline: str = "matching_ap@0.5"
    notes: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """What was evaluated on what, and how, in one line."""
        how = "" if self.protocol == "matching" else f", {self.protocol}"
        return f"{self.model} on {self.data} ({self.split}{how})"

    @property
    def counts(self) -> str:
        """How much was evaluated, in one line."""
        numbers = self.metrics
        names = {"images": "images", "objects": "objects", "predicted": "predicted"}
        parts = [f"{numbers[key]:.0f} {name}" for key, name in names.items() if key in numbers]
        return ", ".join([*parts, f"{numbers['seconds_per_image']:.2g} s an image", *self.notes])

    def rows(self) -> list[dict[str, Any]]:
        """Give what ``COLUMNS`` names by title, one row per threshold; else a row per score."""
        if not self.thresholds:
            return [{"score": name, "value": value} for name, value in self._shown().items()]
        return [
            {
                "IoU from": at,
                **{title: self.metrics[f"{name}@{at:g}"] for name, title in COLUMNS.items()},
            }
            for at in self.thresholds
        ]

    def table(self) -> Table:
        """Make a table for the terminal: one row per threshold, or per score, headline first."""
        wide = min(max(len(self.title), len(self.counts)), WIDEST)
        table = Table(title=self.title, caption=self.counts, min_width=wide)
        if not self.thresholds:
            table.add_column("score")
            table.add_column("value", justify="right")
            for row in self.rows():
                table.add_row(row["score"], _written(row["value"]))
            return table
        for title in ("IoU from", *COLUMNS.values()):
            table.add_column(title, justify="right")
        for row in self.rows():
            at, *scores = row.values()
            table.add_row(f"{at:g}", *(f"{score:.3f}" for score in scores))
        return table

    def _shown(self) -> dict[str, float]:
        """Scores for a table, headline first; of each class one, by its name."""
        kind = self.headline.partition("@")[0]
        rest = {name: value for name, value in self.metrics.items() if name not in _COUNTED}
        whole = {name: value for name, value in rest.items() if "/" not in name}
        if len(whole) > SHOWN:
            whole = {k: v for k, v in whole.items() if k.partition("@")[0] == kind or "@" not in k}
        each = {k: v for k, v in rest.items() if k.startswith(("iou/", "pq/"))}
        first = {self.headline: self.metrics[self.headline]}
        return {**first, **whole, **{self._named(name): value for name, value in each.items()}}

    def _named(self, name: str) -> str:
        score, _, number = name.partition("/")
        k = int(number)
        return f"{score} of {self.class_names[k] if k < len(self.class_names) else f'class {k}'}"

    def to_dict(self) -> dict[str, Any]:
        """Give the content of ``evaluation.json``; what is no number (NaN) is None."""
        names = ("data", "split", "model", "protocol", "metrics", "per_image")
        return {name: _finite(getattr(self, name)) for name in names}

    def save(self, folder: str | Path, *, report: bool = True) -> Path:
        """Write ``evaluation.json`` and, unless told otherwise, ``report.html``.

        Returns:
            The folder.

        Raises:
            CongealError: the folder cannot be written.

        Example:
            >>> import tempfile
            >>> found = Evaluation("a", "test", "m", "matching", (), {"images": 0}, [])
            >>> folder = found.save(tempfile.mkdtemp(), report=False)
            >>> (folder / "evaluation.json").exists()
            True
        """
        folder = Path(folder)
        write_json(folder / "evaluation.json", self.to_dict())
        if report:
            from congeal.evaluation.page import make_page  # late: it loads what draws pages

            make_page(self).save(folder / "report.html")
        return folder


_COUNTED = ("images", "objects", "predicted", "seconds_per_image", "quick")


def _written(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    return "–" if math.isnan(value) else f"{value:.3f}"


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
