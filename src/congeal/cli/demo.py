"""``congeal demo``: everything once, on drawn images and on photographs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from congeal.cli.options import Json, Output

__all__ = ["demo"]


def demo(
    output: Output = Path("congeal-demo"),
    minutes: Annotated[
        float, typer.Option(help="Time to train, in minutes.", min=0.01, metavar="N")
    ] = 4.0,
    seed: Annotated[int, typer.Option(help="Seed of the drawings and the training.")] = 0,
    as_json: Json = False,
) -> None:
    """Draw sticks, train on them, segment others and photographs, and write a page: minutes."""
    raise NotImplementedError
