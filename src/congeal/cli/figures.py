"""``congeal figures``: the theory as pictures, each with its numbers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from congeal.cli.options import Json, Output
from congeal.cli.terminal import say, say_note, show, show_json

if TYPE_CHECKING:
    from congeal.theory import FigureResult

__all__ = ["figures"]


def figures(
    name: Annotated[
        str, typer.Argument(help="Which figure; all for every one, list for what there is.")
    ] = "list",
    output: Output = Path("figures"),
    quick: Annotated[
        bool, typer.Option("--quick", help="Seconds instead of minutes, and coarser.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of whatever is drawn at random.", min=0)] = 0,
    as_json: Json = False,
) -> None:
    """Draw the theory: losses, margins, convergence, gradients, paths.

    Each figure leaves NAME.png and the numbers in it, NAME.csv. Nothing is downloaded.
    """
    from congeal.theory import FIGURES, choose_figures

    if name == "list":
        _list({figure: entry.what for figure, entry in FIGURES.items()}, as_json)
        return
    made = {}
    for figure in choose_figures(name):
        say_note(f"drawing {figure}: {FIGURES[figure].what}")
        made[figure] = FIGURES[figure].draw(output, quick=quick, seed=seed)
        if not as_json:
            _tell(made[figure])
    if as_json:
        show_json([_to_dict(figure, result) for figure, result in made.items()])


def _list(lines: dict[str, str], as_json: bool) -> None:
    if as_json:
        show_json([{"name": name, "what": what} for name, what in lines.items()])
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    for name, what in lines.items():
        table.add_row(name, what)
    show(table)
    say("draw one: congeal figures NAME, every one: congeal figures all")


def _tell(made: FigureResult) -> None:
    say(f"{made.png}, {made.csv}")
    for name, value in made.numbers.items():
        say(f"  {name}: {value:.4g}")


def _to_dict(name: str, made: FigureResult) -> dict[str, Any]:
    return {"name": name, "png": str(made.png), "csv": str(made.csv), "numbers": made.numbers}
