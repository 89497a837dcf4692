"""``congeal demo``: training, evaluation and segmentation on drawn images and on photographs."""

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
    minutes: Annotated[
        float, typer.Option(help="Length of the training in minutes.", metavar="N")
    ] = 6.5,
    seed: Annotated[
        int, typer.Option(help="Seed of the drawings and the training.", min=0, metavar="N")
    ] = 0,
    images: Annotated[int, typer.Option(help="Number of test images.", min=1, metavar="N")] = 64,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Train and evaluate on drawn images, segment photographs, and write a page.

    Draws sticks that cross each other, trains on them, evaluates the model on other drawings, and
    segments photographs with the shipped model. Nothing is downloaded.
    """
    from congeal.demo import run_demo

    with _evaluation_bar(images) as on_image:
        result = run_demo(
            output,
            minutes=minutes,
            seed=seed,
            images=images,
            device=device,
            on_stage=say_note,
            on_image=on_image,
        )
    if result is None:
        raise Stopped
    if as_json:
        show_json(_to_dict(result))
    else:
        _print_result(result)


@contextmanager
def _evaluation_bar(images: int) -> Iterator[Callable[[int, int, object], None]]:
    """Show a bar during the evaluation only; the training has a bar of its own."""
    progress = make_progress()
    task = progress.add_task("evaluating", total=images, start=False)

    def on_image(done: int, total: int, row: object) -> None:
        if done == 1:
            progress.start()
            progress.start_task(task)  # the minutes of training are not part of it
        progress.update(task, completed=done)
        if done == total:
            progress.stop()

    try:
        yield on_image
    finally:
        progress.stop()


def _print_result(result: Demo) -> None:
    from congeal.demo.page import next_command

    metrics = result.evaluation.metrics
    say(
        f"sticks: {metrics['matching_ap@0.5']:.3f} AP at IoU .5, "
        f"{metrics['recall@0.5']:.0%} of {metrics['objects']:.0f} objects found in test drawings"
    )
    for segmented in result.photographs:
        say(f"{segmented.photograph.name}: {segmented.verdict}")
    if not result.photographs:
        say("photographs: left out, because this copy of congeal has no shipped model")
    say(f"took {result.seconds / 60:.1f} minutes")
    say(f"\npage: {result.page}")
    say("\nfor your own images:")
    for line in next_command().splitlines():
        say(f"  {line}")


def _to_dict(result: Demo) -> dict[str, object]:
    return {
        "page": str(result.page),
        "model": str(result.model),
        "seconds": result.seconds,
        "metrics": result.evaluation.metrics,
        "photographs": {
            segmented.photograph.name: {
                "objects": len(segmented.result),
                "right": segmented.right,
                "true": segmented.true,
            }
            for segmented in result.photographs
        },
    }
