"""``congeal tune``: the decoding of a model, fitted to labelled images without training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from congeal.cli.options import Device, Json
from congeal.cli.terminal import count, make_progress, say, say_note, show_json

if TYPE_CHECKING:
    from congeal.training import Tuning

__all__ = ["tune"]


_Model: TypeAlias = Annotated[
    str, typer.Argument(help="Model folder, or the name of a shipped model.", metavar="MODEL")
]
_Data: TypeAlias = Annotated[
    str,
    typer.Argument(
        help="Folder of images/ and masks/, COCO JSON, or a dataset by name.", metavar="DATA"
    ),
]
_Split: TypeAlias = Annotated[
    str,
    typer.Option(
        help="Part of the data: val, or all for a folder of which the model has seen nothing.",
        metavar="NAME",
    ),
]
_Folder: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        help="Folder for the tuned model; left out, the model's own settings are changed.",
        metavar="FOLDER",
    ),
]
_Limit: TypeAlias = Annotated[
    int, typer.Option(help="At most so many images, evenly spread.", metavar="N")
]


def tune(
    model: _Model,
    data: _Data,
    split: _Split = "val",
    output: _Folder = None,
    limit: _Limit = 64,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Fit the decoding of a model to labelled images, without training.

    Compares settings of the decoding by the score of the model's task, for objects the mean of AP
    at IoU .5 and .7, and keeps the best with the model. Training does so at its end.
    """
    with make_progress() as progress:
        task = progress.add_task("looking at the images", total=None)
        from congeal import training

        def look(done: int, total: int) -> None:
            if done == 1:  # its time counts from here
                progress.reset(task)
            progress.update(task, completed=done, total=total)

        def tell(tried: int, total: int, best: float, score: str) -> None:
            if tried == 1:
                progress.reset(task)
            said = f"comparing settings, best {score} {best:.3f}"
            progress.update(task, completed=tried, total=total, description=said)

        found = training.tune(
            model,
            data,
            split=split,
            output=output,
            limit=limit,
            device=device,
            on_image=look,
            on_try=tell,
            on_note=lambda line: say_note(f"note: {line}"),
        )
    folder = model if output is None else str(output)
    if as_json:
        show_json({"model": folder, **vars(found)})
        return
    _tell(found, folder, data)


def _tell(found: Tuning, folder: str, data: str) -> None:
    images = f"{count(found.images, 'image')} with {count(found.objects, 'object')}"
    say(f"{images}, {count(found.tried, 'setting')} compared by {found.score}")
    for name, value in found.before.items():
        say(f"  {name} {value:.3f} -> {found.after[name]:.3f}")
    if found.settings:
        changed = ", ".join(f"{name}={value:g}" for name, value in found.settings.items())
        say(f"better with {changed}: stored in {folder}")
    else:
        say("no setting was better than those of the model: nothing is changed")
    say(f"next: congeal evaluate {folder} {data}, congeal segment {folder} IMAGES")
