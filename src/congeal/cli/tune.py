"""``congeal tune``: the decoding of a model, fitted to labelled images without training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from congeal.cli.options import Device, Json
from congeal.cli.terminal import console, count, say, say_note, show_json

if TYPE_CHECKING:
    from congeal.training import Tuning

__all__ = ["tune"]


def tune(
    model: Annotated[str, typer.Argument(help="Model folder, or the name of a shipped model.")],
    data: Annotated[
        str, typer.Argument(help="Folder of images/ and masks/, COCO JSON, or a dataset by name.")
    ],
    split: Annotated[
        str,
        typer.Option(
            help="Part of the data: val, or all for a folder of which the model has seen nothing.",
            metavar="NAME",
        ),
    ] = "val",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder for the tuned model; left out, the model's own settings are changed.",
            metavar="FOLDER",
        ),
    ] = None,
    limit: Annotated[
        int, typer.Option(help="At most so many images, evenly spread.", metavar="N")
    ] = 64,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Fit the decoding of a model to labelled images, without training.

    Compares settings of the decoding by the headline score of the model's task and
    keeps the best with the model. Training does so at its end.
    """
    from congeal import training

    with console(stderr=True).status("looking at the images") as status:

        def tell(tried: int, best: float) -> None:
            status.update(f"{count(tried, 'setting')} compared  mean AP {best:.3f}")

        found = training.tune(
            model,
            data,
            split=split,
            output=output,
            limit=limit,
            device=device,
            on_try=tell,
            on_note=lambda line: say_note(f"note: {line}"),
        )
    folder = model if output is None else str(output)
    if as_json:
        show_json({"model": folder, **vars(found)})
        return
    _tell(found, folder, data)


def _tell(found: Tuning, folder: str, data: str) -> None:
    say(f"{count(found.images, 'image')}, {count(found.objects, 'object')}; {found.tried} compared")
    for name, value in found.before.items():
        say(f"  {name} {value:.3f}, tuned {found.after[name]:.3f}")
    for name, value in found.settings.items():
        say(f"  {name} = {value:g}")
    if not found.settings:
        say("  the settings stay as they were: no step made them better")
    say(f"next: congeal evaluate {folder} {data}, congeal segment {folder} IMAGES")
