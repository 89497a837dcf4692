"""The program ``congeal`` and its commands."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Annotated

import typer

from congeal.cli import (
    data,
    demo,
    evaluate,
    experiments,
    index,
    info,
    methods,
    models,
    segment,
    train,
    tune,
)
from congeal.cli.group import Commands, DataCommands
from congeal.cli.help import Command
from congeal.version import __version__

__all__ = ["app", "main"]

app = typer.Typer(
    name="congeal",
    cls=Commands,
    help="Group pixels into objects: train on images and masks, segment new images.",
    epilog=(
        "Exit codes: 0 success, 1 some files failed, 2 wrong use or input, 70 a fault of congeal, "
        "130 stopped with Ctrl-C."
    ),
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="rich",
)
data_app = typer.Typer(cls=DataCommands, help="List, describe, check and preview datasets.")
experiments_app = typer.Typer(cls=DataCommands, help="List and run experiments of the papers.")

_Commands = Mapping[str, Callable[..., None]]  # functions by name of the command
_COMMANDS: _Commands = {
    "demo": demo.demo,
    "train": train.train,
    "tune": tune.tune,
    "segment": segment.segment,
    "evaluate": evaluate.evaluate,
    "index": index.index,
    "models": models.models,
    "methods": methods.methods,
}
_EXPERIMENT_COMMANDS: _Commands = {
    "list": experiments.list_experiments,
    "run": experiments.run,
}
_DATA_COMMANDS: _Commands = {
    "list": data.list_datasets,
    "info": data.info,
    "check": data.check,
    "preview": data.preview,
}


def _add(group: typer.Typer, commands: _Commands) -> None:
    for name, command in commands.items():
        group.command(name, cls=Command)(command)


_add(app, _COMMANDS)
app.add_typer(experiments_app, name="experiments", invoke_without_command=True)
app.add_typer(data_app, name="data", invoke_without_command=True)
_add(app, {"info": info.info})

data_app.callback(invoke_without_command=True)(data.data)
experiments_app.callback(invoke_without_command=True)(experiments.experiments)
_add(experiments_app, _EXPERIMENT_COMMANDS)
_add(data_app, _DATA_COMMANDS)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"congeal {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
    debug: Annotated[
        bool,
        typer.Option("--debug", help="Show the traceback of an error; works after any command."),
    ] = False,
) -> None:
    """Group pixels into objects: train on images and masks, segment new images."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main() -> None:
    """Run the program; the entry point of the command ``congeal``."""
    for stream in (sys.stdout, sys.stderr):
        # File names may have characters that the encoding of the terminal lacks.
        with suppress(AttributeError):  # None, or replaced by an object without this method
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    app()
