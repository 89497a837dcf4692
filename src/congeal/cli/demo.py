"""``congeal demo``: everything once, on drawn images and on photographs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from congeal.cli.group import Stopped
from congeal.cli.options import Device, Json, Output
from congeal.cli.terminal import make_progress, say, say_note, show_json

if TYPE_CHECKING:
    from congeal.demo import Demo

__all__ = ["demo"]


def demo(
    output: Output = Path("congeal-demo"),
    minutes: Annotated[float, typer.Option(help="Time to train, in minutes.", metavar="N")] = 6.5,
    seed: Annotated[
        int, typer.Option(help="Of the drawings and the training.", min=0, metavar="N")
    ] = 0,
    images: Annotated[
        int, typer.Option(help="How many drawings to score.", min=1, metavar="N")
    ] = 64,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Draw, train, score, segment photographs: all on one page.

    Draws sticks that lie across each other, trains on them, scores and shows others that it has
    not seen, and segments photographs with the model that ships. Nothing is downloaded.
    """
    from congeal.demo import run_demo

    with _scoring(images) as tell:
        made = run_demo(
            output,
            minutes=minutes,
            seed=seed,
            images=images,
            device=device,
            on_stage=say_note,
            on_image=tell,
        )
    if made is None:
        raise Stopped
    if as_json:
        show_json(_to_dict(made))
    else:
        _tell(made)


@contextmanager
def _scoring(images: int) -> Iterator[Callable[[int, int, object], None]]:
    """Show a bar from the first image scored to the last; before it the training shows its own."""
    progress = make_progress()
    task = progress.add_task("scoring", total=images)

    def tell(done: int, total: int, row: object) -> None:
        if done == 1:
            progress.start()
        progress.update(task, completed=done)
        if done == total:
            progress.stop()

    try:
        yield tell
    finally:
        progress.stop()


def _tell(made: Demo) -> None:
    from congeal.demo.page import next_command

    metrics = made.evaluation.metrics
    say(
        f"sticks: {metrics['matching_ap@0.5']:.3f} AP at IoU .5, "
        f"{metrics['recall@0.5']:.0%} of {metrics['objects']:.0f} found in drawings not seen"
    )
    for seen in made.photographs:
        say(f"{seen.photograph.name}: {seen.verdict}")
    if not made.photographs:
        say("photographs: left out, for no model ships with this copy of congeal")
    say(f"took {made.seconds / 60:.1f} minutes")
    say(f"\nlook at {made.page}")
    say("\nfor your own images:")
    for line in next_command().splitlines():
        say(f"  {line}")


def _to_dict(made: Demo) -> dict[str, object]:
    return {
        "page": str(made.page),
        "model": str(made.model),
        "seconds": made.seconds,
        "metrics": made.evaluation.metrics,
        "photographs": {
            seen.photograph.name: {
                "objects": len(seen.result),
                "right": seen.right,
                "true": seen.true,
            }
            for seen in made.photographs
        },
    }
