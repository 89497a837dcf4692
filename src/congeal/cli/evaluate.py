"""``congeal evaluate``: the scores of a model on a dataset."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from congeal.cli.options import Device, Json, Set, parse_settings
from congeal.cli.terminal import make_progress, say, show, show_json

if TYPE_CHECKING:
    from congeal.evaluation import Evaluation

__all__ = ["default_folder", "evaluate"]


def evaluate(
    model: Annotated[str, typer.Argument(help="Model folder, or the name of a shipped model.")],
    data: Annotated[
        str, typer.Argument(help="Folder of images/ and masks/, COCO JSON, or a dataset by name.")
    ],
    split: Annotated[
        str | None,
        typer.Option(
            help="Part of the data: test, val, train or all. Left out: test where there is one, "
            "else val.",
            metavar="NAME",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder for evaluation.json and report.html; left out: "
            "evaluation/MODEL-DATA-SPLIT.",
            metavar="FOLDER",
        ),
    ] = None,
    threshold: Annotated[
        list[float] | None,
        typer.Option(
            "--threshold",
            "-t",
            help="IoU from which an object counts as found; give it several times for several. "
            "Left out: .5 to .9.",
            metavar="IOU",
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Only the first so many images.", metavar="N")
    ] = None,
    report: Annotated[
        bool, typer.Option(help="Write the page with the worst images first.")
    ] = True,
    set_: Set = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Compare what a model finds with the true objects of a dataset.

    Prints a table and leaves evaluation.json and report.html.
    """
    from congeal.data.registry import held_out_split

    part = held_out_split(data) if split is None else split
    folder = default_folder(model, data, part) if output is None else output
    given: dict[str, Any] = {} if not threshold else {"thresholds": threshold}
    given["settings"] = parse_settings(set_)
    found = _evaluate(
        model, data, split=part, output=folder, limit=limit, report=report, device=device, **given
    )
    if as_json:
        show_json({"output": str(folder), **found.to_dict()})
        return
    show(found.table())
    say(f"scores: {folder / 'evaluation.json'}")
    if report:
        say(f"report: {folder / 'report.html'}")


def _evaluate(model: str, data: str, **options: Any) -> Evaluation:
    """Evaluate behind a progress bar."""
    from congeal import evaluation

    with make_progress() as progress:
        task = progress.add_task("evaluating", total=None)

        def tell(done: int, total: int, row: object) -> None:
            progress.update(task, completed=done, total=total)

        return evaluation.evaluate(model, data, on_image=tell, **options)


def default_folder(model: str, data: str, split: str) -> Path:
    """Name a folder after what is evaluated, so that one evaluation keeps off another."""
    parts = [Path(model).resolve().name, Path(data).stem or Path(data).resolve().name, split]
    return Path("evaluation") / "-".join(re.sub(r"[^\w.]+", "_", part) for part in parts)
