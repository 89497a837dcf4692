"""The report page of an evaluation: scores, and the worst images with what went wrong."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from congeal.evaluation.examples import Example
from congeal.evaluation.result import COLUMNS, Evaluation
from congeal.figures.plots import plot_thresholds
from congeal.figures.report import Report

__all__ = ["make_page"]

LISTED = 500
"""Images in the table of the page; ``evaluation.json`` has all of them."""

_LEGEND = (
    "In the last picture of each image, objects that were found have a green line, those that "
    "were missed are red, and those predicted where there is none are orange."
)


def make_page(found: Evaluation) -> Report:
    """Lay out the page: scores, the worst images with pictures, then a table of images.

    Example:
        >>> from congeal.metrics import MatchingMetric
        >>> scores = MatchingMetric((0.5,)).compute() | {"seconds_per_image": 0.1}
        >>> "Scores" in make_page(
        ...     Evaluation("a", "test", "m", "matching", (0.5,), scores, [])
        ... ).html()
        True
    """
    report = Report(found.title, found.counts)
    report.add_heading("Scores").add_scores(_headline(found)).add_table(found.rows())
    if len(found.thresholds) > 1:
        _add_curves(report, found)
    if found.examples:
        report.add_heading("Worst images").add_text(_LEGEND)
    for example in found.examples:
        at = found.thresholds[0]
        report.add_case(example.scores["name"], _pictures(example), _shown(example.scores, at))
    if found.per_image:
        _add_images(report, found)
    return report


def _headline(found: Evaluation) -> dict[str, float]:
    at = f"{found.thresholds[0]:g}"
    return {
        f"{title} at IoU {at}": found.metrics[f"{name}@{at}"] for name, title in COLUMNS.items()
    }


def _add_curves(report: Report, found: Evaluation) -> None:
    drawn = ("matching_ap@", "precision@", "recall@", "pq@")
    curves = {name: value for name, value in found.metrics.items() if name.startswith(drawn)}
    with TemporaryDirectory() as folder:
        path = plot_thresholds(curves, Path(folder) / "thresholds.svg")
        report.add_image(path, "Scores over the IoU that a match needs")


def _pictures(example: Example) -> list[tuple[str, Any]]:
    return [
        ("image", example.image),
        ("truth", example.truth),
        ("prediction", example.prediction),
        ("mistakes", example.mistakes),
    ]


def _shown(scores: dict[str, Any], threshold: float) -> dict[str, Any]:
    at = f"{threshold:g}"
    return {
        f"AP at IoU {at}": scores[f"matching_ap@{at}"],
        "found": scores[f"tp@{at}"],
        "missed": scores[f"fn@{at}"],
        "in vain": scores[f"fp@{at}"],
        "seconds": scores["seconds"],
    }


def _rank(scores: dict[str, Any], threshold: float) -> float:
    """Give the AP, or 1 where there was nothing to find and nothing was predicted."""
    nothing = scores["true"] == scores["predicted"] == 0
    return 1.0 if nothing else float(scores[f"matching_ap@{threshold:g}"])


def _add_images(report: Report, found: Evaluation) -> None:
    at = found.thresholds[0]
    worst = sorted(found.per_image, key=lambda scores: _rank(scores, at))[:LISTED]
    caption = f"{len(worst)} of {len(found.per_image)} images, those with the lowest AP first"
    rows = [{"image": scores["name"], **_shown(scores, at)} for scores in worst]
    report.add_heading("Images").add_table(rows, caption)
