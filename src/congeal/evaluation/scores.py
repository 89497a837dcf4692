"""The scores of an evaluation as rows, terminal table and JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rich.table import Table

from congeal.evaluation.examples import Example

__all__ = ["COLUMNS", "Scores"]

COLUMNS = {
    "matching_ap": "AP",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "pq": "PQ",
    "mean_matched_score": "mean IoU",
}
"""Scores of protocol ``matching`` in tables, with their titles."""

MAX_TITLE_WIDTH = 72
"""Maximum width in characters to which a table is widened for its title."""

MAX_SCORES = 24
"""Maximum number of scores in a table; with more, only those of the headline's kind."""


@dataclass(frozen=True)
class Scores:
    """The scores of a model on a dataset.

    For the fields see :class:`congeal.evaluation.Evaluation`, the subclass that saves itself.

    Example:
        >>> from congeal.metrics import MatchingMetric
        >>> scores = MatchingMetric((0.5,)).compute() | {"seconds_per_image": 0.1}
        >>> found = Scores("sticks", "test", "toy", "matching", (0.5,), scores, [])
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
    curves: Mapping[str, list[tuple[float, float]]] = field(default_factory=dict)
    best: list[Example] = field(default_factory=list, compare=False, repr=False)

    @property
    def title(self) -> str:
        """Model, dataset, split and protocol in one line."""
        how = "" if self.protocol == "matching" else f", {self.protocol}"
        return f"{self.model} on {self.data} ({self.split}{how})"

    @property
    def counts(self) -> str:
        """Numbers of images and objects, and time per image, in one line."""
        numbers = self.metrics
        names = {"images": "images", "objects": "objects", "predicted": "predicted"}
        parts = [f"{numbers[key]:.0f} {name}" for key, name in names.items() if key in numbers]
        return ", ".join([*parts, f"{numbers['seconds_per_image']:.2g} s per image"])

    def rows(self) -> list[dict[str, Any]]:
        """Table rows: one per IoU threshold with the scores of ``COLUMNS``, or one per score."""
        if not self.thresholds:
            return [{"score": name, "value": value} for name, value in self._shown().items()]
        return [
            {
                "IoU": at,
                **{title: self.metrics[f"{name}@{at:g}"] for name, title in COLUMNS.items()},
            }
            for at in self.thresholds
        ]

    def class_rows(self) -> list[dict[str, Any]]:
        """Rows of the scores of ``COLUMNS`` by class, at the first threshold, for matching.

        Empty if dataset or model has no classes, and for other protocols, whose class scores are in
        :meth:`rows`.
        """
        if not self.thresholds:
            return []
        at = f"@{self.thresholds[0]:g}/"
        labels = [
            name.split("/")[1] for name in self.metrics if name.startswith(f"matching_ap{at}")
        ]
        return [
            {
                "class": self._class_name(label),
                **{title: self.metrics[f"{name}{at}{label}"] for name, title in COLUMNS.items()},
            }
            for label in labels
        ]

    def table(self) -> Table:
        """Table for the terminal: one row per threshold, or per score, headline first."""
        width = min(max(len(self.title), len(self.counts)), MAX_TITLE_WIDTH)
        table = Table(title=self.title, caption=self.counts, min_width=width)
        if not self.thresholds:
            table.add_column("score")
            table.add_column("value", justify="right")
            for row in self.rows():
                table.add_row(row["score"], _format(row["value"]))
            return table
        for title in ("IoU", *COLUMNS.values()):
            table.add_column(title, justify="right")
        for row in self.rows():
            at, *scores = row.values()
            table.add_row(f"{at:g}", *map(_format, scores))
        table.add_section()
        for row in self.class_rows():
            name, *scores = row.values()
            table.add_row(f"{self.thresholds[0]:g} {name}", *map(_format, scores))
        return table

    def _shown(self) -> dict[str, float]:
        """Scores for a table, headline first, with class names."""
        kind = self.headline.partition("@")[0]
        rest = {name: value for name, value in self.metrics.items() if name not in _COUNT_NAMES}
        whole = {name: value for name, value in rest.items() if "/" not in name}
        if len(whole) > MAX_SCORES:
            whole = {k: v for k, v in whole.items() if k.partition("@")[0] == kind or "@" not in k}
        each = {k: v for k, v in rest.items() if k.startswith(_CLASS_PREFIXES)}
        first = {self.headline: self.metrics[self.headline]}
        return {**first, **whole, **{self._named(name): value for name, value in each.items()}}

    def _named(self, name: str) -> str:
        score, _, label = name.partition("/")
        return f"{score} of {self._class_name(label)}"

    def _class_name(self, label: str) -> str:
        """Class name of an id; Cityscapes' metric uses names already."""
        if not label.isdecimal():
            return label
        k = int(label)
        return self.class_names[k] if k < len(self.class_names) else f"class {k}"

    def to_dict(self) -> dict[str, Any]:
        """Content of ``evaluation.json``; NaN becomes None."""
        names = ["data", "split", "model", "protocol", "metrics", "per_image"]
        names += ["class_names"] if self.class_names else []
        names += ["curves"] if self.curves else []
        return {name: _finite(getattr(self, name)) for name in names}


_COUNT_NAMES = ("images", "objects", "predicted", "seconds_per_image", "quick")


_CLASS_PREFIXES = ("iou/", "pq/", "ap/", "apr@0.5/", "apr_vol/")
"""Prefixes of the class scores in tables."""


def _format(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    return "–" if math.isnan(value) else f"{value:.3f}"


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
