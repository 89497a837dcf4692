"""The figures by name."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Protocol

from congeal.errors import unknown
from congeal.theory.convergence import draw_convergence
from congeal.theory.digits import draw_digits
from congeal.theory.gradient import draw_gradient
from congeal.theory.loss import draw_loss
from congeal.theory.margins import draw_margins
from congeal.theory.result import FigureResult
from congeal.theory.similarities import draw_similarities
from congeal.theory.trajectories import draw_trajectories

__all__ = ["FIGURES", "Figure", "choose_figures"]


class Draw(Protocol):
    """What every figure is: a function that writes a picture and its numbers to a folder."""

    def __call__(
        self, folder: str | Path, *, quick: bool = False, seed: int = 0
    ) -> FigureResult: ...


class Figure(NamedTuple):
    """A figure: the function that draws it, and a line on what it shows."""

    draw: Draw
    what: str


FIGURES: dict[str, Figure] = {
    "loss": Figure(draw_loss, "loss of a pair against its similarity, for several margins"),
    "margins": Figure(draw_margins, "smallest margin for a number of groups and dimensions"),
    "convergence": Figure(draw_convergence, "cubic convergence of blurring mean shift"),
    "digits": Figure(draw_digits, "digits on a sphere, before and after mean shift; trained"),
    "gradient": Figure(draw_gradient, "gradient on the embedding, with and without grouping"),
    "similarities": Figure(
        draw_similarities, "similarity of pairs after each step, for the model that ships"
    ),
    "trajectories": Figure(
        draw_trajectories, "points on a line trained through mean shift, in five settings"
    ),
}


def choose_figures(name: str) -> tuple[str, ...]:
    """Names of the figures that ``name`` stands for: itself, or every one for ``"all"``.

    Raises:
        CongealError: there is no such figure; the nearest name is suggested.

    Example:
        >>> choose_figures("loss"), len(choose_figures("all"))
        (('loss',), 7)
    """
    if name == "all":
        return tuple(FIGURES)
    if name not in FIGURES:
        raise unknown("figure", name, (*FIGURES, "all", "list"))
    return (name,)
