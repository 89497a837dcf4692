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
    from congeal.data.catalogue import DatasetInfo
    from congeal.data.sample import Dataset
    from congeal.data.survey import Survey

__all__ = ["check", "data", "info", "list_datasets", "preview"]

Where = Annotated[
    str,
    typer.Argument(
        help="Folder of images/ and masks/, or of a published dataset; COCO JSON; arrays; or a "
        "dataset by name, NAME=FOLDER for one that lies elsewhere.",
        metavar="DATA",
    ),
]
Split = Annotated[
    str, typer.Option(help="Part of the data: train, val, test, all.", metavar="NAME")
]


def data(context: typer.Context, as_json: Json = False) -> None:
    """List, describe, check and preview datasets."""
    if context.invoked_subcommand is None:
        list_datasets(as_json)


def list_datasets(as_json: Json = False) -> None:
    """List the datasets that have a name, and whether they are here."""
    from congeal.data.registry import DATASETS, is_here

    rows = [(entry, is_here(entry.name)) for entry in DATASETS.values()]
    if as_json:
        show_json([{**_facts(entry), "here": here} for entry, here in rows])
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("name", "what", "licence", "protocol", "here"):
        table.add_column(title, overflow="fold", no_wrap=title == "name")
    for entry, here in rows:
        words = (entry.what, entry.licence, entry.protocol, "yes" if here else "no")
        table.add_row(entry.name, *words)
    show(table)
    say("more: congeal data info NAME; a folder or COCO JSON may stand for a name")


def info(
    where: Where,
    number: Annotated[
        int,
        typer.Option("--count", "-n", help="Images to look at in each split.", min=1, metavar="N"),
    ] = 64,
    as_json: Json = False,
) -> None:
    """Say what a dataset is and holds: terms, source, sizes and objects of each split."""
    from congeal.data.check import NO_OBJECTS
    from congeal.data.layouts import find_places
    from congeal.data.registry import DATASETS, is_here, split_spec

    name, folder = split_spec(where)
    named = DATASETS.get(name)
    here = named is None or folder is not None or is_here(name)
    datasets = _open_splits(where) if here else {}
    found = {split: _survey(dataset, number) for split, dataset in datasets.items()}
    folders = [str(path.resolve()) for path in ([folder] if folder else find_places(name))]
    if as_json:
        places = {"folders": folders} if named else {}
        facts = {**places, **(_facts(named) if named else {"name": where}), **_measures(datasets)}
        show_json({**facts, "splits": {split: one.to_dict() for split, one in found.items()}})
        return
    if named:
        say(f"{named.name}: {named.what}")
        say(f"licence {named.licence}, from {named.source}")
    if folders:
        lying = [place for place in folders if here and Path(place).exists()]
        say(f"found in {lying[0]}" if lying else f"looked for in {', '.join(folders)}")
    if not here:
        say(
            "not here: get it from its source, then set CONGEAL_DATA to the folder that holds it "
            f"or write {name}=FOLDER"
        )
    for dataset in list(datasets.values())[:1]:
        others = "".join(f", {protocol}" for protocol in dataset.other_protocols)
        classes = f"; {len(dataset.class_names) - 1} classes" if dataset.class_names else ""
        say(f"judged by {dataset.protocol}{others}{classes}")
    for split, one in found.items():
        _say_survey(split, one)
        regions = datasets[split].protocol in NO_OBJECTS
        for line in class_lines(one.classes, one.without_class, regions=regions):
            say(f"       {line}")


def check(where: Where, split: Split = "all", as_json: Json = False) -> None:
    """Read every image and mask, name what is wrong and what to do (exit code 1 for problems)."""
    from congeal.data.check import check_spec

    with make_progress() as progress:
        task = progress.add_task("checking", total=None)

        def tell(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        findings = check_spec(where, split, tell)
    problems = [one_line(problem) for problem in findings.problems]
    if as_json:
        show_json(
            {
                "images": findings.images,
                "problems": problems,
                "notes": findings.notes,
                "objects_per_class": findings.classes,
                "without_class": findings.without_class,
            }
        )
    else:
        for problem in problems:
            say(problem)
        counted = (findings.classes, findings.without_class)
        for line in class_lines(*counted, regions=findings.regions):
            say_note(line)
        for note in findings.notes:
            say_note(f"note: {one_line(note)}")
        found = count(len(problems), "problem") if problems else "no problems"
        say_note(f"{count(findings.images, 'image')}, {found}")
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
        int,
        typer.Option("--count", "-n", help="How many images, evenly spread.", min=1, metavar="N"),
    ] = 12,
    augment: Annotated[
        str | None,
        typer.Option(
            help="Show each image as this augmentation draws it, three times: default, "
            "kong2018, hwang2019, yuan2020 or debrabandere2017.",
            metavar="NAME",
        ),
    ] = None,
) -> None:
    """Draw images with their objects on one sheet."""
    from congeal.data.registry import open_dataset, split_channels, split_spec
    from congeal.figures.plots import contact_sheet

    told = split_channels(where)[1]
    dataset = open_dataset(where, split, channels=told or "all")
    stem = (Path(split_spec(where)[0]).stem or "data").replace(":", "-")
    pictures = _pictures(dataset, number, augment)
    path = contact_sheet(pictures, output or Path(f"{stem}.png"))
    say(f"{count(min(number, len(dataset)), 'image')} of {len(dataset):,}: {path}")


