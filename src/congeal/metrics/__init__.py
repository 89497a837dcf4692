"""Metrics: one module per family of protocols, on arrays of labels only."""

from congeal.metrics.leaves import LeafMetric, LeafScores, leaf_scores
from congeal.metrics.matching import Matching, MatchingMetric, matching
from congeal.metrics.metric import Metric, gather, merge_all
from congeal.metrics.panoptic import (
    PanopticClass,
    PanopticMetric,
    panoptic_counts,
    panoptic_segments,
)

__all__ = [
    "LeafMetric",
    "LeafScores",
    "Matching",
    "MatchingMetric",
    "Metric",
    "PanopticClass",
    "PanopticMetric",
    "gather",
    "leaf_scores",
    "matching",
    "merge_all",
    "panoptic_counts",
    "panoptic_segments",
]
