"""``congeal experiments``: figures and tables of the papers, each with its numbers."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from congeal.cli.options import Json, Output
from congeal.cli.terminal import say, say_note, show, show_json

if TYPE_CHECKING:
    from congeal.experiments import FigureResult

__all__ = ["experiments", "list_experiments", "run"]


def experiments(context: typer.Context, as_json: Json = False) -> None:
    """List and run the experiments of the papers."""
    if context.invoked_subcommand is None:
        list_experiments(as_json)


def list_experiments(as_json: Json = False) -> None:
    """List the experiments."""
    from congeal.experiments import EXPERIMENTS

    if as_json:
        show_json([{"name": name, "what": entry.what} for name, entry in EXPERIMENTS.items()])
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    for name, entry in EXPERIMENTS.items():
        table.add_row(name, entry.what)
    show(table)
    say("run one: congeal experiments run NAME, every one: congeal experiments run all")


def run(
    name: Annotated[
        str, typer.Argument(help="Which experiment; all for every one.", metavar="NAME")
    ],
    output: Output = Path("experiments"),
    quick: Annotated[
        bool, typer.Option("--quick", help="Seconds instead of minutes, and coarser.")
    ] = False,
    seed: Annotated[
        int, typer.Option(help="Of whatever is drawn at random.", min=0, metavar="N")
    ] = 0,
    minutes: Annotated[
        float | None,
        typer.Option(help="Of each training, where it goes by the clock.", min=0.1, metavar="N"),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(help="Trainings of each kind, where there are several.", min=1, metavar="N"),
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Data sets of compare, with commas between.", metavar="LIST")
    ] = None,
    methods: Annotated[
        str | None, typer.Option(help="Methods of compare, with commas between.", metavar="LIST")
    ] = None,
    images: Annotated[
        int | None, typer.Option(help="Images that are scored, at most.", min=1, metavar="N")
    ] = None,
    processor_time: Annotated[
        bool,
        typer.Option(
            "--processor-time",
            help="Minutes of the processor, which other work on the machine does not shorten.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Run an experiment: it leaves a picture and the numbers in it, as CSV."""
    from congeal.clock import count_processor_time
    from congeal.experiments import EXPERIMENTS, choose_experiments, run_experiment

    lists = {"data": data, "methods": methods}
    asked: dict[str, Any] = {"minutes": minutes, "seeds": seeds, "images": images}
    asked |= {option: names.split(",") if names else None for option, names in lists.items()}
    made = {}
    for one in choose_experiments(name):
        say_note(f"running {one}: {EXPERIMENTS[one].what}")
        with count_processor_time() if processor_time else nullcontext():
            made[one] = run_experiment(one, output, quick=quick, seed=seed, **asked)
        if not as_json:
            _tell(made[one])
    if as_json:
        show_json([_to_dict(one, result) for one, result in made.items()])


def _tell(made: FigureResult) -> None:
    say(f"{made.png}, {made.csv}")
    for name, value in made.numbers.items():
        say(f"  {name}: {value:.4g}")
    for claim in made.claims:
        say(f"  {claim}")


def _to_dict(name: str, made: FigureResult) -> dict[str, Any]:
    return {
        "name": name,
        "png": str(made.png),
        "csv": str(made.csv),
        "numbers": made.numbers,
        "claims": [asdict(claim) for claim in made.claims],
    }
