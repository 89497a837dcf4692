"""Judges: score predictions by a protocol, image by image, and rank images by their scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

from congeal.data.sample import Dataset
from congeal.errors import CongealError
from congeal.evaluation.adapters import ADAPTERS, missing_output, settings_of
from congeal.evaluation.comparison import UNNAMED, Comparison
from congeal.labels import contingency
from congeal.metrics.bsds_curves import FULL
from congeal.metrics.matching import MatchingMetric
from congeal.metrics.metric import Metric, gather
from congeal.metrics.protocols import PROTOCOLS, Protocol, find_protocol

__all__ = ["QUICK_THRESHOLDS", "Judge", "MatchingJudge", "badness_of", "headline_of", "make_judge"]

Row = dict[str, Any]

QUICK_THRESHOLDS = 9
"""Number of thresholds of the quick boundary benchmark."""

CLASS_PROTOCOLS = tuple(
    name
    for name, protocol in PROTOCOLS.items()
    if protocol.truth in ("objects", "semantic", "panoptic")
    and not name.startswith(("coco-agnostic", "proposals", "unsupervised", "retrieval"))
)
"""Protocols that use predicted classes."""

_COUNTS = ("images", "objects", "predicted", "thresholds", "quick", "pairs", "classes")


class Judge:
    """Scores predictions by a protocol, for validation, tuning and evaluation.

    Call :meth:`update` for each image, then :meth:`compute`; :meth:`merge` judges of different
    images.

    Args:
        protocol: the protocol.
        settings: all settings of its metric.

    Attributes:
        metric: the metric, which can be merged and pickled.
        headline: name of the main score, among those of :meth:`compute`.

    Example:
        >>> from congeal.metrics.protocols import PROTOCOLS
        >>> Judge(PROTOCOLS["cvppp"], {}).headline
        'sbd'
    """

    def __init__(self, protocol: Protocol, settings: Mapping[str, Any]) -> None:
        self.protocol, self.settings = protocol, dict(settings)
        self.metric = protocol.create(**self.settings)
        self.headline = headline_of(protocol, self.metric.compute())
        self.thresholds: tuple[float, ...] = ()
        self._named = self._classed = False

    @property
    def higher(self) -> bool:
        """Whether higher values of the headline are better."""
        return self.protocol.higher

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks on the validity of the scores."""
        notes = []
        if getattr(self.metric, "quick", False):
            count = len(self.metric.thresholds)  # type: ignore[attr-defined]
            notes.append(f"a quick estimate: {count} thresholds instead of {FULL}")
        if self._classed and not self._named:
            notes.append(
                "the model predicts no classes, so all its objects count as the first class of the "
                "data; the protocols coco-agnostic, proposals and matching ignore classes"
            )
        return tuple(notes)

    def update(self, comparison: Comparison) -> Row:
        """Add an image; return its scores and counts.

        Raises:
            CongealError: the result lacks the output that the protocol scores, or does not match
                the ground truth.
        """
        problem = missing_output(self.protocol, comparison.result)
        if problem is not None:
            raise CongealError(problem)
        self._named |= comparison.result.class_names != UNNAMED
        self._classed = (
            self.protocol.name in CLASS_PROTOCOLS and len(comparison.dataset.class_names) > 2
        )
        return self._measure(comparison)

    def _measure(self, comparison: Comparison) -> Row:
        part = self.protocol.create(**self.settings)
        ADAPTERS[self.protocol.name](part, comparison)
        self.metric.merge(part)
        return {**_own(self._defined(part), self.headline), **_counts(self.protocol, comparison)}

    def badness(self, row: Row) -> tuple[float, ...]:
        """Sort key of an image from the scores of :meth:`update`; larger is worse."""
        return (badness_of(self.protocol.name, self.headline, row),)

    def compute(self) -> dict[str, float]:
        """Return the scores over all images, headline first; undefined scores are NaN."""
        scores = self._defined(self.metric)
        return {self.headline: scores[self.headline], **scores}

    def merge(self, other: Self) -> Self:
        """Add the images of another judge with the same protocol and settings.

        Raises:
            CongealError: protocols or settings differ.

        Example:
            >>> from congeal.data import open_dataset
            >>> from congeal.segmentation import Segmentation
            >>> discs = open_dataset("discs", "test", count=1)
            >>> first, second = make_judge("cvppp", discs), make_judge("cvppp", discs)
            >>> truth = Segmentation.from_labels(discs[0].labels)
            >>> _ = second.update(Comparison(discs[0], truth, discs))
            >>> first.merge(second).compute()["sbd"]
            1.0
        """
        if self.protocol.name != other.protocol.name:
            raise CongealError(
                f"expected a judge of protocol {self.protocol.name}, got {other.protocol.name}"
            )
        self.metric.merge(other.metric)
        self._named |= other._named
        self._classed |= other._classed
        return self

    def gather(self, group: Any = None) -> Self:
        """Merge the judges of all processes of ``torch.distributed``; a collective call.

        See :func:`congeal.metrics.gather`; this judge is not modified.
        """
        return gather(self, group)

    def _defined(self, metric: Metric) -> dict[str, float]:
        """Scores of a metric, with NaN for COCO's -1 (no ground-truth objects)."""
        scores = metric.compute()
        if not self.protocol.name.startswith("coco"):
            return scores
        return {name: math.nan if value == -1 else value for name, value in scores.items()}


