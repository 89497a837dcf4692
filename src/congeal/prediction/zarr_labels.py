"""Labels of a Zarr image or volume, written as OME-Zarr part by part."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from congeal.data.zarr_images import ZarrImage, open_zarr_image, open_zarr_planes
from congeal.errors import CongealError
from congeal.files import atomic_path, lock_folder
from congeal.models.pixel_size import (
    UNITS_ONLY,
    resize_factor,
    resize_note,
    trained_pixel_size,
)
from congeal.prediction.blocks import load_block
from congeal.prediction.executors import choose_executor
from congeal.prediction.lazy_model import LazyModel
from congeal.prediction.ledger import Ledger
from congeal.prediction.provenance import Provenance
from congeal.prediction.reading import Reading
from congeal.prediction.seams import Joined, join_blocks
from congeal.prediction.single import Model
from congeal.prediction.stitching import paint_labels, stitch
from congeal.prediction.tile_work import TileSource, TileWork, parse_part
from congeal.prediction.tiled import Tiling, restore_size
from congeal.prediction.volume import check_objects
from congeal.prediction.zarr_store import CHUNK, Levels, refuse_to_replace, write_store
from congeal.prediction.zarr_table import measure_windows, refuse_table, table_path
from congeal.segmentation.formats import FORMATS, write_table
from congeal.segmentation.planes import PlaneStitcher
from congeal.segmentation.resize import resize_labels
from congeal.segmentation.scale import Scale
from congeal.segmentation.volume import VoxelSize, pool_scores, weigh_scores, write_volume_table
from congeal.segmentation.voxels import VoxelTally

__all__ = ["ZARR_FORMATS", "check_zarr_formats", "segment_zarr"]

ZARR_FORMATS = ("labels", "csv")
"""What can be written of a Zarr image: the store of labels, and beside it a table."""


def segment_zarr(
    model: Model,
    image: str | Path,
    output: str | Path,
    *,
    formats: Sequence[str] | None = None,
    overwrite: bool = False,
    device: str = "auto",
    settings: Mapping[str, Any] | None = None,
    channels: Sequence[int] | None = None,
    plane: Mapping[str, int] | None = None,
    axes: str | None = None,
    stack: str = "error",
    stitch: float = 0.25,
    pixel_size: float | None = None,
    plane_distance: float | None = None,
    units: str = "px",
    tile: int | None = None,
    overlap: int | None = None,
    processes: int = 1,
    dask: str | None = None,
    block: str | None = None,
    merge: bool = False,
    on_note: Callable[[str], None] = lambda line: None,
) -> int | None:
    """Segment an image of Zarr into a label image of OME-Zarr, ``labels/congeal`` in ``output``.

    Neither the image nor the labels are ever held whole; of a volume, a few planes of labels are.
    A run that was stopped goes on from its tiles, which lie in ``OUTPUT.tiles`` until the labels
    are written.

    Args:
        model: a model, its folder, or the name of a shipped one.
        image: as for :func:`congeal.data.zarr_images.open_zarr_image`.
        output: name of the store, ``.zarr``.
        formats: ``"labels"``, the store, which is always written, and ``"csv"``, a table of the
            objects beside it, ``OUTPUT_objects.csv``.
        overwrite: replace a store that is there.
        device: where a model given by path or name runs.
        settings: of the decoding of a model given by path or name.
        channels: which channels of the image to take, from 0, in this order.
        plane: which plane of a stack to take, such as ``{"z": 4}``.
        axes: of an array that tells none.
        stack: ``"volume"``: segment all planes along z, and join their objects from plane to plane
            into a label volume; ``"error"``: one plane.
        stitch: overlap (IoU) from which objects of neighbouring planes of a volume are joined.
        pixel_size: micrometres per pixel; what the image tells when None. As for
            :func:`congeal.segment`, the image is resized to the size of the training.
        plane_distance: micrometres between planes of a volume; what the image tells when None.
        units: of the table: ``"px"``, or ``"um"`` where the size of a pixel is known.
        tile: side of the tiles in pixels.
        overlap: of neighbouring tiles in pixels.
        processes: that compute the tiles on this machine.
        dask: address of the scheduler of a Dask cluster that computes them.
        block: ``"i/n"``: compute part i of n of the tiles, and write no labels.
        merge: write the labels of tiles that are there, and compute none.
        on_note: called with what a user should know, such as that the image was resized, a line
            each.

    Returns:
        How many objects there are; None where only a part of the tiles was wanted.

    Raises:
        CongealError: the store is there already (with ``overwrite``: something that is no store
            of labels), or as for :func:`congeal.segment`.
    """
    output, given = Path(output), Path(image).absolute()
    if output.resolve() in (given.resolve(), *given.resolve().parents):
        raise CongealError(f"expected another name for --output than that of the image, {output}")
    table = table_path(output) if "csv" in check_zarr_formats(formats, stack) else None
    chosen = None if channels is None else tuple(channels)
    reading = Reading(chosen, stack, pixel_size, units, stitch, plane_distance)
    refuse, deep = partial(_refuse, output, table, overwrite), stack == "volume"
    refuse()
    planes = open_zarr_planes(given, channels, plane, axes) if deep else []
    planes = planes or [open_zarr_image(given, channels, plane, axes)]
    tiling, part = Tiling(tile, overlap), parse_part(block)
    folder = output.with_name(f"{output.name}.tiles")
    work = TileWork(folder, tiling, choose_executor(processes, dask), part, merge)
    lazy = LazyModel(model, device, settings)
    size = _voxel_size(planes[0], reading, given)
    factor = resize_factor(lazy.get(), size.scale.pixel_size)
    note = resize_note(factor, trained_pixel_size(lazy.get()), pixel_size)
    if note:
        on_note(note if note == UNITS_ONLY else f"image {note}")
    provenance = Provenance.of(model, {**(settings or {}), **tiling.facts()})
    sources = [_source(given, one, provenance, factor, deep) for one in planes]
    with ExitStack() as opened:
        parts = _compute(work, lazy, planes, sources, opened)
        if part is not None:
            return None
        fill = partial(_write_volume, parts, stitch) if deep else partial(_write_image, parts[0])
        with lock_folder(folder, wait=True):
            refuse()  # another run may have been first
            count = write_store(output, partial(fill, size, table))
    for source in sources:
        work.forget(source.name)
    return count


def _compute(
    work: TileWork,
    lazy: LazyModel,
    planes: Sequence[ZarrImage],
    sources: Sequence[TileSource],
    opened: ExitStack,
) -> list[_Part]:
    """Compute the tiles of all planes; their ledgers stay open as long as the stack."""
    parts = []
    for plane, source in zip(planes, sources, strict=True):
        shown = source.resized(plane)
        ledger = opened.enter_context(work.ledger(lazy, shown, source))
        parts.append(_Part(plane, source, shown, ledger))
    work.compute_all(lazy, [(one.shown, one.source, one.ledger) for one in parts])
    return parts


def _refuse(output: Path, table: Path | None, overwrite: bool) -> None:
    refuse_to_replace(output, overwrite)
    if table is not None:
        refuse_table(table, overwrite)


def check_zarr_formats(formats: Sequence[str] | None, stack: str = "error") -> tuple[str, ...]:
    """Refuse what cannot be written of Zarr.

    Raises:
        CongealError: a format is for files, or a stack is to be taken apart.

    Example:
        >>> check_zarr_formats(["csv"])
        ('csv',)
    """
    kinds = tuple(formats or ())
    for name in kinds:
        if name not in ZARR_FORMATS:
            known = "which goes to a folder of files" if name in FORMATS else "which is no format"
            wanted = " or ".join(ZARR_FORMATS)
            raise CongealError(
                f"expected --format {wanted} for a store of Zarr, got {name}, {known}"
            )
    if stack not in ("error", "volume"):
        raise CongealError(
            f"expected --stack volume for a store of Zarr, or one plane by --plane, got {stack}"
        )
    return kinds


@dataclass(frozen=True)
class _Part:
    """A plane with its tiles."""

    image: ZarrImage
    source: TileSource
    shown: Any
    ledger: Ledger

    @property
    def size(self) -> tuple[int, int]:
        return self.image.shape[:2]


def _source(
    path: Path, image: ZarrImage, provenance: Provenance, factor: float, deep: bool
) -> TileSource:
    key = {**provenance.facts(), "image": str(path), "modified": path.stat().st_mtime_ns}
    key |= {"plane": dict(image.plane), "channels": image.channels, "axes": image.axes}
    key |= {"size": image.shape} | ({} if factor == 1 else {"resized": factor})
    read = partial(open_zarr_image, path, image.channels, image.plane, image.axes)
    name = f"z{image.plane['z'] + 1:04d}" if deep else "image"
    return TileSource(name, read, key if provenance.model else None, factor)


def _voxel_size(image: ZarrImage, reading: Reading, path: Path) -> VoxelSize:
    known = image.pixel_size if reading.pixel_size is None else reading.pixel_size
    far = image.plane_distance if reading.plane_distance is None else reading.plane_distance
    try:
        deep = reading.stack == "volume"
        return VoxelSize(Scale(known, reading.units), far if deep else far or 1.0)
    except CongealError as error:
        raise CongealError(f"{path}: {error}") from error


def _write_image(part: _Part, size: VoxelSize, table: Path | None, group: Any) -> int:
    levels = Levels(group, part.size)
    objects = _paint(levels.finest, part)
    levels.coarsen()
    side = size.scale.pixel_size
    group.attrs["ome"] = levels.metadata(part.image.where, [side, side])
    if table is not None:
        if objects is None:
            raise CongealError("expected a model of objects for --format csv, got one of classes")
        rows = measure_windows(
            levels.finest, part.image, objects, _class_names(part.ledger), size.scale
        )
        write_table(table, rows, part.image.shape[2], Path(part.image.where).name)
    return 0 if objects is None else len(objects)


def _class_names(ledger: Ledger) -> tuple[str, ...]:
    blocks = range(len(ledger.plan.blocks))
    return max((load_block(ledger.folder, number).class_names for number in blocks), key=len)


def _paint(canvas: Any, part: _Part) -> list[Joined] | None:
    """Paint the objects, or of a model that gives none the classes of the pixels."""
    plan = part.ledger.plan
    if plan.size == part.size:
        return _paint_shown(canvas, part.ledger)
    import zarr

    with tempfile.TemporaryDirectory(prefix="congeal-") as folder:
        chunks = (min(plan.size[0], CHUNK), min(plan.size[1], CHUNK))
        shown = zarr.create_array(folder, shape=plan.size, chunks=chunks, dtype="uint32")
        objects = _paint_shown(shown, part.ledger)
        there = np.zeros(1 + (0 if objects is None else len(objects)), bool)
        for window in _windows(part.size):
            labels = resize_labels(shown, part.size, window)
            canvas[window] = labels
            there[np.unique(labels)] = objects is not None
    there[0] = False
    if objects is None or there[1:].all():
        return objects
    numbers = np.where(there, there.cumsum(), 0)  # some are too small to have a pixel left
    for window in _windows(part.size):
        canvas[window] = numbers[np.asarray(canvas[window])]
    return [one for one, kept in zip(objects, there[1:], strict=True) if kept]


def _windows(size: tuple[int, int]) -> list[tuple[slice, slice]]:
    spans = [
        [slice(start, min(start + CHUNK, side)) for start in range(0, side, CHUNK)] for side in size
    ]
    return [(rows, columns) for rows in spans[0] for columns in spans[1]]


def _paint_shown(canvas: Any, ledger: Ledger) -> list[Joined] | None:
    folder, plan = ledger.folder, ledger.plan
    if load_block(folder, 0).has_objects:
        return paint_labels(folder, plan, join_blocks(folder, plan)[0], canvas)
    for block in plan.blocks:
        semantic = load_block(folder, block.number).maps.get("semantic")
        if semantic is None:
            raise CongealError("expected a model that gives objects or classes, for Zarr labels")
        canvas[block.core.slices] = semantic
    return None


def _write_volume(
    parts: Sequence[_Part], min_iou: float, size: VoxelSize, table: Path | None, group: Any
) -> int:
    """Join the objects of the planes one after another, and write each plane when it is joined."""
    levels = Levels(group, (len(parts), *parts[0].size))
    stitcher, tally, weighed = PlaneStitcher(min_iou), VoxelTally(), []
    names: tuple[str, ...] = ()
    for number, part in enumerate(parts):
        found = stitch(part.ledger.folder, part.ledger.plan)
        plane = check_objects(restore_size(found, part.size)[0])
        labels = plane.labels
        numbers = stitcher.add(labels, plane.classes)
        levels.set_plane(number, numbers)
        if table is not None:
            tally.add(numbers)
            weighed.append(weigh_scores(numbers, labels, plane.scores))
        names = max(names, plane.class_names, key=len)
    side = size.scale.pixel_size
    where = parts[0].image.where
    group.attrs["ome"] = levels.metadata(where, [size.plane_distance, side, side])
    if table is not None:
        scores = pool_scores(weighed, len(stitcher.classes))
        classes = [names[one - 1] for one in stitcher.classes]
        with atomic_path(table) as temporary:
            write_volume_table(temporary, tally.rows(scores, classes, size))
    return len(stitcher.classes)
