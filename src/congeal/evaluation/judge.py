"""A protocol at work: it looks at image after image, and tells how bad each was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from congeal.data.sample import Dataset
from congeal.errors import CongealError
from congeal.evaluation.adapters import FEEDERS, settings_of
from congeal.evaluation.comparison import Comparison
from congeal.evaluation.examples import badness_of
from congeal.metrics.bsds_curves import FULL
from congeal.metrics.matching import Matching, MatchingMetric, matching
from congeal.metrics.protocols import PROTOCOLS, Protocol

__all__ = ["QUICK", "Judge", "MatchingJudge", "headline_of", "make_judge"]

Row = dict[str, Any]

QUICK = 9
"""Thresholds of the quick boundary benchmark."""

UNNAMED = ("object",)
"""Names of the classes of a result that was given none."""

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

    Args:
        protocol: how to measure.
        settings: of the metric, complete.

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

    def look(self, one: Comparison) -> tuple[Row, list[Matching]]:
        """Add an image; give its scores, and which of the objects to draw match."""
        part = self.protocol.create(**self.settings)
        FEEDERS[self.protocol.name](part, one)
        self.metric.merge(part)
        self._named |= one.result.class_names != UNNAMED
        self._classed = self.protocol.name in CLASSED and len(one.dataset.class_names) > 2
        found = matching(*one.shown(self.protocol.truth), (0.5,))
        counts = {"true": found[0].n_true, "predicted": found[0].n_pred}
        return {**_own(part.compute(), self.headline), **counts}, found

    def badness(self, row: Row) -> float | None:
        """Rank an image, larger is worse; None leaves it to the pairs that match."""
        return badness_of(self.protocol.name, self.headline, row)

    def compute(self) -> dict[str, float]:
        """Give the scores over all images, the headline first."""
        scores = self.metric.compute()
        return {self.headline: scores[self.headline], **scores}


class MatchingJudge(Judge):
    """Objects matched one to one at several thresholds, with the counts of each image.

    Example:
        >>> from congeal.metrics.protocols import PROTOCOLS
        >>> MatchingJudge(PROTOCOLS["matching"], {"thresholds": (0.7,)}).headline
        'matching_ap@0.7'
    """

    metric: MatchingMetric

    def __init__(self, protocol: Protocol, settings: Mapping[str, Any]) -> None:
        super().__init__(protocol, settings)
        self.thresholds = self.metric.thresholds

    def look(self, one: Comparison) -> tuple[Row, list[Matching]]:
        """Add an image; give its counts at each threshold, and which objects match."""
        found = self.metric.update(one.sample.labels, one.labels)
        row: Row = {}
        for part in found:
            at = f"@{part.threshold:g}"
            row[f"matching_ap{at}"] = part.ap
            row |= {f"tp{at}": part.tp, f"fp{at}": part.fp, f"fn{at}": part.fn}
        return {**row, "true": found[0].n_true, "predicted": found[0].n_pred}, found

    def badness(self, row: Row) -> float | None:
        """Leave it to the pairs that match at all thresholds."""
        return None


def make_judge(
    protocol: Protocol,
    dataset: Dataset,
    measure: Mapping[str, Any],
    thresholds: Sequence[float] | None = None,
    quick: bool = False,
) -> Judge:
    """Set a protocol up for a dataset.

    Args:
        protocol: how to measure.
        dataset: what to measure on.
        measure: settings of the metric, over what the dataset tells.
        thresholds: in place of the protocol's own, where it has any.
        quick: take a few thresholds, where that saves time.

    Raises:
        CongealError: a setting is unknown, wrong or missing, or there is no quick mode.

    Example:
        >>> from congeal.data import open_dataset
        >>> from congeal.metrics.protocols import PROTOCOLS
        >>> make_judge(PROTOCOLS["bsds-boundaries"], open_dataset("discs"), {}, quick=True).notes
        ('a quick estimate: 9 thresholds instead of 99',)
    """
    given = dict(measure)
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