class MatchingJudge(Judge):
    """Judge of one-to-one matching at several thresholds, with the counts of each image.

    If both dataset and model have classes, objects are also matched per class at the first
    threshold, and ``classed_ap`` pools the counts of all classes, so an object of the wrong class
    is two mistakes; the headline ignores classes.

    Example:
        >>> from congeal.metrics.protocols import PROTOCOLS
        >>> MatchingJudge(PROTOCOLS["matching"], {"thresholds": (0.7,)}).headline
        'matching_ap@0.7'
    """

    metric: MatchingMetric

    def __init__(self, protocol: Protocol, settings: Mapping[str, Any]) -> None:
        super().__init__(protocol, settings)
        self.thresholds = self.metric.thresholds
        self._by_class: dict[int, MatchingMetric] = {}

    def _measure(self, comparison: Comparison) -> Row:
        found = self.metric.update(prediction=comparison.labels, truth=comparison.sample.labels)
        if comparison.has_classes:
            for label in comparison.present_classes():
                true, labels = comparison.of_class(label)
                self._of_class(label).update(prediction=labels, truth=true)
        row: Row = {}
        for part in found:
            at = f"@{part.threshold:g}"
            row[f"matching_ap{at}"] = part.as_dict()[f"matching_ap{at}"]
            row |= {f"tp{at}": part.tp, f"fp{at}": part.fp, f"fn{at}": part.fn}
        return {**row, "true": found[0].n_true, "predicted": found[0].n_pred}

    def _of_class(self, label: int) -> MatchingMetric:
        return self._by_class.setdefault(label, self._new_of_class())

    def _new_of_class(self) -> MatchingMetric:
        return MatchingMetric(**{**self.settings, "thresholds": self.thresholds[:1]})

    def compute(self) -> dict[str, float]:
        """Return the scores over all images, followed by those of each class that occurs."""
        scores = super().compute()
        if self._by_class:
            at, whole = f"@{self.thresholds[0]:g}", self._new_of_class()
            for metric in self._by_class.values():
                whole.merge(metric)
            scores[f"classed_ap{at}"] = whole.compute()[f"matching_ap{at}"]
        for label, metric in sorted(self._by_class.items()):
            scores |= {f"{k}/{label}": v for k, v in metric.compute().items() if "@" in k}
        return scores

    def merge(self, other: Self) -> Self:
        """Add the images of another judge with the same settings."""
        super().merge(other)
        for label, metric in other._by_class.items():
            self._of_class(label).merge(metric)
        return self

    def badness(self, row: Row) -> tuple[float, ...]:
        """Sort key: AP at the first threshold, then mean AP, then number of mistakes.

        An image without objects and predictions counts as best.
        """
        marks = [f"@{value:g}" for value in self.thresholds]
        mistakes = [row[f"fp{at}"] + row[f"fn{at}"] for at in marks]
        scores = [
            row[f"matching_ap{at}"] if wrong else 1.0
            for at, wrong in zip(marks, mistakes, strict=True)
        ]
        return -scores[0], -sum(scores) / len(scores), sum(mistakes)


