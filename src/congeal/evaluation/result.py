"""What an evaluation found: scores for people, for machines, and as a page."""

from __future__ import annotations

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
"""Scores shown in tables, and their titles."""


@dataclass(frozen=True)
class Evaluation:
    """The scores of a model on a dataset.

    Attributes:
        data: name of the dataset.
        split: which part of it.
        model: name or path of the model, or the name of its class.
        protocol: family of measures, ``"matching"``.
        thresholds: IoU from which a predicted object counts as matched.
        metrics: scores by name, such as ``"matching_ap@0.5"``, over all objects together, and
            ``images``, ``objects``, ``predicted`` and ``seconds_per_image``.
        per_image: name, scores, counts and seconds of each image, in the order of the data.
        examples: the worst images, worst first; not part of ``evaluation.json``.

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

    @property
    def title(self) -> str:
        """What was evaluated on what, in one line."""
        return f"{self.model} on {self.data} ({self.split})"

    @property
    def counts(self) -> str:
        """How much was evaluated, in one line."""
        numbers = self.metrics
        return (
            f"{numbers['images']:.0f} images, {numbers['objects']:.0f} objects, "
            f"{numbers['predicted']:.0f} predicted, {numbers['seconds_per_image']:.2g} s an image"
        )

    def rows(self) -> list[dict[str, float]]:
        """Give what ``COLUMNS`` names by title, one row per threshold."""
        return [
            {
                "IoU from": at,
                **{title: self.metrics[f"{name}@{at:g}"] for name, title in COLUMNS.items()},
            }
            for at in self.thresholds
        ]

    def table(self) -> Table:
        """Make a table for the terminal, one row per threshold."""
        table = Table(title=self.title, caption=self.counts)
        for title in ("IoU from", *COLUMNS.values()):
            table.add_column(title, justify="right")
        for row in self.rows():
            at, *scores = row.values()
            table.add_row(f"{at:g}", *(f"{score:.3f}" for score in scores))
        return table

    def to_dict(self) -> dict[str, Any]:
        """Give the content of ``evaluation.json``."""
        names = ("data", "split", "model", "protocol", "metrics", "per_image")
        return {name: getattr(self, name) for name in names}

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
