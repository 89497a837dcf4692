"""``congeal index``: the images in the prototype index of a model, such as one of SegSort."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from congeal.cli.options import Device, Json
from congeal.cli.terminal import count, make_progress, say, show, show_json

if TYPE_CHECKING:
    from congeal.methods.index import IndexedImage

__all__ = ["index"]


def index(
    model: Annotated[str, typer.Argument(help="Model folder.", metavar="MODEL")],
    add: Annotated[
        list[str] | None,
        typer.Option(
            help="Dataset whose images are added; they replace images of the same name.",
            metavar="DATA",
        ),
    ] = None,
    drop: Annotated[
        list[str] | None,
        typer.Option(help="Name of an image to remove.", metavar="NAME"),
    ] = None,
    split: Annotated[
        str, typer.Option(help="Split of the data that is added.", metavar="NAME")
    ] = "all",
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """List the images of a model's index; add or remove images without training.

    The change affects the predictions of the model at once.
    """
    with make_progress() as progress:
        task = progress.add_task("reading the index", total=None)

        from congeal.models.index import edit_index

        def show_progress(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total, description="adding images")

        rows = edit_index(
            model,
            add=add or (),
            drop=drop or (),
            split=split,
            device=device,
            on_image=show_progress,
        )
    if as_json:
        show_json({"model": model, **_totals(rows), "index": [vars(row) for row in rows]})
    else:
        _print_rows(rows)


def _totals(rows: Sequence[IndexedImage]) -> dict[str, int]:
    return {
        "images": len(rows),
        "segments": sum(row.segments for row in rows),
        "classes": len({class_id for row in rows for class_id in row.classes}),
        "bytes": sum(row.bytes for row in rows),
    }


def _print_rows(rows: Sequence[IndexedImage]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("image", "segments", "classes", "bytes"):
        table.add_column(title, overflow="fold", justify="left" if title == "image" else "right")
    for row in rows:
        classes = " ".join(map(str, row.classes))
        table.add_row(row.name, str(row.segments), classes, str(row.bytes))
    if rows:
        show(table)
    totals = _totals(rows)
    say(
        f"{count(totals['images'], 'image')}, {count(totals['segments'], 'segment')}, "
        f"{totals['classes']} classes, {totals['bytes']} bytes"
    )
