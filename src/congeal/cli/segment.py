"""``congeal segment``: images to label maps and other files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from congeal.cli.group import PARTLY, Stopped
from congeal.cli.options import Device, Json, Output, Set, parse_channels, parse_settings
from congeal.cli.terminal import count, make_progress, say, say_error, say_note, show_json
from congeal.cli.tiles import (
    Axes,
    Block,
    Dask,
    Merge,
    Overlap,
    Plane,
    Processes,
    Seams,
    Tile,
    refuse_file_options,
    refuse_zarr,
    segment_zarr_image,
)
from congeal.errors import CongealError

if TYPE_CHECKING:
    from congeal.prediction import FileOutcome, SegmentRun

__all__ = ["segment", "split_model"]

_Arguments: TypeAlias = Annotated[
    list[str],
    typer.Argument(
        metavar="[MODEL] IMAGES",
        help="Model folder or name (default: the shipped model), then images, folders of "
        "images, or patterns such as 'scans/*.tif'.",
    ),
]
_Model: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--model", "-m", help="The model; then all arguments are images.", metavar="MODEL"
    ),
]
_Format: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--format",
        "-f",
        help="Output format: labels, tiff, overlay, coco, csv, rois (Fiji), geojson "
        "(QuPath), semantic, boundary, probabilities, ucm (contour map), or cityscapes (for its "
        "benchmark); depends on the model. Repeat for several. Default: overlay, and labels, "
        "semantic, boundary or (proposals) coco.",
        metavar="NAME",
    ),
]
_Overwrite: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--overwrite",
        help="Replace existing results; needed if the model or a setting changed. "
        "Files that congeal.jsonl does not list are never replaced.",
    ),
]
_Table: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--table",
        help="Also write objects.csv, a table of all images, and a table per image (csv).",
    ),
]
_Coco: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--coco",
        help="Also write coco.json, a COCO document of all images with their file names, and a "
        "document per image (coco).",
    ),
]
_Channels: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--channels",
        help="Channels of the images to use, from 0, in this order, such as 0,2,1. Default: "
        "those of the training, for most models gray or RGB.",
        metavar="LIST",
        rich_help_panel="Channels and units",
    ),
]
_Stack: TypeAlias = Annotated[
    str,
    typer.Option(
        "--stack",
        help="Files of several pages: error; planes or time (each page is an image NAME_z001 or "
        "NAME_t001, and so on); or volume (all planes are one volume with objects in 3-D).",
        metavar="NAME",
        rich_help_panel="Stacks and volumes",
    ),
]
_Stitch: TypeAlias = Annotated[
    float,
    typer.Option(
        "--stitch",
        help="For volumes: minimum IoU to match objects of neighbouring planes.",
        metavar="IOU",
        rich_help_panel="Stacks and volumes",
    ),
]
_PlaneDistance: TypeAlias = Annotated[
    float | None,
    typer.Option(
        "--plane-distance",
        help="For volumes: micrometres between planes. Default: that of a TIFF.",
        metavar="UM",
        rich_help_panel="Stacks and volumes",
    ),
]
_PixelSize: TypeAlias = Annotated[
    float | None,
    typer.Option(
        "--pixel-size",
        help="Micrometres per pixel: images are resized to that of the training; stored in label "
        "TIFFs and tables. Default: that of a TIFF.",
        metavar="UM",
        rich_help_panel="Channels and units",
    ),
]
_Explain: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--explain",
        help="Show the most similar training segments of each segment: a sheet per image and a "
        "page, in the folder explanations. For models with an index (congeal index).",
    ),
]
_Units: TypeAlias = Annotated[
    str,
    typer.Option(
        "--units",
        help="Units of tables: px, or um (micrometres).",
        metavar="NAME",
        rich_help_panel="Channels and units",
    ),
]


def segment(
    arguments: _Arguments,
    model: _Model = None,
    output: Output = Path("segmented"),
    format_: _Format = None,
    overwrite: _Overwrite = False,
    table: _Table = False,
    coco: _Coco = False,
    channels: _Channels = None,
    stack: _Stack = "error",
    stitch: _Stitch = 0.25,
    pixel_size: _PixelSize = None,
    plane_distance: _PlaneDistance = None,
    units: _Units = "px",
    set_: Set = None,
    device: Device = "auto",
    explain: _Explain = False,
    tile: Tile = None,
    overlap: Overlap = None,
    seam_report: Seams = False,
    processes: Processes = 1,
    dask: Dask = None,
    block: Block = None,
    merge: Merge = False,
    plane: Plane = None,
    axes: Axes = None,
    as_json: Json = False,
) -> None:
    """Find the objects of images and write them as files.

    Results are named after their images. Existing results are skipped, so the same command resumes
    an interrupted one, and several commands may write to one folder. Broken images are reported,
    and the others are segmented (exit code 1).
    """
    chosen, images = split_model(arguments, model)
    options: dict[str, Any] = {"tile": tile, "overlap": overlap, "processes": processes}
    options |= {"dask": dask, "block": block, "merge": merge, "overwrite": overwrite}
    options |= {"channels": parse_channels(channels), "pixel_size": pixel_size, "device": device}
    options |= {"settings": parse_settings(set_), "stack": stack, "stitch": stitch, "units": units}
    options |= {"formats": None if format_ is None else tuple(format_)}
    options |= {"plane_distance": plane_distance}
    files: dict[str, Any] = {"table": table, "coco": coco, "seam_report": seam_report}
    if output.suffix == ".zarr":
        refuse_file_options({**files, "explain": explain})
        segment_zarr_image(chosen, images, output, plane, axes, as_json, options)
        return
    refuse_zarr(images, plane, axes)
    run = _run(chosen, images, output, **files, **options)
    page = None
    if block is not None and not run.failed:
        say_note(f"tiles of part {block} of each large image are done; then --merge")
    elif explain and block is None:
        page = _explain(run, chosen, device, channels, set_, pixel_size)
    if block is None or as_json:
        _tell(run, page, as_json)
    if run.failed:
        raise typer.Exit(PARTLY)


def split_model(arguments: list[str], model: str | None) -> tuple[str | None, list[str]]:
    """Separate the model, if one is named, from the images.

    Raises:
        CongealError: the first argument is neither, or no image is left.
    """
    if model is not None:
        return model, arguments
    first, rest = arguments[0], arguments[1:]
    if _is_model(first, alone=not rest):
        if not rest:
            raise CongealError(f"expected images after the model {first}, got none")
        return first, rest
    if rest and _means_a_model(first):
        from congeal.models.shipped import locate

        locate(first)  # raises, with the nearest name
    return None, arguments


def _is_model(text: str, *, alone: bool) -> bool:
    from congeal.models.config import CONFIG, WEIGHTS
    from congeal.models.shipped import DEFAULT_MODEL, list_models

    path = Path(text)
    if (path / CONFIG).is_file() or path.name in {CONFIG, WEIGHTS}:
        return True
    shipped = {DEFAULT_MODEL, *(info.name for info in list_models())}
    return text in shipped and not (path.is_file() or (alone and path.is_dir()))


def _means_a_model(text: str) -> bool:
    """Whether a word that is no file looks like the name of a model."""
    path = Path(text)
    return not (path.exists() or path.suffix or len(path.parts) > 1 or set(text) & set("*?["))


def _run(model: str | None, images: list[str], output: Path, **options: Any) -> SegmentRun:
    finished = 0
    with make_progress() as progress:
        task = progress.add_task("segmenting", total=None)
        from congeal.prediction import input_files, segment_files

        total = len(input_files(images, output, options["stack"]))
        progress.reset(task, total=total)  # its time counts from here

        def tell(outcome: FileOutcome) -> None:
            nonlocal finished
            finished += outcome.state == "done"
            progress.advance(task)
            if outcome.state == "failed":
                named = str(outcome.path) in outcome.message
                say_error(outcome.message if named else f"{outcome.path}: {outcome.message}")

        try:
            return segment_files(model, images, output, on_file=tell, **options)
        except KeyboardInterrupt:
            raise Stopped(
                f"stopped: {finished} of {count(total, 'image')} segmented into {output}; "
                "the same command goes on from there"
            ) from None


def _explain(
    run: SegmentRun,
    model: str | None,
    device: str,
    channels: str | None,
    settings: list[str] | None,
    pixel_size: float | None,
) -> Path | None:
    """Explain the images that have results; None where there is none."""
    from congeal.models.shipped import DEFAULT_MODEL
    from congeal.prediction.explaining import explain_files

    good = [file.path for file in run.files if file.good]
    if not good:
        return None
    return explain_files(
        model or DEFAULT_MODEL,
        good,
        run.output,
        device=device,
        settings=parse_settings(settings),
        channels=parse_channels(channels),
        pixel_size=pixel_size,
    )


def _tell(run: SegmentRun, page: Path | None, as_json: bool) -> None:
    if as_json:
        show_json({**_to_dict(run), **({"explanations": str(page)} if page else {})})
        return
    _summarise(run)
    if page:
        say(f"explanations: {page}")


def _summarise(run: SegmentRun) -> None:
    counts = [file.objects for file in run.files if file.objects is not None]
    found = [count(sum(counts), "object")] if counts or not run.done else []
    say(", ".join([f"{count(len(run.done), 'image')} segmented", *found, f"in {run.output}"]))
    if run.skipped:
        say(f"{count(len(run.skipped), 'image')} skipped: done before (--overwrite to redo)")
    for path in run.tables:
        say(f"all images: {path}")
    for note in run.notes:
        say_note(f"note: {note}")
    for path, why in run.stale[:3]:
        say_note(f"note: {path}: {why}")
    if len(run.stale) > 3:
        say_note(f"note: and {len(run.stale) - 3} more of this kind")
    if run.failed:
        say_note(f"{count(len(run.failed), 'image')} failed")


def _to_dict(run: SegmentRun) -> dict[str, Any]:
    return {
        "output": str(run.output),
        "done": len(run.done),
        "skipped": len(run.skipped),
        "failed": len(run.failed),
        "tables": [str(path) for path in run.tables],
        "notes": run.notes,
        "files": [
            {
                "path": str(file.path),
                "state": file.state,
                "message": file.message,
                "objects": file.objects,
                "seconds": file.seconds,
                "files": [str(path) for path in file.files],
            }
            for file in run.files
        ],
    }
