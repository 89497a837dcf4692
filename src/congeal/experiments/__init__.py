"""Figures and tables of the papers, each a command that rebuilds it from the parts that ship.

Every experiment leaves a picture and the numbers in it. Nothing is a re-typed formula: the loss
curve goes through the loss, the trajectories through automatic differentiation, and the digits
through a network that is really trained.

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
