"""The report page of an evaluation: scores, and the worst and best images with their mistakes."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from congeal.evaluation.examples import Example, kind_of
from congeal.evaluation.judge import badness_of
from congeal.evaluation.scores import COLUMNS, Scores
from congeal.figures.plots import plot_precision_recall, plot_thresholds
from congeal.figures.report import Report
from congeal.metrics.protocols import PROTOCOLS

__all__ = ["make_page"]

MAX_ROWS = 500
"""Maximum number of images in the table; ``evaluation.json`` has all."""

HEADLINE_SCORES = 6
"""Number of scores shown above the table, for protocols other than matching."""

_LEGENDS = {
    "objects": "Mistakes: true positives have a green outline, missed objects (false negatives) "
    "are red, false positives are orange.",
    "segments": "Segments are objects of thing classes and regions of stuff classes. Mistakes: "
    "true positives have a green outline, missed segments (false negatives) are red, false "
    "positives are orange; classes are ignored.",
    "classes": "Colours show classes. Mistakes: misclassified pixels are red.",
    "boundaries": "Line strength shows the fraction of annotators, or the predicted strength. "
    "Mistakes: true positives are green, boundaries of any annotator that were missed (false "
    "negatives) are red, false positives are orange.",
}


def make_page(found: Scores) -> Report:
    """Build the page: scores, pictures of the worst and best images, and a table of images.

    Example:
        >>> from congeal.metrics import MatchingMetric
        >>> scores = MatchingMetric((0.5,)).compute() | {"seconds_per_image": 0.1}
        >>> "Scores" in make_page(Scores("a", "test", "m", "matching", (0.5,), scores, [])).html()
        True
    """
    report = Report(found.title, ", ".join([found.counts, *found.notes]))
    report.add_heading("Scores").add_scores(_headline(found)).add_table(found.rows())
    if found.thresholds and found.class_rows():
        report.add_table(found.class_rows(), f"Each class at IoU {found.thresholds[0]:g}")
    if len(found.thresholds) > 1:
        _add_curves(report, found)
    if found.curves:
        _add_precision_recall(report, found)
    for heading, examples in (("Worst images", found.examples), ("Best images", found.best)):
        if examples:
            report.add_heading(heading).add_text(_legend(found.protocol))
        for example in examples:
            shown = _shown(example.scores, found)
            report.add_case(example.scores["name"], _pictures(example), shown)
    if found.per_image:
        _add_images(report, found)
    return report


def _legend(protocol: str) -> str:
    return _LEGENDS[kind_of(PROTOCOLS[protocol])]


def _headline(found: Scores) -> dict[str, float]:
    if not found.thresholds:
        return {row["score"]: row["value"] for row in found.rows()[:HEADLINE_SCORES]}
    at = f"{found.thresholds[0]:g}"
    return {
        f"{title} at IoU {at}": found.metrics[f"{name}@{at}"] for name, title in COLUMNS.items()
    }


def _add_curves(report: Report, found: Scores) -> None:
    drawn = ("matching_ap@", "precision@", "recall@", "pq@")
    curves = {name: value for name, value in found.metrics.items() if name.startswith(drawn)}
    with TemporaryDirectory() as folder:
        path = plot_thresholds(curves, Path(folder) / "thresholds.svg")
        report.add_image(path, "Scores by IoU threshold")


def _add_precision_recall(report: Report, found: Scores) -> None:
    with TemporaryDirectory() as folder:
        path = plot_precision_recall(found.curves, Path(folder) / "curve.svg")
        report.add_image(path, "Precision over recall; the dot is the agreement of annotators")


def _pictures(example: Example) -> list[tuple[str, Any]]:
    return [
        ("image", example.image),
        ("ground truth", example.truth),
        ("prediction", example.prediction),
        ("mistakes", example.mistakes),
        *example.steps,
    ]


def _shown(scores: dict[str, Any], found: Scores) -> dict[str, Any]:
    if not found.thresholds:
        names = (found.headline, "true", "predicted", "seconds")
        return {name: scores[name] for name in names if name in scores}
    at = f"{found.thresholds[0]:g}"
    return {
        f"AP at IoU {at}": scores[f"matching_ap@{at}"],
        "found": scores[f"tp@{at}"],
        "missed": scores[f"fn@{at}"],
        "false positives": scores[f"fp@{at}"],
        "seconds": scores["seconds"],
    }


def _add_images(report: Report, found: Scores) -> None:
    rank = partial(badness_of, found.protocol, found.headline)
    worst = sorted(found.per_image, key=rank, reverse=True)[:MAX_ROWS]
    name = "AP" if found.thresholds else found.headline
    caption = f"{len(worst)} of {len(found.per_image)} images, worst {name} first"
    rows = [{"image": scores["name"], **_shown(scores, found)} for scores in worst]
    report.add_heading("Images").add_table(rows, caption)
