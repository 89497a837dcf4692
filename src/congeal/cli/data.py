"""``congeal data``: list, describe, check and preview datasets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from congeal.cli.group import PARTLY
from congeal.cli.options import Json
from congeal.cli.terminal import (
    count,
    make_progress,
    one_line,
    say,
    say_note,
    show,
    show_json,
)
from congeal.errors import CongealError

if TYPE_CHECKING:
    from congeal.data.registry import DatasetInfo
    from congeal.data.sample import Dataset

__all__ = ["check", "data", "info", "list_datasets", "preview"]

Where = Annotated[
    str,
    typer.Argument(
        help="Folder of images/ and masks/, COCO JSON, or a dataset by name.", metavar="DATA"
    ),
]
Split = Annotated[str, typer.Option(help="Part of the data: train, val, test, all.")]


def data(context: typer.Context, as_json: Json = False) -> None:
    """List, describe, check and preview datasets."""
    if context.invoked_subcommand is None:
        list_datasets(as_json)


def list_datasets(as_json: Json = False) -> None:
    """List the datasets that have a name, and whether they are here."""
    from congeal.data.registry import DATASETS

    rows = [(entry, _is_here(entry.name)) for entry in DATASETS.values()]
    if as_json:
        show_json([{**_facts(entry), "here": here} for entry, here in rows])
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("name", "what", "licence", "here"):
        table.add_column(title, overflow="fold")
    for entry, here in rows:
        table.add_row(entry.name, entry.what, entry.licence, "yes" if here else "no")
    show(table)
    say("congeal data info NAME says more; a folder or COCO JSON does wherever a name does")


def info(where: Where, as_json: Json = False) -> None:
    """Say what a dataset is: images and objects of each split, licence, source."""
    from congeal.data.registry import DATASETS

    named = DATASETS.get(where)
    splits = _splits(where)
    if as_json:
        show_json({**(_facts(named) if named else {"name": where}), "splits": splits})
        return
    if named:
        say(f"{named.name}: {named.what}")
        say(f"licence {named.licence}, from {named.source}")
    if not splits:
        say("not here: set CONGEAL_DATA to the folder that holds it")
    for name, facts in splits.items():
        say(
            f"{name:>5}: {count(facts['images'], 'image')}, the first {facts['size']} "
            f"{facts['type']} with {count(facts['objects'], 'object')}"
        )


def check(where: Where, split: Split = "all", as_json: Json = False) -> None:
    """Read every image and mask and name what is wrong (exit code 1 when something is)."""
    from congeal.data.check import check_dataset
    from congeal.data.registry import open_dataset

    dataset = open_dataset(where, split)
    with make_progress() as progress:
        task = progress.add_task("checking", total=None)

        def tell(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        problems = [one_line(problem) for problem in check_dataset(dataset, tell)]
    if as_json:
        show_json({"images": len(dataset), "problems": problems})
    else:
        for problem in problems:
            say(problem)
        found = count(len(problems), "problem") if problems else "no problems"
        say_note(f"{count(len(dataset), 'image')}, {found}")
    if problems:
        raise typer.Exit(PARTLY)


def preview(
    where: Where,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File to write; left out: NAME.png.", metavar="FILE"),
    ] = None,
    split: Split = "all",
    number: Annotated[
        int, typer.Option("--count", "-n", help="How many images, evenly spread.", min=1)
    ] = 12,
) -> None:
    """Draw images with their objects on one sheet."""
    from congeal.data.registry import open_dataset
    from congeal.figures.plots import contact_sheet

    dataset = open_dataset(where, split)
    stem = (Path(where).stem or "data").replace(":", "-")
    path = contact_sheet(_pictures(dataset, number), output or Path(f"{stem}.png"))
    say(f"{count(min(number, len(dataset)), 'image')} of {len(dataset):,}: {path}")


def _pictures(dataset: Dataset, number: int) -> list[tuple[str, Any]]:
    from congeal.figures.colour import overlay

    wanted = min(number, len(dataset))
    if not wanted:
        raise CongealError(f"expected images to preview, found none in {dataset!r}")
    samples = [dataset[index * len(dataset) // wanted] for index in range(wanted)]
    return [
        (f"{sample.name} ({_objects(sample.labels)})", overlay(sample.image, sample.labels))
        for sample in samples
    ]


def _splits(where: str) -> dict[str, dict[str, Any]]:
    """Look at each split that is there; a pack that is not here has none."""
    from congeal.data.registry import DATASETS, open_dataset

    if where in DATASETS and not _is_here(where):
        return {}
    found = {}
    for split in ("train", "val", "test"):
        try:
            dataset = open_dataset(where, split)
        except CongealError:
            if split == "test":
                continue
            raise
        if len(dataset):
            found[split] = _describe(dataset)
    return found


def _describe(dataset: Dataset) -> dict[str, Any]:
    sample = dataset[0]
    height, width, channels = sample.image.shape
    return {
        "images": len(dataset),
        "size": f"{height} x {width} x {channels}",
        "type": str(sample.image.dtype),
        "objects": _objects(sample.labels),
    }


def _objects(labels: Any) -> int:
    import numpy as np

    return len(np.unique(labels[labels > 0]))


def _is_here(name: str) -> bool:
    from congeal.data.packs import PACKS, data_root

    return name not in PACKS or (data_root() / PACKS[name].folder).is_dir()


def _facts(entry: DatasetInfo) -> dict[str, str]:
    return {
        "name": entry.name,
        "what": entry.what,
        "licence": entry.licence,
        "source": entry.source,
        "protocol": entry.protocol,
    }
