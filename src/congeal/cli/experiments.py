"""``congeal experiments``: tables and figures of the papers, as pictures and CSV."""

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
    say("run one: congeal experiments run NAME; run all: congeal experiments run all")


def run(
    name: Annotated[str, typer.Argument(help="Name of the experiment, or all.", metavar="NAME")],
    output: Output = Path("experiments"),
    quick: Annotated[
        bool, typer.Option("--quick", help="A coarse version that takes seconds.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Random seed.", min=0, metavar="N")] = 0,
    minutes: Annotated[
        float | None,
        typer.Option(help="Length of each training that is timed.", min=0.1, metavar="N"),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            help="Number of trainings, each with another seed, if there are several.",
            min=1,
            metavar="N",
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="Datasets of compare, separated by commas.", metavar="LIST"),
    ] = None,
    methods: Annotated[
        str | None, typer.Option(help="Methods of compare, separated by commas.", metavar="LIST")
    ] = None,
    images: Annotated[
        int | None, typer.Option(help="Maximum number of test images.", min=1, metavar="N")
    ] = None,
    processor_time: Annotated[
        bool,
        typer.Option(
            "--processor-time",
            help="Count minutes of processor time, for trainings on a busy machine.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Run an experiment; writes a picture and its numbers as CSV."""
    from congeal.clock import count_processor_time
    from congeal.experiments import EXPERIMENTS, choose_experiments, run_experiment

    lists = {"data": data, "methods": methods}
    options: dict[str, Any] = {"minutes": minutes, "seeds": seeds, "images": images}
    options |= {option: names.split(",") if names else None for option, names in lists.items()}
    results = {}
    for experiment in choose_experiments(name):
        say_note(f"running {experiment}: {EXPERIMENTS[experiment].what}")
        with count_processor_time() if processor_time else nullcontext():
            result = run_experiment(experiment, output, quick=quick, seed=seed, **options)
        results[experiment] = result
        if not as_json:
            _print_result(result)
    if as_json:
        show_json([_to_dict(experiment, result) for experiment, result in results.items()])


def _print_result(result: FigureResult) -> None:
    say(f"{result.png}, {result.csv}")
    for name, value in result.numbers.items():
        say(f"  {name}: {value:.4g}")
    for claim in result.claims:
        say(f"  {claim}")


def _to_dict(name: str, result: FigureResult) -> dict[str, Any]:
    return {
        "name": name,
        "png": str(result.png),
        "csv": str(result.csv),
        "numbers": result.numbers,
        "claims": [asdict(claim) for claim in result.claims],
    }
