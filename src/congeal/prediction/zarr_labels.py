"""Labels of a Zarr image, written as OME-Zarr block by block, with coarser copies."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from congeal.data.zarr_images import ZarrImage, open_zarr_image
from congeal.errors import CongealError
from congeal.files import lock_folder
from congeal.prediction.blocks import load_block
from congeal.prediction.executors import choose_executor
from congeal.prediction.late import LateModel
from congeal.prediction.ledger import Ledger
from congeal.prediction.maker import ANOTHER, ELSEWHERE, Maker
from congeal.prediction.seams import join_blocks
from congeal.prediction.single import Model
from congeal.prediction.stitching import paint_labels
from congeal.prediction.tile_work import TileSource, TileWork, parse_part
from congeal.prediction.tiled import Tiling
from congeal.segmentation.scale import Scale

__all__ = ["segment_zarr"]

CHUNK = 1024  # pixels of a side
COARSEST = 512  # pixels: no copy is smaller than half of it
NAME = "congeal"
OWN = {"zarr.json", "labels"}  # what a store of labels has in it


def segment_zarr(
    model: Model,
    image: str | Path,
    output: str | Path,
    *,
    overwrite: bool = False,
    device: str = "auto",
    settings: Mapping[str, Any] | None = None,
    channels: Sequence[int] | None = None,
    plane: Mapping[str, int] | None = None,
    axes: str | None = None,
    pixel_size: float | None = None,
    tile: int | None = None,
    overlap: int | None = None,
    processes: int = 1,
    dask: str | None = None,
    block: str | None = None,
    merge: bool = False,
) -> int | None:
    """Segment an image of Zarr into a label image of OME-Zarr, ``labels/congeal`` in ``output``.

    Neither the image nor the labels are ever held whole. A run that was stopped goes on from its
    tiles, which lie in ``OUTPUT.tiles`` until the labels are written.

    Args:
        model: a model, its folder, or the name of a shipped one.
        image: as for :func:`congeal.data.zarr_images.open_zarr_image`.
        output: name of the store, ``.zarr``.
        overwrite: replace a store that is there.
        device: where a model given by path or name runs.
        settings: of the decoding of a model given by path or name.
        channels: which channels of the image to take, from 0, in this order.
        plane: which plane of a stack to take, such as ``{"z": 4}``.
        axes: of an array that tells none.
        pixel_size: micrometres per pixel; what the image tells when None.
        tile: side of the tiles in pixels.
        overlap: of neighbouring tiles in pixels.
        processes: that compute the tiles on this machine.
        dask: address of the scheduler of a Dask cluster that computes them.
        block: ``"i/n"``: compute part i of n of the tiles, and write no labels.
        merge: write the labels of tiles that are there, and compute none.

    Returns:
        How many objects there are; None where only a part of the tiles was wanted.

    Raises:
        CongealError: the store is there already (with ``overwrite``: something that is no store
            of labels), or as for :func:`congeal.segment`.
    """
    output, given = Path(output), Path(image).absolute()
    if output.resolve() in (given.resolve(), *given.resolve().parents):
        raise CongealError(f"expected another name for --output than that of the image, {output}")
    _refuse_to_replace(output, overwrite)
    Scale(pixel_size)
    read = partial(open_zarr_image, given, channels, plane, axes)
    tiling, shown = Tiling(tile, overlap), read()
    maker = Maker.of(model, {**(settings or {}), **tiling.facts()})
    key = {**maker.facts(), "image": str(given), "modified": given.stat().st_mtime_ns}
    key |= {"plane": plane, "channels": channels, "axes": shown.axes, "size": shown.shape}
    part = parse_part(block)
    folder = output.with_name(f"{output.name}.tiles")
    work = TileWork(folder, tiling, choose_executor(processes, dask), part, merge)
    late = LateModel(model, device, settings)
    source = TileSource("image", read, key if maker.model else None)
    with work.ledger(late, shown, source) as ledger:
        work.compute(late, shown, source, ledger)
        if part is not None:
            return None
        with lock_folder(folder, wait=True):
            _refuse_to_replace(output, overwrite)  # another run may have been first
            count = _write(output, ledger, shown, pixel_size or shown.pixel_size)
    work.forget("image")
    return count


def _refuse_to_replace(output: Path, overwrite: bool) -> None:
    """Refuse to replace anything, unless asked to, and what is no store of labels in any case."""
    if os.path.lexists(output) and not overwrite:
        raise CongealError(f"expected no file at {output}, there is one: {ELSEWHERE}")
    strange = {path.name for path in output.iterdir()} - OWN if output.is_dir() else {output.name}
    labels = output / "labels"
    if labels.is_dir():
        strange |= {path.name for path in labels.iterdir()} - {NAME, "zarr.json"}
    if os.path.lexists(output) and strange:
        raise CongealError(
            f"expected labels of an earlier run in {output}, which --overwrite would remove with "
            f"all that is in it, found {min(strange)}: {ANOTHER}"
        )


def _write(output: Path, ledger: Ledger, image: ZarrImage, pixel_size: float | None) -> int:
    """Write the store beside its place, and move it there."""
    import zarr

    temporary = output.with_name(f".{output.name}.part")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        root = zarr.open_group(str(temporary), mode="w", zarr_format=3)
        root.attrs["ome"] = {"version": "0.5"}
        labels = root.create_group("labels")
        labels.attrs["ome"] = {"version": "0.5", "labels": [NAME]}
        group = labels.create_group(NAME)
        count = _paint(_level(group, 0, ledger.plan.size), ledger)
        levels = _pyramid(group)
        group.attrs["ome"] = _metadata(levels, image, pixel_size)
        shutil.rmtree(output, ignore_errors=True)
        os.replace(temporary, output)
    except OSError as error:
        raise CongealError(f"cannot write {output}: {error.strerror or error}") from error
    return count


def _level(group: Any, number: int, size: tuple[int, int]) -> Any:
    chunks = tuple(min(side, CHUNK) for side in size)
    return group.create_array(
        str(number), shape=size, chunks=chunks, dtype="uint32", dimension_names=("y", "x")
    )


def _paint(canvas: Any, ledger: Ledger) -> int:
    """Paint the objects, or of a model that gives none the classes of the pixels."""
    folder, plan = ledger.folder, ledger.plan
    if load_block(folder, 0).has_objects:
        return len(paint_labels(folder, plan, join_blocks(folder, plan)[0], canvas))
    for block in plan.blocks:
        semantic = load_block(folder, block.number).maps.get("semantic")
        if semantic is None:
            raise CongealError("expected a model that gives objects or classes, for Zarr labels")
        canvas[block.core.slices] = semantic
    return 0


def _pyramid(group: Any) -> int:
    """Write coarser copies, of every second pixel; how many levels there are."""
    number = 0
    while max(group[str(number)].shape) > COARSEST:
        fine = group[str(number)]
        height, width = (-(-side // 2) for side in fine.shape)
        coarse = _level(group, number + 1, (height, width))
        for top in range(0, height, CHUNK):
            rows = fine[2 * top : 2 * (top + CHUNK) : 2]
            coarse[top : top + CHUNK] = rows[:, ::2]
        number += 1
    return number + 1


def _metadata(levels: int, image: ZarrImage, pixel_size: float | None) -> dict[str, Any]:
    unit = {} if pixel_size is None else {"unit": "micrometer"}
    side = 1.0 if pixel_size is None else pixel_size
    datasets = [
        {
            "path": str(level),
            "coordinateTransformations": [{"type": "scale", "scale": [side * 2**level] * 2}],
        }
        for level in range(levels)
    ]
    axes = [{"name": axis, "type": "space", **unit} for axis in "yx"]
    return {
        "version": "0.5",
        "multiscales": [{"name": NAME, "axes": axes, "datasets": datasets}],
        "image-label": {"source": {"image": np.str_(image.where).item()}},
    }
