"""The theory made visible: figures that explain the method, each drawn from the parts that ship.

Every figure comes as a picture and as the numbers in it. Nothing is a re-typed formula: the loss
curve goes through the loss, the trajectories through automatic differentiation, and the digits
through a network that is really trained.

Example:
    >>> from congeal.theory import FIGURES
    >>> sorted(FIGURES)[:3]
    ['convergence', 'digits', 'gradient']
"""

from congeal.theory.registry import FIGURES, Figure, choose_figures
from congeal.theory.result import FigureResult

__all__ = ["FIGURES", "Figure", "FigureResult", "choose_figures"]
