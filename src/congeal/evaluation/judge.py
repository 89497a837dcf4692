"""A protocol at work: it looks at image after image, and tells how bad each was."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

from congeal.data.sample import Dataset
from congeal.errors import CongealError
from congeal.evaluation.adapters import FEEDERS, settings_of, unsuited
from congeal.evaluation.comparison import UNNAMED, Comparison
from congeal.labels import contingency
from congeal.metrics.bsds_curves import FULL
from congeal.metrics.matching import MatchingMetric
from congeal.metrics.metric import Metric, gather
from congeal.metrics.protocols import PROTOCOLS, Protocol, find_protocol

__all__ = ["QUICK", "Judge", "MatchingJudge", "badness_of", "headline_of", "make_judge"]

Row = dict[str, Any]

QUICK = 9
"""Thresholds of the quick boundary benchmark."""

CLASSED = tuple(
    name
    for name, one in PROTOCOLS.items()
    if one.truth in ("objects", "semantic", "panoptic")
    and not name.startswith(("coco-agnostic", "proposals", "unsupervised", "retrieval"))
)
"""Protocols that look at predicted classes."""

_COUNTS = ("images", "objects", "predicted", "thresholds", "quick", "pairs", "classes")


class Judge:
    """Scores images by one protocol; of each image it keeps what the metric keeps.

    What validation, tuning and evaluation have in common: :meth:`look` at image after image, then
    :meth:`compute`. Judges that looked at different images :meth:`merge`.

    Args:
        protocol: how to measure.
        settings: of the metric, complete.

    Attributes:
        metric: what counts; it can be merged and pickled.
        headline: name of the number to look at first, among those of :meth:`compute`.

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
        """Whether more of the headline is better."""
        return self.protocol.higher

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the numbers should know."""
        notes = []
        if getattr(self.metric, "quick", False):
            count = len(self.metric.thresholds)  # type: ignore[attr-defined]
            notes.append(f"a quick estimate: {count} thresholds instead of {FULL}")
        if self._classed and not self._named:
            notes.append(
                "the model gives no classes, so all that it finds counts as the first class of "
                "the data; coco-agnostic, proposals and matching look at no classes"
            )
        return tuple(notes)

    def look(self, one: Comparison) -> Row:
        """Add an image; give its own scores and counts.

        Raises:
            CongealError: the result does not have what the protocol compares, or truth and
                result do not fit.
        """
        problem = unsuited(self.protocol, one.result)
        if problem is not None:
            raise CongealError(problem)
        self._named |= one.result.class_names != UNNAMED
        self._classed = self.protocol.name in CLASSED and len(one.dataset.class_names) > 2
        return self._measure(one)

    def _measure(self, one: Comparison) -> Row:
        part = self.protocol.create(**self.settings)
        FEEDERS[self.protocol.name](part, one)
        self.metric.merge(part)
        return {**_own(self._defined(part), self.headline), **_counts(self.protocol, one)}

    def badness(self, row: Row) -> tuple[float, ...]:
        """Rank an image by what :meth:`look` gave, larger is worse."""
        return (badness_of(self.protocol.name, self.headline, row),)

    def compute(self) -> dict[str, float]:
        """Give the scores over all images, the headline first; NaN where nothing can be said."""
        scores = self._defined(self.metric)
        return {self.headline: scores[self.headline], **scores}

    def merge(self, other: Self) -> Self:
        """Add all that another judge of the same protocol and settings has seen.

        Raises:
            CongealError: protocols or settings differ.

        Example:
            >>> from congeal.data import open_dataset
            >>> from congeal.segmentation import Segmentation
            >>> discs = open_dataset("discs", "test", count=1)
            >>> one, two = make_judge("cvppp", discs), make_judge("cvppp", discs)
            >>> truth = Segmentation.from_labels(discs[0].labels)
            >>> _ = two.look(Comparison(discs[0], truth, discs))
            >>> one.merge(two).compute()["sbd"]
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
        """Join the judges of all processes of ``torch.distributed``, which all have to call this.

        As :func:`congeal.metrics.gather`; this judge stays as it is.
        """
        return gather(self, group)

    def update(self, one: Comparison) -> Row:
        """Do as :meth:`look`, the name under which metrics have it."""
        return self.look(one)

    def _defined(self, metric: Metric) -> dict[str, float]:
        """Give the scores of a metric, NaN for COCO's -1, which says that nothing was to find."""
        scores = metric.compute()
        if not self.protocol.name.startswith("coco"):
            return scores
        return {name: math.nan if value == -1 else value for name, value in scores.items()}


