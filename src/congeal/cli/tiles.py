"""Options of ``congeal segment`` for large images and Zarr."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from congeal.cli.terminal import count, say, say_note, show_json
from congeal.errors import CongealError

__all__ = [
    "Axes",
    "Block",
    "Dask",
    "Merge",
    "Overlap",
    "Plane",
    "Processes",
    "Seams",
    "Tile",
    "refuse_file_options",
    "refuse_zarr",
    "segment_zarr_image",
]

LARGE = "Images of any size"  # panel of the help

Tile: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--tile",
        help="Side of the tiles of larger images, in pixels. Default: no tiles for images that "
        "fit in memory, else tiles of at most 2,048.",
        metavar="PX",
        rich_help_panel=LARGE,
    ),
]
Overlap: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--overlap",
        help="Overlap of neighbouring tiles in pixels, more than the diameter of most objects. "
        "Default: four times the median diameter, at least 256, at most half a tile.",
        metavar="PX",
        rich_help_panel=LARGE,
    ),
]
Seams: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--seam-report",
        help="Report on objects at tile edges: numbers and a picture per image, in the folder "
        "seams.",
        rich_help_panel=LARGE,
    ),
]
Processes: TypeAlias = Annotated[
    int,
    typer.Option(
        "--processes",
        help="Processes that compute the tiles of an image.",
        metavar="NUMBER",
        rich_help_panel=LARGE,
    ),
]
Dask: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--dask",
        help="A Dask cluster that computes the tiles, by its scheduler, such as "
        "tcp://10.0.0.1:8786. Its workers need the same folders.",
        metavar="ADDRESS",
        rich_help_panel=LARGE,
    ),
]
Block: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--block",
        help="For job arrays: compute part I of N of the tiles, without results.",
        metavar="I/N",
        rich_help_panel=LARGE,
    ),
]
Merge: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--merge",
        help="Write the results of computed tiles, without computing any.",
        rich_help_panel=LARGE,
    ),
]
Plane: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--plane",
        help="For stacks with --output NAME.zarr: the plane to segment, such as t=0,z=4.",
        metavar="LIST",
        rich_help_panel=LARGE,
    ),
]
Axes: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--axes",
        help="Axes of a Zarr array without metadata, one letter each, such as zyx.",
        metavar="LETTERS",
        rich_help_panel=LARGE,
    ),
]


def segment_zarr_image(
    model: str | None,
    images: list[str],
    output: Path,
    plane: str | None,
    axes: str | None,
    as_json: bool,
    options: dict[str, Any],
) -> None:
    """Segment one Zarr image into a Zarr store.

    Raises:
        CongealError: there are several images, or segmenting raises it.
    """
    from congeal.data.zarr_images import parse_plane
    from congeal.models.shipped import DEFAULT_MODEL
    from congeal.prediction.zarr_labels import segment_zarr

    if len(images) != 1:
        raise CongealError(f"expected one image for the store {output}, got {len(images)}")
    found = segment_zarr(
        model or DEFAULT_MODEL,
        images[0],
        output,
        plane=parse_plane(plane),
        axes=axes,
        on_note=lambda line: say_note(f"note: {line}"),
        **options,
    )
    if as_json:
        show_json({"output": str(output), "objects": found})
    elif found is None:
        say_note(f"tiles of part {options['block']} are done; then --merge")
    else:
        say(f"{count(found, 'object')}, in {output}")


def refuse_file_options(given: dict[str, Any]) -> None:
    """Refuse options for files where the output is a Zarr store.

    Raises:
        CongealError: one is given.
    """
    names = ["--" + name.replace("_", "-") for name, value in given.items() if value]
    if names:
        raise CongealError(
            f"expected a folder as --output for {' and '.join(names)}, got a store of Zarr, which "
            "goes with --format csv"
        )


def refuse_zarr(images: list[str], plane: str | None, axes: str | None) -> None:
    """Refuse a Zarr image where the output is a folder of files.

    Raises:
        CongealError: one is there, or an option that only Zarr has.
    """
    from congeal.data.zarr_images import is_zarr

    zarr = next((image for image in images if is_zarr(image)), None)
    if zarr is not None or plane or axes:
        reason = f"for {zarr}" if zarr else f"with {'--plane' if plane else '--axes'}"
        raise CongealError(f"expected --output NAME.zarr {reason}")
