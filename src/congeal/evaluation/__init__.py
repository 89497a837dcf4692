"""Evaluation of a model on a dataset: scores, table, ``evaluation.json`` and report page."""

from congeal.evaluation.examples import Example
from congeal.evaluation.result import Evaluation
from congeal.evaluation.run import evaluate

__all__ = ["Evaluation", "Example", "evaluate"]