def make_judge(
    protocol: str | Protocol,
    dataset: Dataset,
    measure: Mapping[str, Any] | None = None,
    thresholds: Sequence[float] | None = None,
    quick: bool = False,
) -> Judge:
    """Create the judge of a protocol for a dataset.

    Args:
        protocol: the protocol or its name.
        dataset: the dataset.
        measure: settings of the metric; they override those from the dataset.
        thresholds: override those of the protocol.
        quick: use few thresholds, for protocol ``"bsds-boundaries"``.

    Raises:
        CongealError: the protocol or a setting is unknown, a setting is invalid or missing, or the
            protocol has no quick mode.

    Example:
        >>> from congeal.data import open_dataset
        >>> make_judge("bsds-boundaries", open_dataset("discs"), quick=True).notes
        ('a quick estimate: 9 thresholds instead of 99',)
    """
    protocol = find_protocol(protocol) if isinstance(protocol, str) else protocol
    given = dict(measure or {})
    if thresholds is not None:
        given["thresholds"] = tuple(thresholds)
    if quick and protocol.name != "bsds-boundaries":
        raise CongealError(
            f"expected protocol bsds-boundaries for a quick estimate, got {protocol.name}"
        )
    if quick:
        given.setdefault("thresholds", QUICK_THRESHOLDS)
    kind = MatchingJudge if protocol.name == "matching" else Judge
    try:
        return kind(protocol, settings_of(protocol, dataset, given))
    except (TypeError, ValueError) as error:
        if isinstance(error, CongealError):
            raise
        raise CongealError(f"expected settings of protocol {protocol.name}, got {given}") from error


def badness_of(protocol: str, headline: str, scores: Mapping[str, Any]) -> float:
    """Sort key of an image by its headline: larger is worse, -inf if undefined.

    Args:
        protocol: name of the protocol.
        headline: name of the score.
        scores: the entry of the image in ``per_image``.

    Example:
        >>> badness_of("cvppp", "sbd", {"sbd": 0.25, "true": 3, "predicted": 2})
        -0.25
    """
    value, higher = float(scores[headline]), PROTOCOLS[protocol].higher
    if scores.get("true") == scores.get("predicted") == 0:  # no objects and no predictions
        return -math.inf
    if math.isnan(value):  # for a distance: all objects were missed
        return math.inf if scores.get("true") and not higher else -math.inf
    return -value if higher else value


def headline_of(protocol: Protocol, scores: Mapping[str, float]) -> str:
    """Name of the main score; with non-default thresholds, the first of the same kind.

    Example:
        >>> from congeal.metrics.protocols import PROTOCOLS
        >>> headline_of(PROTOCOLS["trimap"], {"images": 3, "miou@3": 0.5})
        'miou@3'
    """
    if protocol.headline in scores:
        return protocol.headline
    kind = protocol.headline.partition("@")[0]
    return next((name for name in scores if name.partition("@")[0] == kind), next(iter(scores)))


def _own(scores: Mapping[str, float], headline: str) -> Row:
    """Scores of a single image to report: the headline, and those without a threshold."""
    plain = {
        name: value
        for name, value in scores.items()
        if not ("@" in name or "/" in name or name.startswith(_COUNTS))
    }
    return {headline: scores[headline], **plain}


def _counts(protocol: Protocol, comparison: Comparison) -> Row:
    """Number of ground-truth and predicted objects (or classes); empty for boundaries."""
    if protocol.truth == "annotators":
        return {}
    if protocol.truth == "semantic":
        table = contingency(comparison.true_classes, comparison.clusters).objects()
    else:
        table = contingency(comparison.sample.labels, comparison.labels).objects()
    return {"true": len(table.true_ids), "predicted": len(table.pred_ids)}
