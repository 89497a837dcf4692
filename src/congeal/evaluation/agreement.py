"""Precision-recall curve of a boundary model, with the agreement of the annotators."""

from __future__ import annotations

from dataclasses import replace

from congeal.evaluation.comparison import Comparison
from congeal.evaluation.judge import Judge
from congeal.evaluation.result import Evaluation
from congeal.metrics.bsds_boundaries import BsdsBoundaryMetric, HumanAgreementMetric

__all__ = ["Agreement"]


class Agreement:
    """Scores the annotators on the images of a boundary evaluation; does nothing otherwise.

    Scoring each annotator against the others takes a few percent of the full benchmark; it is
    omitted for quick estimates, where it would double the time.

    Args:
        judge: the judge of the model.

    Example:
        >>> from congeal.metrics.protocols import PROTOCOLS
        >>> Agreement(Judge(PROTOCOLS["bsds-boundaries"], {"thresholds": 5})).annotators is None
        True
    """

    def __init__(self, judge: Judge) -> None:
        metric = judge.metric
        self.metric = metric if isinstance(metric, BsdsBoundaryMetric) else None
        full = self.metric is not None and not self.metric.quick
        self.annotators = HumanAgreementMetric() if full else None

    def update(self, comparison: Comparison) -> None:
        """Add the annotations of an image."""
        if self.annotators is not None:
            self.annotators.update(truth=comparison.annotated_boundaries())

    def add_to(self, found: Evaluation) -> Evaluation:
        """Return the evaluation with its curve and the scores of the annotators."""
        if self.metric is None:
            return found
        curve = [(point.recall, point.precision) for point in self.metric.scores().curve]
        curves = {"model": [point for point in curve if point[1] > 0]}
        if self.annotators is None or not self.annotators.images:
            return replace(found, curves=curves)
        scores = self.annotators.compute()
        curves["annotators"] = [(scores["recall"], scores["precision"])]
        human = {f"human_{name}": scores[name] for name in ("f", "recall", "precision")}
        return replace(found, curves=curves, metrics={**found.metrics, **human})
