"""Experiments that reproduce figures and tables of the papers with the code of this package.

Every experiment writes a picture and its numbers. It evaluates the actual losses, gradients and
groupings rather than separate formulas, and trains networks where the paper does.

Example:
    >>> from congeal.experiments import EXPERIMENTS
    >>> sorted(EXPERIMENTS)[:3]
    ['compare', 'dl.crossing', 'dl.table2']
"""

from congeal.experiments.registry import (
    EXPERIMENTS,
    Experiment,
    choose_experiments,
    run_experiment,
)
from congeal.experiments.result import Claim, FigureResult

__all__ = [
    "EXPERIMENTS",
    "Claim",
    "Experiment",
    "FigureResult",
    "choose_experiments",
    "run_experiment",
]
