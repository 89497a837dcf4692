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
    plural,
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
        help="Folder with images/ and masks/, folder of a published dataset, COCO JSON, arrays, or "
        "the name of a dataset (NAME=FOLDER: its location).",
        metavar="DATA",
    ),
]
Split = Annotated[
    str, typer.Option(help="Split of the data: train, val, test or all.", metavar="NAME")
]


def data(context: typer.Context, as_json: Json = False) -> None:
    """List, describe, check and preview datasets."""
    if context.invoked_subcommand is None:
        list_datasets(as_json)


def list_datasets(as_json: Json = False) -> None:
    """List the named datasets, and whether each is on this machine."""
    from congeal.data.registry import DATASETS, is_available

    rows = [(entry, is_available(entry.name)) for entry in DATASETS.values()]
    if as_json:
        show_json([{**_facts(entry), "available": available} for entry, available in rows])
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("name", "description", "licence", "protocol", "available"):
        table.add_column(title, overflow="fold", no_wrap=title == "name")
    for entry, available in rows:
        cells = (entry.description, entry.licence, entry.protocol, "yes" if available else "no")
        table.add_row(entry.name, *cells)
    show(table)
    say("details: congeal data info NAME (a folder or a COCO JSON file works too)")


def info(
    where: Where,
    number: Annotated[
        int,
        typer.Option(
            "--count", "-n", help="Images to read per split, evenly spaced.", min=1, metavar="N"
        ),
    ] = 64,
    as_json: Json = False,
) -> None:
    """Describe a dataset: licence, source, protocol, and the objects of each split."""
    from congeal.data.check import NO_OBJECTS
    from congeal.data.layouts import candidate_folders
    from congeal.data.registry import DATASETS, is_available, split_spec

    name, folder = split_spec(where)
    named = DATASETS.get(name)
    available = named is None or folder is not None or is_available(name)
    datasets = _open_splits(where) if available else {}
    surveys = {split: _survey(dataset, number) for split, dataset in datasets.items()}
    folders = [str(path.resolve()) for path in ([folder] if folder else candidate_folders(name))]
    if as_json:
        located = {"folders": folders} if named else {}
        facts = {**located, **(_facts(named) if named else {"name": where}), **_measures(datasets)}
        show_json({**facts, "splits": {split: one.to_dict() for split, one in surveys.items()}})
        return
    if named:
        say(f"{named.name}: {named.description}")
        say(f"licence {named.licence}, source {named.source}")
    if folders:
        existing = [folder for folder in folders if available and Path(folder).exists()]
        say(f"found in {existing[0]}" if existing else f"searched in {', '.join(folders)}")
    if not available:
        say(
            "not found: download it from its source, then set CONGEAL_DATA to its parent folder "
            f"or give its location as {name}=FOLDER"
        )
    for dataset in list(datasets.values())[:1]:
        others = "".join(f", {protocol}" for protocol in dataset.other_protocols)
        classes = f"; {len(dataset.class_names) - 1} classes" if dataset.class_names else ""
        say(f"protocol {dataset.protocol}{others}{classes}")
    for split, one in surveys.items():
        region = NO_OBJECTS.get(datasets[split].protocol)
        _say_survey(split, one, region or "object")
        for line in class_lines(one.classes, one.without_class, regions=region is not None):
            say(f"       {line}")


def check(where: Where, split: Split = "all", as_json: Json = False) -> None:
    """Check every image and mask, and suggest fixes (exit code 1 if there are problems)."""
    from congeal.data.check import check_spec

    with make_progress() as progress:
        task = progress.add_task("checking", total=None)

        def report(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        findings = check_spec(where, split, report)
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
        summary = count(len(problems), "problem") if problems else "no problems"
        say_note(f"{count(findings.images, 'image')}, {summary}")
    if problems:
        raise typer.Exit(PARTLY)


def preview(
    where: Where,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File to write; default: NAME.png.", metavar="FILE"),
    ] = None,
    split: Split = "all",
    number: Annotated[
        int,
        typer.Option("--count", "-n", help="Number of images, evenly spaced.", min=1, metavar="N"),
    ] = 12,
    augment: Annotated[
        str | None,
        typer.Option(
            help="Add three random draws of this augmentation to each image: default, "
            "kong2018, hwang2019, yuan2020 or debrabandere2017.",
            metavar="NAME",
        ),
    ] = None,
) -> None:
    """Draw a contact sheet: images with their objects overlaid."""
    from congeal.data.registry import open_dataset, split_channels, split_spec
    from congeal.figures.plots import contact_sheet

    channels = split_channels(where)[1]
    dataset = open_dataset(where, split, channels=channels or "all")
    stem = (Path(split_spec(where)[0]).stem or "data").replace(":", "-")
    pictures = _pictures(dataset, number, augment)
    path = contact_sheet(pictures, output or Path(f"{stem}.png"))
    say(f"{count(min(number, len(dataset)), 'image')} of {len(dataset):,}: {path}")