def _pictures(dataset: Dataset, number: int, augment: str | None) -> list[tuple[str, Any]]:
    """Titles and pictures; with an augmentation its draws stand beside each image."""
    wanted = min(number, len(dataset))
    if not wanted:
        raise CongealError(f"expected images to preview, found none in {dataset!r}")
    samples = [dataset[index * len(dataset) // wanted] for index in range(wanted)]
    if augment is None:
        return [_picture(sample.name, sample.image, sample.labels) for sample in samples]
    from congeal.data.augment import build_augmentation, example_draws

    drawn = build_augmentation(augment)
    return [
        _picture(f"{augment} {place}" if place else sample.name, image, labels)
        for number, sample in enumerate(samples)
        for place, (image, labels) in enumerate(
            [(sample.image, sample.labels), *example_draws(sample, drawn, 3, seed=number)]
        )
    ]


def _picture(title: str, image: Any, labels: Any) -> tuple[str, Any]:
    from congeal.figures.colour import overlay

    return f"{title} ({_objects(labels)})", overlay(image, labels)


def _open_splits(where: str) -> dict[str, Dataset]:
    """Open each split that has any image."""
    from congeal.data.registry import dataset_splits, open_dataset, split_channels

    told = split_channels(where)[1]
    opened = {
        split: open_dataset(where, split, channels=told or "all") for split in dataset_splits(where)
    }
    return {split: dataset for split, dataset in opened.items() if len(dataset)}


def _survey(dataset: Dataset, number: int) -> Survey:
    from congeal.data.survey import survey

    with make_progress() as progress:
        task = progress.add_task(f"looking at {dataset.split}", total=None)

        def tell(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        return survey(dataset, number, tell)


def _say_survey(split: str, found: Survey) -> None:
    """Say the numbers of a split, and draw the sizes of its objects."""
    sizes = list(found.sizes)
    more = f" and {count(len(sizes) - 1, 'other size')}" if len(sizes) > 1 else ""
    seen = "" if found.looked_at == found.images else f" ({found.looked_at} looked at)"
    say(f"{split:>5}: {count(found.images, 'image')}{seen}, {sizes[0]}{more} {found.types[0]}")
    spread = found.to_dict()["objects_per_image"]
    if spread["min"] == spread["max"]:
        say(f"       {count(spread['max'], 'object')} per image")
    else:
        numbers = f"{spread['min']:,} to {spread['max']:,}"
        say(f"       {numbers} objects per image, {spread['mean']:.4g} on average")
    pieces = f"{found.broken:,} of {count(sum(found.counts), 'object')} in several pieces"
    say(f"       {pieces}; {100 * found.void:.3g} % void")
    rows = found.histogram()
    most = max((number for *_, number in rows), default=1)
    for low, high, number in rows:
        bar = "#" * max(1, round(40 * number / most))
        say(f"       {f'{low}-{high}':>15} pixels {number:>7}  {bar}")


def class_lines(
    classes: dict[str, int], without: int, *, regions: bool = False, shown: int = 20
) -> list[str]:
    """Say how many objects each class has, the most frequent ones first, and how many have none.

    Args:
        classes: objects by name of their class; nothing is said when empty.
        without: objects without a class.
        regions: whether there are no objects, so that images with the class were counted.
        shown: classes to name at most.

    Example:
        >>> class_lines({"disc": 3, "square": 4}, 1)
        ['objects of 2 classes: square 4, disc 3', '1 object without a class']
    """
    if not classes:
        return []
    ordered = sorted(classes.items(), key=lambda one: -one[1])
    named = ", ".join(f"{one_line(name)} {number:,}" for name, number in ordered[:shown])
    more = f" and {len(classes) - shown} more" if len(classes) > shown else ""
    counted = "images with each" if regions else "objects"
    what = "class" if len(classes) == 1 else "classes"
    lines = [f"{counted} of {len(classes)} {what}: {named}{more}"]
    return [*lines, f"{count(without, 'object')} without a class"] if without else lines


def _objects(labels: Any) -> int:
    import numpy as np

    return len(np.unique(labels[labels > 0]))


def _measures(datasets: dict[str, Dataset]) -> dict[str, Any]:
    """Protocols and classes, the same in every split."""
    for dataset in datasets.values():
        return {
            "protocol": dataset.protocol,
            "other_protocols": list(dataset.other_protocols),
            "classes": list(dataset.class_names),
        }
    return {}


def _facts(entry: DatasetInfo) -> dict[str, str]:
    return {
        "name": entry.name,
        "what": entry.what,
        "licence": entry.licence,
        "source": entry.source,
        "protocol": entry.protocol,
    }
