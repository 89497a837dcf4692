"""``congeal evaluate``: the scores of a model on a dataset."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from congeal.cli.options import Device, Json, Set, parse_settings
from congeal.cli.terminal import make_progress, say, say_note, show, show_json

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from congeal.evaluation import Evaluation

__all__ = ["default_folder", "evaluate"]


_Model: TypeAlias = Annotated[
    str, typer.Argument(help="Model folder, or the name of a shipped model.", metavar="MODEL")
]
_Data: TypeAlias = Annotated[
    str,
    typer.Argument(
        help="Folder of images/ and masks/, COCO JSON, or a dataset by name.", metavar="DATA"
    ),
]
_Protocol: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--protocol",
        "-p",
        help="How to measure, such as coco or bsds-boundaries; list shows all of them. Left out: "
        "the protocol that belongs to the data.",
        metavar="NAME",
    ),
]
_Split: TypeAlias = Annotated[
    str | None,
    typer.Option(
        help="Part of the data: test, val, train or all. Left out: test where there is one, "
        "else val.",
        metavar="NAME",
    ),
]
_Folder: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        help="Folder for evaluation.json and report.html; left out: evaluation/MODEL-DATA-SPLIT, "
        "-PROTOCOL where one is named, and a number for the rest of what was asked.",
        metavar="FOLDER",
    ),
]
_Threshold: TypeAlias = Annotated[
    list[float] | None,
    typer.Option(
        "--threshold",
        "-t",
        help="IoU from which an object counts as found; give it several times for several. "
        "Left out: those of the protocol, of matching .5 to .9.",
        metavar="IOU",
    ),
]
_Measure: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--measure",
        help="Change a setting of the protocol, such as classes=21, where the data does not tell "
        "it. Give it several times for several.",
        metavar="NAME=VALUE",
    ),
]
_Quick: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--quick", help="Of bsds-boundaries: a quick estimate with a tenth of the thresholds."
    ),
]
_Limit: TypeAlias = Annotated[
    int | None, typer.Option(help="Only the first so many images.", metavar="N")
]
_Report: TypeAlias = Annotated[
    bool, typer.Option(help="Write the page with the worst images first.")
]
_PixelSize: TypeAlias = Annotated[
    float | None,
    typer.Option(
        "--pixel-size",
        help="Micrometres per pixel of the images, which are resized to that of the training. "
        "Left out: what a TIFF tells.",
        metavar="UM",
    ),
]
_TrueClasses: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--true-classes",
        help="Tell the model the true class of every pixel, so that its grouping alone is "
        "measured (AP_gt); for models that can be told.",
    ),
]


def evaluate(
    model: _Model,
    data: _Data,
    protocol: _Protocol = None,
    split: _Split = None,
    output: _Folder = None,
    threshold: _Threshold = None,
    measure: _Measure = None,
    quick: _Quick = False,
    limit: _Limit = None,
    report: _Report = True,
    true_classes: _TrueClasses = False,
    pixel_size: _PixelSize = None,
    set_: Set = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Compare what a model finds with the true objects of a dataset.

    Prints a table and leaves evaluation.json and report.html. With two label volumes (or maps),
    as TIFF or Zarr, in place of MODEL and DATA, their objects are matched in 3-D.
    """
    if protocol == "list":
        _list_protocols(as_json)
        return
    if _is_label_file(model):
        _score_labels(model, data, output, threshold, as_json)
        return
    given: dict[str, Any] = {} if not threshold else {"thresholds": threshold}
    given |= {"settings": parse_settings(set_), "measure": parse_settings(measure, "--measure")}
    given |= {"protocol": protocol, "quick": quick, "limit": limit}
    given |= {"true_classes": true_classes, "pixel_size": pixel_size}
    with make_progress() as progress:
        task = progress.add_task("evaluating", total=None)
        from congeal.data.registry import held_out_split  # takes its time

        part = held_out_split(data) if split is None else split
        folder = default_folder(model, data, part, given) if output is None else output
        given |= {"split": part, "output": folder, "device": device, "report": report}
        found = _evaluate(progress, task, model, data, **given)
    if as_json:
        show_json({"output": str(folder), **found.to_dict()})
        return
    show(found.table())
    for note in found.notes:
        _note(note)
    say(f"scores: {folder / 'evaluation.json'}")
    if report:
        say(f"report: {folder / 'report.html'}")


def _is_label_file(model: str) -> bool:
    """Whether labels were named in place of a model; without reading what takes a while."""
    return Path(model).suffix.lower() in (".tif", ".tiff", ".zarr")


def _score_labels(
    found: str, truth: str, output: Path | None, thresholds: list[float] | None, as_json: bool
) -> None:
    """Score label volumes; nothing is written without an output folder."""
    from congeal.evaluation.volumes import evaluate_volumes

    scores = evaluate_volumes(found, truth, thresholds=thresholds or None)
    if output is not None:
        scores.save(output, report=False)
    if as_json:
        show_json(scores.to_dict())
        return
    show(scores.table())
    if output is not None:
        say(f"scores: {output / 'evaluation.json'}")


def _evaluate(
    progress: Progress, task: TaskID, model: str, data: str, **options: Any
) -> Evaluation:
    """Evaluate behind a progress bar."""
    from congeal import evaluation

    said = ""

    def tell(done: int, total: int, row: object = None) -> None:
        nonlocal said
        text = "learning prototypes" if row is None else "evaluating"
        if text != said:  # its time counts from here
            progress.reset(task, total=total, description=text)
            said = text
        progress.update(task, completed=done)
        if row is not None and done == total:  # the page takes a while
            progress.update(task, visible=False)
            progress.add_task("writing the results", total=None)

    return evaluation.evaluate(model, data, on_image=tell, on_memory=tell, on_note=_note, **options)


def _note(line: str) -> None:
    say_note(f"note: {line}")


def _list_protocols(as_json: bool) -> None:
    """Show every protocol with what it needs of the data."""
    from congeal.metrics.protocols import PROTOCOLS, TRUTHS

    fields = ("name", "title", "truth", "headline", "source")
    rows = [{name: getattr(one, name) for name in fields} for one in PROTOCOLS.values()]
    if as_json:
        show_json(rows)
        return
    from rich.table import Table

    table = Table("protocol", "what it measures", "needs of the images")
    for row in rows:
        table.add_row(row["name"], row["title"], TRUTHS[row["truth"]])
    show(table)


def default_folder(model: str, data: str, split: str, asked: Mapping[str, Any]) -> Path:
    """Name a folder after what is evaluated and how, so that one evaluation keeps off another.

    The same question has the same folder. What names leave out, such as where a model lies, the
    thresholds and other settings, is in the six digits at the end.
    """
    protocol = asked.get("protocol")
    parts = [Path(model).resolve().name, _data_name(data), split, *([protocol] if protocol else [])]
    whole = [_place(model), _place(data), split, {k: v for k, v in asked.items() if v}]
    code = json.dumps(whole, sort_keys=True, default=str)
    parts.append(hashlib.sha256(code.encode("utf-8", "surrogateescape")).hexdigest()[:6])
    return Path("evaluation") / "-".join(re.sub(r"[^\w.]+", "_", part) for part in parts)


def _data_name(data: str) -> str:
    path = Path(data)
    return path.stem if path.is_file() else path.name or path.resolve().name


def _place(name: str) -> str:
    """Give the whole path of a file or folder, and a name of a dataset or model as it is."""
    return str(Path(name).resolve()) if Path(name).exists() else name