def _pictures(dataset: Dataset, number: int, augment: str | None) -> list[tuple[str, Any]]:
    """Titles and pictures of evenly spaced images, each with three draws of the augmentation."""
    shown = min(number, len(dataset))
    if not shown:
        raise CongealError(f"expected images to preview, found none in {dataset!r}")
    samples = [dataset[index * len(dataset) // shown] for index in range(shown)]
    if augment is None:
        return [_picture(sample.name, sample.image, sample.labels) for sample in samples]
    from congeal.data.augment import build_augmentation
    from congeal.data.augmented_examples import example_draws

    augmentation = build_augmentation(augment)
    return [
        _picture(f"{augment} {draw}" if draw else sample.name, image, labels)
        for seed, sample in enumerate(samples)
        for draw, (image, labels) in enumerate(
            [(sample.image, sample.labels), *example_draws(sample, augmentation, 3, seed=seed)]
        )
    ]


def _picture(title: str, image: Any, labels: Any) -> tuple[str, Any]:
    from congeal.figures.colour import overlay

    return f"{title} ({_count_objects(labels)})", overlay(image, labels)


def _open_splits(where: str) -> dict[str, Dataset]:
    """Open every split that is not empty."""
    from congeal.data.registry import dataset_splits, open_dataset, split_channels

    channels = split_channels(where)[1]
    opened = {
        split: open_dataset(where, split, channels=channels or "all")
        for split in dataset_splits(where)
    }
    return {split: dataset for split, dataset in opened.items() if len(dataset)}


def _survey(dataset: Dataset, number: int) -> Survey:
    from congeal.data.survey import survey

    with make_progress() as progress:
        task = progress.add_task(f"reading {dataset.split}", total=None)

        def report(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        return survey(dataset, number, report)


def _say_survey(split: str, found: Survey, noun: str) -> None:
    """Print the statistics of a split, with a histogram of areas.

    Args:
        split: name of the split.
        found: its statistics.
        noun: what a label of its label maps is: object, class or segment.
    """
    sizes = list(found.sizes)
    more = f" and {count(len(sizes) - 1, 'other size')}" if len(sizes) > 1 else ""
    subset = "" if found.images_read == found.images else f" ({found.images_read} read)"
    say(f"{split:>5}: {count(found.images, 'image')}{subset}, {sizes[0]}{more} {found.types[0]}")
    per_image = found.to_dict()["objects_per_image"]
    if per_image["min"] == per_image["max"]:
        say(f"       {count(per_image['max'], noun)} per image")
    else:
        numbers = f"{per_image['min']:,} to {per_image['max']:,}"
        say(f"       {numbers} {plural(noun, 2)} per image, {per_image['mean']:.4g} on average")
    pieces = f"{found.broken:,} of {count(sum(found.counts), noun)} in several pieces; "
    # A class or a segment may lie anywhere: only for objects are pieces worth a look.
    say(f"       {pieces if noun == 'object' else ''}{100 * found.void:.3g} % void")
    rows = found.histogram()
    highest = max((number for *_, number in rows), default=1)
    for low, high, number in rows:
        bar = "#" * max(1, round(40 * number / highest))
        say(f"       {f'{low}-{high}':>15} pixels {number:>7}  {bar}")


def class_lines(
    classes: dict[str, int], without_class: int, *, regions: bool = False, shown: int = 20
) -> list[str]:
    """Format the number of objects per class, in descending order, and of objects without class.

    Args:
        classes: number of objects by class name; without classes the result is empty.
        without_class: number of objects without a class.
        regions: whether the data has no instances, so that ``classes`` counts images instead.
        shown: maximum number of classes to name.

    Example:
        >>> class_lines({"disc": 3, "square": 4}, 1)
        ['objects of 2 classes: square 4, disc 3', '1 object without a class']
    """
    if not classes:
        return []
    ordered = sorted(classes.items(), key=lambda item: -item[1])
    named = ", ".join(f"{one_line(name)} {number:,}" for name, number in ordered[:shown])
    more = f" and {len(classes) - shown} more" if len(classes) > shown else ""
    counted = "images with each" if regions else "objects"
    noun = "class" if len(classes) == 1 else "classes"
    lines = [f"{counted} of {len(classes)} {noun}: {named}{more}"]
    return [*lines, f"{count(without_class, 'object')} without a class"] if without_class else lines


def _count_objects(labels: Any) -> int:
    import numpy as np

    return len(np.unique(labels[labels > 0]))


def _measures(datasets: dict[str, Dataset]) -> dict[str, Any]:
    """Protocols and classes, which are the same in every split."""
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
        "description": entry.description,
        "licence": entry.licence,
        "source": entry.source,
        "protocol": entry.protocol,
    }
