"""The curve of a boundary model beside how well the annotators agree."""

from __future__ import annotations

from dataclasses import replace

from congeal.evaluation.comparison import Comparison
from congeal.evaluation.judge import Judge
from congeal.evaluation.result import Evaluation
from congeal.metrics.bsds_boundaries import BsdsBoundaryMetric, HumanAgreementMetric

__all__ = ["Agreement"]


class Agreement:
    """Measures the annotators on the images that a model is measured on; else does nothing.

    To score each annotator by all others costs a few hundredths of the whole benchmark, and as much
    as a quick estimate, which goes without.

    Args:
        judge: of the model.

    Example:
        >>> from congeal.metrics.protocols import PROTOCOLS
        >>> Agreement(Judge(PROTOCOLS["bsds-boundaries"], {"thresholds": 5})).people is None
        True
    """

    def __init__(self, judge: Judge) -> None:
        metric = judge.metric
        self.metric = metric if isinstance(metric, BsdsBoundaryMetric) else None
        whole = self.metric is not None and not self.metric.quick
        self.people = HumanAgreementMetric() if whole else None

    def look(self, one: Comparison) -> None:
        """Add what the annotators drew in an image."""
        if self.people is not None:
            self.people.update(truth=one.drawn_boundaries())

    def add_to(self, found: Evaluation) -> Evaluation:
        """The evaluation with its curve, and with what was found of the annotators."""
        if self.metric is None:
            return found
        curve = [(point.recall, point.precision) for point in self.metric.scores().curve]
        curves = {"model": [point for point in curve if point[1] > 0]}
        if self.people is None or not self.people.images:
            return replace(found, curves=curves)
        told = self.people.compute()
        curves["annotators"] = [(told["recall"], told["precision"])]
        people = {f"human_{name}": told[name] for name in ("f", "recall", "precision")}
        return replace(found, curves=curves, metrics={**found.metrics, **people})
