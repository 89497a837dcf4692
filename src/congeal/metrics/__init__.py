"""Metrics: one module per family of protocols, on arrays of labels only."""

from congeal.metrics.matching import Matching, MatchingMetric, matching

__all__ = ["Matching", "MatchingMetric", "matching"]
