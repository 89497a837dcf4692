"""Evaluating a model on a dataset: scores, a table, ``evaluation.json`` and a report page."""

from congeal.evaluation.examples import Example
from congeal.evaluation.result import Evaluation
from congeal.evaluation.run import evaluate

__all__ = ["Evaluation", "Example", "evaluate"]
