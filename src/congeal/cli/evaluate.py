"""``congeal evaluate``: the scores of a model on a dataset."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from congeal.cli.options import Data, Device, Json, Model, Set, parse_settings
from congeal.cli.terminal import make_progress, say, say_warning, show, show_json

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from congeal.evaluation import Evaluation

__all__ = ["default_output", "evaluate"]


_Protocol: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--protocol",
        "-p",
        help="Evaluation protocol, such as coco or bsds-boundaries; list prints all of them. "
        "Default: that of the data.",
        metavar="NAME",
    ),
]
_Split: TypeAlias = Annotated[
    str | None,
    typer.Option(
        help="Split of the data: test, val, train or all. Default: test if there is one, else val.",
        metavar="NAME",
    ),
]
_Folder: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        help="Folder for evaluation.json and report.html. Default: "
        "evaluation/MODEL-DATA-SPLIT-HASH, with the protocol if one is given; the hash is of all "
        "options.",
        metavar="FOLDER",
    ),
]
_Threshold: TypeAlias = Annotated[
    list[float] | None,
    typer.Option(
        "--threshold",
        "-t",
        help="IoU threshold of a match; repeat for several. Default: those of the protocol; of "
        "matching .5 to .9.",
        metavar="IOU",
    ),
]
_Measure: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--measure",
        help="Setting of the protocol, such as classes=21, that the data does not define. Repeat "
        "for several.",
        metavar="NAME=VALUE",
    ),
]
_Quick: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--quick", help="For bsds-boundaries: an estimate with a tenth of the thresholds."
    ),
]
_Limit: TypeAlias = Annotated[
    int | None, typer.Option(help="Evaluate the first N images only.", metavar="N")
]
_Report: TypeAlias = Annotated[
    bool, typer.Option(help="Write report.html, with the worst images first.")
]
_PixelSize: TypeAlias = Annotated[
    float | None,
    typer.Option(
        "--pixel-size",
        help="Micrometres per pixel of the images, which are resized to that of the training. "
        "Default: that of a TIFF.",
        metavar="UM",
    ),
]
_TrueClasses: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--true-classes",
        help="Give the model the ground truth class of every pixel, to evaluate its grouping "
        "alone (AP_gt); for methods that support it.",
    ),
]


def evaluate(
    model: Model,
    data: Data,
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
    """Evaluate a model on a dataset with ground truth.

    Prints a table of scores and writes evaluation.json and report.html. With two label volumes
    (or maps), as TIFF or Zarr, in place of MODEL and DATA, their objects are matched in 3-D.
    """
    if protocol == "list":
        _list_protocols(as_json)
        return
    if _is_label_file(model):
        _score_labels(model, data, output, threshold, as_json)
        return
    options: dict[str, Any] = {} if not threshold else {"thresholds": threshold}
    options |= {"settings": parse_settings(set_), "measure": parse_settings(measure, "--measure")}
    options |= {"protocol": protocol, "quick": quick, "limit": limit}
    options |= {"true_classes": true_classes, "pixel_size": pixel_size}
    with make_progress() as progress:
        task = progress.add_task("evaluating", total=None)
        from congeal.data.registry import held_out_split  # slow to import

        part = held_out_split(data) if split is None else split
        folder = default_output(model, data, part, options) if output is None else output
        options |= {"split": part, "output": folder, "device": device, "report": report}
        result = _evaluate(progress, task, model, data, **options)
    if as_json:
        show_json({"output": str(folder), **result.to_dict()})
        return
    show(result.table())
    for note in result.notes:
        say_warning(note)
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
    """Evaluate with a progress bar."""
    from congeal import evaluation

    phase = ""

    def show_progress(done: int, total: int, row: object = None) -> None:
        nonlocal phase
        current = "learning prototypes" if row is None else "evaluating"
        if current != phase:  # the remaining time is estimated from here
            progress.reset(task, total=total, description=current)
            phase = current
        progress.update(task, completed=done)
        if row is not None and done == total:
            progress.update(task, visible=False)
            progress.add_task("writing the results", total=None)

    return evaluation.evaluate(
        model,
        data,
        on_image=show_progress,
        on_memory=show_progress,
        on_note=say_warning,
        **options,
    )


def _list_protocols(as_json: bool) -> None:
    """Print all protocols with the ground truth that they need."""
    from congeal.metrics.protocols import PROTOCOLS, TRUTHS

    fields = ("name", "title", "truth", "headline", "source")
    rows = [{name: getattr(protocol, name) for name in fields} for protocol in PROTOCOLS.values()]
    if as_json:
        show_json(rows)
        return
    from rich.table import Table

    table = Table("protocol", "what it measures", "ground truth")
    for row in rows:
        table.add_row(row["name"], row["title"], TRUTHS[row["truth"]])
    show(table)


def default_output(model: str, data: str, split: str, options: Mapping[str, Any]) -> Path:
    """Output folder of an evaluation: the same for the same options, and different for others.

    Args:
        model: model folder or name.
        data: dataset.
        split: split of the dataset.
        options: all other options.

    Returns:
        ``evaluation/MODEL-DATA-SPLIT[-PROTOCOL]-HASH``. The hash has six digits and covers paths
        and options.
    """
    protocol = options.get("protocol")
    parts = [Path(model).resolve().name, _data_name(data), split, *([protocol] if protocol else [])]
    given = {name: value for name, value in options.items() if value}
    key = json.dumps(
        [_full_name(model), _full_name(data), split, given], sort_keys=True, default=str
    )
    parts.append(hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:6])
    return Path("evaluation") / "-".join(re.sub(r"[^\w.]+", "_", part) for part in parts)


def _data_name(data: str) -> str:
    path = Path(data)
    return path.stem if path.is_file() else path.name or path.resolve().name


def _full_name(name: str) -> str:
    """The absolute path of a file or folder; the name of a dataset or model unchanged."""
    return str(Path(name).resolve()) if Path(name).exists() else name
