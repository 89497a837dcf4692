"""The report page of an evaluation: scores, and the worst images with what went wrong."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from congeal.evaluation.examples import Example, badness_of
from congeal.evaluation.result import COLUMNS, Evaluation
from congeal.figures.plots import plot_thresholds
from congeal.figures.report import Report

__all__ = ["make_page"]

LISTED = 500
"""Images in the table of the page; ``evaluation.json`` has all of them."""

TILES = 6
"""Numbers of a protocol other than matching that stand above its table."""

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
        report.add_case(example.scores["name"], _pictures(example), _shown(example.scores, found))
    if found.per_image:
        _add_images(report, found)
    return report


def _headline(found: Evaluation) -> dict[str, float]:
    if not found.thresholds:
        return {row["score"]: row["value"] for row in found.rows()[:TILES]}
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


def _shown(scores: dict[str, Any], found: Evaluation) -> dict[str, Any]:
    if not found.thresholds:
        return {name: scores[name] for name in (found.headline, "true", "predicted", "seconds")}
    at = f"{found.thresholds[0]:g}"
    return {
        f"AP at IoU {at}": scores[f"matching_ap@{at}"],
        "found": scores[f"tp@{at}"],
        "missed": scores[f"fn@{at}"],
        "in vain": scores[f"fp@{at}"],
        "seconds": scores["seconds"],
    }


def _add_images(report: Report, found: Evaluation) -> None:
    rank = partial(badness_of, found.protocol, found.headline)
    worst = sorted(found.per_image, key=rank, reverse=True)[:LISTED]
    name = "AP" if found.thresholds else found.headline
    caption = f"{len(worst)} of {len(found.per_image)} images, the worst by {name} first"
    rows = [{"image": scores["name"], **_shown(scores, found)} for scores in worst]
    report.add_heading("Images").add_table(rows, caption)
