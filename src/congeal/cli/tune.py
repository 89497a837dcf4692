"""``congeal tune``: the decoding settings of a model, tuned on labelled images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from congeal.cli.options import Data, Device, Json, Model
from congeal.cli.terminal import count, make_progress, say, say_warning, show_json

if TYPE_CHECKING:
    from congeal.training import Tuning

__all__ = ["tune"]


_Split: TypeAlias = Annotated[
    str,
    typer.Option(
        help="Split of the data: val, or all for a folder that the model was not trained on.",
        metavar="NAME",
    ),
]
_Folder: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        help="Folder for the tuned model. Default: the model itself is changed.",
        metavar="FOLDER",
    ),
]
_Limit: TypeAlias = Annotated[
    int, typer.Option(help="Maximum number of images, evenly spread.", metavar="N")
]


def tune(
    model: Model,
    data: Data,
    split: _Split = "val",
    output: _Folder = None,
    limit: _Limit = 64,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Tune the decoding settings of a model on labelled images, without training.

    Compares settings by the score of the model's task (for instances the mean of AP at IoU .5 and
    .7) and stores the best ones in the model. Training does this at its end.
    """
    with make_progress() as progress:
        task = progress.add_task("predicting images", total=None)
        from congeal import training

        def show_image(done: int, total: int) -> None:
            if done == 1:  # the remaining time is estimated from here
                progress.reset(task)
            progress.update(task, completed=done, total=total)

        def show_candidate(tried: int, total: int, best: float, score: str) -> None:
            if tried == 1:
                progress.reset(task)
            text = f"comparing settings, best {score} {best:.3f}"
            progress.update(task, completed=tried, total=total, description=text)

        result = training.tune(
            model,
            data,
            split=split,
            output=output,
            limit=limit,
            device=device,
            on_image=show_image,
            on_try=show_candidate,
            on_note=say_warning,
        )
    folder = model if output is None else str(output)
    if as_json:
        show_json({"model": folder, **vars(result)})
        return
    _print_result(result, folder, data)


def _print_result(result: Tuning, folder: str, data: str) -> None:
    images = f"{count(result.images, 'image')} with {count(result.objects, 'object')}"
    say(f"{images}, {count(result.tried, 'setting')} compared by {result.score}")
    for name, value in result.before.items():
        say(f"  {name} {value:.3f} -> {result.after[name]:.3f}")
    if result.settings:
        changed = ", ".join(f"{name}={value:g}" for name, value in result.settings.items())
        say(f"better with {changed}: stored in {folder}")
    else:
        say("no setting was better than those of the model; nothing was changed")
    say(f"next: congeal evaluate {folder} {data}, congeal segment {folder} IMAGES")
