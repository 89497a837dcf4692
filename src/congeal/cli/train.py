"""``congeal train``: images and masks to a model folder."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from congeal.cli.group import Stopped
from congeal.cli.interrupts import Interrupts
from congeal.cli.options import Json
from congeal.cli.settings import METHOD, TRAINING, as_parameter, chosen
from congeal.cli.terminal import say, show_json
from congeal.errors import CongealError

if TYPE_CHECKING:
    from congeal.methods.rpe import RPE

__all__ = ["default_folder", "train"]


def _with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command an option for every setting; typer reads the signature."""
    signature = inspect.signature(command, eval_str=True)
    own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    more = [as_parameter(setting) for setting in (*TRAINING, *METHOD)]
    command.__signature__ = signature.replace(parameters=[*own, *more])  # type: ignore[attr-defined]
    return command


@_with_settings
def train(
    data: Annotated[
        str, typer.Argument(help="Folder of images/ and masks/, COCO JSON, or a dataset by name.")
    ],
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder of the model; left out: runs/ and the name of the data.",
            metavar="FOLDER",
        ),
    ] = None,
    val: Annotated[
        str | None,
        typer.Option(
            help="Images for validation; left out: those that the data sets aside.",
            metavar="DATA",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where a training into this folder ended.")
    ] = False,
    start: Annotated[
        str | None,
        typer.Option(
            help="Begin with the weights of this model, by folder or name.", metavar="MODEL"
        ),
    ] = None,
    method: Annotated[str, typer.Option(help="The method: rpe.")] = "rpe",
    what: Annotated[str, typer.Option(help="A line for the card: what the model is for.")] = "",
    licence: Annotated[str, typer.Option(help="Licence of the weights, for the card.")] = "",
    as_json: Json = False,
    **settings: Any,
) -> None:
    """Train a model on images and masks.

    Without any option it takes 20 minutes and chooses what fits the objects in the images.
    Ctrl-C ends the training early and leaves a usable model; --resume goes on.
    """
    from congeal import training

    folder = default_folder(data) if output is None else output
    wanted = chosen(TRAINING, settings)
    model = _model(method, data, start, chosen(METHOD, settings), wanted.get("seed", 0))
    with Interrupts() as interrupts:
        training.train(
            model,
            data,
            output=folder,
            val=val,
            resume=resume,
            what=what,
            licence=licence,
            **wanted,
        )
    if interrupts.came:
        raise Stopped(f"stopped: {folder} holds the model so far; --resume goes on")
    _tell(folder, data, as_json)


def default_folder(data: str) -> Path:
    """Name the folder of a model after its data."""
    path = Path(data)
    name = path.stem if path.suffix == ".json" else path.resolve().name
    return Path("runs") / re.sub(r"[^\w.]+", "-", name)


def _model(
    method: str, data: str, start: str | None, settings: dict[str, Any], seed: int
) -> RPE | None:
    """Make the model to train: None leaves all choices to the training."""
    from congeal.errors import unknown
    from congeal.models.folder import METHODS, load

    if method not in METHODS:
        raise unknown("method", method, METHODS)
    if start is not None:
        if settings:
            named = ", ".join(settings)
            raise CongealError(f"--start takes the settings of that model; leave out: {named}")
        return load(start).train()
    return _build(data, settings, seed) if settings else None


def _build(data: str, settings: dict[str, Any], seed: int) -> RPE:
    import torch

    from congeal.data.registry import open_dataset
    from congeal.methods.rpe import RPE
    from congeal.training import suggest_settings

    suggested = suggest_settings(open_dataset(data, "train"))
    torch.manual_seed(seed)
    return RPE(**{**suggested, **settings})


def _tell(folder: Path, data: str, as_json: bool) -> None:
    from congeal.models.config import read_config

    config = read_config(folder)
    if as_json:
        facts = {"metrics": config.metrics, "training": config.training}
        show_json({"model": str(folder), **facts, "settings": config.settings})
        return
    say(f"model: {folder}")
    for name, value in config.metrics.items():
        say(f"  {name} {value:.3f}")
    say(f"next: congeal evaluate {folder} {data}, congeal segment {folder} IMAGES")