class MatchingJudge(Judge):
    """Objects matched one to one at several thresholds, with the counts of each image.

    Where data and model both have classes, the objects of each class are matched by themselves as
    well, at the first threshold. ``classed_ap`` is of the counts of all classes together, so an
    object of the wrong class is two mistakes; the headline looks at no classes.

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

    def _measure(self, one: Comparison) -> Row:
        found = self.metric.update(prediction=one.labels, truth=one.sample.labels)
        if one.classed:
            for label in one.classes_at_hand():
                true, labels = one.of_class(label)
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
        """Give the scores over all images, then those of each class that occurs."""
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
        """Add all that another judge of the same settings has seen."""
        super().merge(other)
        for label, metric in other._by_class.items():
            self._of_class(label).merge(metric)
        return self

    def badness(self, row: Row) -> tuple[float, ...]:
        """Rank by the AP at the first threshold, then the mean AP, then the mistakes.

        An image without objects in which none were predicted is no failure and counts as best.
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
    """Set a protocol up for a dataset.

    Args:
        protocol: how to measure, or its name.
        dataset: what to measure on.
        measure: settings of the metric, over what the dataset tells.
        thresholds: in place of the protocol's own, where it has any.
        quick: take a few thresholds, where that saves time.

    Raises:
        CongealError: the protocol or a setting is unknown, a setting is wrong or missing, or there
            is no quick mode.

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
        given.setdefault("thresholds", QUICK)
    kind = MatchingJudge if protocol.name == "matching" else Judge
    try:
        return kind(protocol, settings_of(protocol, dataset, given))
    except (TypeError, ValueError) as error:
        if isinstance(error, CongealError):
            raise
        raise CongealError(f"expected settings of protocol {protocol.name}, got {given}") from error


def badness_of(protocol: str, headline: str, scores: Mapping[str, Any]) -> float:
    """Rank an image by its headline: larger is worse, minus infinity where nothing can be said.

    Args:
        protocol: its name.
        headline: which of the scores to look at.
        scores: the entry of the image in ``per_image``.

    Example:
        >>> badness_of("cvppp", "sbd", {"sbd": 0.25, "true": 3, "predicted": 2})
        -0.25
    """
    value, higher = float(scores[headline]), PROTOCOLS[protocol].higher
    if scores.get("true") == scores.get("predicted") == 0:  # nothing to find, nothing found
        return -math.inf
    if math.isnan(value):  # objects to which there is no distance were not found
        return math.inf if scores.get("true") and not higher else -math.inf
    return -value if higher else value


def headline_of(protocol: Protocol, scores: Mapping[str, float]) -> str:
    """Name the number to report first; with other thresholds or limits, the first of its kind.

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
    """Choose what is told of a single image: the headline, and scores without a threshold."""
    plain = {
        name: value
        for name, value in scores.items()
        if not ("@" in name or "/" in name or name.startswith(_COUNTS))
    }
    return {headline: scores[headline], **plain}


def _counts(protocol: Protocol, one: Comparison) -> Row:
    """Count what is compared: objects, classes, or nothing that has a number, boundaries."""
    if protocol.truth == "annotators":
        return {}
    if protocol.truth == "semantic":
        table = contingency(one.true_classes, one.clusters).objects()
    else:
        table = contingency(one.sample.labels, one.labels).objects()
    return {"true": len(table.true_ids), "predicted": len(table.pred_ids)}
