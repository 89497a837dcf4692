"""Segmenting files, folders and patterns into a folder of results."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from congeal.data.images import expand_images
from congeal.errors import CongealError
from congeal.files import remove_parts
from congeal.models.channels import stored_channels
from congeal.models.shipped import DEFAULT_MODEL
from congeal.prediction.combined_files import write_combined
from congeal.prediction.executors import choose_executor
from congeal.prediction.lazy_model import LazyModel
from congeal.prediction.outcome import FileOutcome, SegmentRun
from congeal.prediction.output_formats import UnsuitableFormat, choose_formats, fitting_formats
from congeal.prediction.provenance import OTHER_FOLDER, OVERWRITE_OR_MOVE, MixedResults, Provenance
from congeal.prediction.reading import Pages, Reading, list_pages
from congeal.prediction.record import RECORD, Record, assign_names, list_results, listed_files
from congeal.prediction.seam_report import save_seams, seam_files
from congeal.prediction.segmenting import FileSegmenter, ImageResult
from congeal.prediction.single import Model
from congeal.prediction.tile_work import TILES, TileWork, parse_part
from congeal.prediction.tiled import Tiling
from congeal.prediction.volume import VolumeResult
from congeal.segmentation import Segmentation
from congeal.segmentation.formats import FORMATS, MAP_OF, MAX_UINT16
from congeal.segmentation.volume import Volume

__all__ = ["input_files", "segment_files"]

WRITING = "writing"  # state of an image while its files are written: after a kill, write all again


def segment_files(
    model: Model | None,
    inputs: Sequence[str | Path],
    output: str | Path,
    *,
    formats: Sequence[str] | None = None,
    overwrite: bool = False,
    device: str = "auto",
    strict: bool = False,
    settings: Mapping[str, Any] | None = None,
    table: bool = False,
    coco: bool = False,
    channels: Sequence[int] | None = None,
    stack: str = "error",
    pixel_size: float | None = None,
    units: str = "px",
    stitch: float = 0.25,
    plane_distance: float | None = None,
    tile: int | None = None,
    overlap: int | None = None,
    seam_report: bool = False,
    processes: int = 1,
    dask: str | None = None,
    block: str | None = None,
    merge: bool = False,
    on_file: Callable[[FileOutcome], None] | None = None,
) -> SegmentRun:
    """Segment files, folders and patterns into a folder; a broken image does not stop the rest.

    Results are named after their images (``STEM_labels.png`` and so on); images that share a stem
    get their folder before it or their ending behind it. What is done is skipped, and several runs
    may share a folder. Only files that ``congeal.jsonl`` lists are ever replaced.

    Args:
        model: a model, its folder, or the name of a shipped one; None for the default one.
        inputs: images, folders of images, patterns such as ``"scans/*.tif"``.
        output: folder of the results; made when missing.
        formats: names of :data:`congeal.segmentation.formats.FORMATS`; None: an overlay, and labels
            or the output of its task.
        overwrite: make results again that are there; needed where they are of other settings.
        device: where a model given by path or name runs.
        strict: raise at the first image that fails.
        settings: of the decoding of a model given by path or name, in place of those stored.
        table: write ``objects.csv`` on all images as well (and the table of each, ``csv``).
        coco: write ``coco.json`` on all images as well (and the document of each, ``coco``).
        channels: which channels of the images to take, from 0, in this order; None: those that
            the model was trained on.
        stack: what to do with files of several pages: ``"error"``, or take each page as an image
            called ``STEM_z001`` (``"planes"``) or ``STEM_t001`` (``"time"``), and so on, or all as
            the planes of one volume (``"volume"``), written as ``tiff`` and ``csv``.
        pixel_size: micrometres per pixel, for label TIFFs and tables; what each file tells when
            None. Where the model stores the size of its training, images are resized to it for
            the network, and results are at their own size.
        units: of the tables: ``"px"``, or ``"um"`` where the size of a pixel is known.
        stitch: overlap (IoU) from which objects of neighbouring planes of a volume are joined.
        plane_distance: micrometres between planes; what each file tells when None.
        tile: side in pixels of the tiles that larger images are cut into; None: whole images
            where they fit in memory, else as large as memory allows.
        overlap: of neighbouring tiles in pixels, larger than most objects; None: it follows from
            the sizes of the objects.
        seam_report: report on objects at tile edges, in ``seams/STEM.json`` and ``.png``.
        processes: that compute the tiles of an image on this machine.
        dask: address of the scheduler of a Dask cluster that computes them.
        block: ``"i/n"``: compute part i of n of the tiles of each image, and write no result.
        merge: write results from tiles that are done; compute none.
        on_file: called with the outcome of each image.

    Raises:
        CongealError: no such model, format or input, results are there of another model or
            settings, or come while this runs, or the output cannot be written (when the disk fills
            up on the way, what was done so far stays).

    Example:
        >>> import tempfile
        >>> import congeal
        >>> from PIL import Image
        >>> folder = Path(tempfile.mkdtemp())
        >>> Image.new("L", (30, 20)).save(folder / "cell.png")
        >>> run = segment_files(congeal.RPE(), [folder], folder / "out", formats=["labels"])
        >>> run.files[0].files[0].name
        'cell_labels.png'
    """
    whole = {"csv": table, "coco": coco}
    model = DEFAULT_MODEL if model is None else model
    more = [kind for kind, wanted in whole.items() if wanted]
    kinds = choose_formats(model, formats, more, stack, seam_report)
    chosen = stored_channels(model) if channels is None else tuple(channels)
    reading = Reading(chosen, stack, pixel_size, units, stitch, plane_distance)
    pages = Pages(list_pages(_input_files(inputs, output), stack), reading)
    paths, parts = list(pages.of), (parse_part(block), merge)
    tiling = Tiling(tile, overlap)
    work = TileWork(Path(output) / TILES, tiling, choose_executor(processes, dask), *parts)
    provenance = Provenance.of(model, {**(settings or {}), **reading.facts(), **tiling.facts()})
    record = Record(Path(output))
    remove_parts(output)
    with record.locked():
        names = assign_names(paths, record)
        if not overwrite:
            provenance.refuse_others(paths, record)
        record.claim_names(names)
    lazy = LazyModel(model, device, settings, tuple(MAP_OF.get(kind, kind) for kind in kinds))
    how = _Options(kinds, overwrite, strict, work, seam_report)
    task = _Task(FileSegmenter(lazy, provenance, pages, work), record, how)
    run = SegmentRun(output, notes=record.notes())
    for path in paths:
        run.files.append(task.run(path, names[path]))
        if on_file is not None:
            on_file(run.files[-1])
    good = [file.path for file in run.files if file.good]
    if block is None:
        run.tables += [write_combined(kind, record, good) for kind in more]
    with record.locked():
        record.compact()
    run.notes += [*pages.notes(), *task.segmenter.notes(), *how.notes(run)]
    return run


def input_files(
    inputs: Sequence[str | Path], output: str | Path, stack: str = "error"
) -> list[Path]:
    """List the images of ``inputs``, without the results of earlier runs among them.

    With ``stack`` "planes" or "time", each page of a file is listed under its own name.

    Raises:
        CongealError: nothing was given, or a folder or pattern holds no image.

    Example:
        >>> [path.name for path in input_files(["b.png", "a.png", "b.png"], "out")]
        ['b.png', 'a.png']
    """
    return list(list_pages(_input_files(inputs, output), stack))


def _input_files(inputs: Sequence[str | Path], output: str | Path) -> list[Path]:
    outright = {Path(path) for path in inputs}
    home, results = Path(output).absolute(), list_results(Path(output))

    def is_result(path: Path) -> bool:
        return path.absolute().parent == home and path.name in results

    # One image reached by two ways is one image.
    found: dict[Path, Path] = {}
    for path in expand_images(inputs):
        found.setdefault(path.resolve(), path)
    images = [path for path in found.values() if path in outright or not is_result(path)]
    if not images:
        raise CongealError(f"expected images, found only results of an earlier run in {output}")
    return images


@dataclass(frozen=True)
class _Options:
    """Options of the run."""

    kinds: tuple[str, ...]
    overwrite: bool
    strict: bool
    work: TileWork
    seam_report: bool

    def notes(self, run: SegmentRun) -> list[str]:
        """Say whose seam reports skipped images have."""
        count = len(run.skipped)
        told = f"seam reports of {count} skipped are those of the earlier run"
        return [told] if self.seam_report and count else []


@dataclass(frozen=True)
class _Task:
    """Segments one image after another and writes the files."""

    segmenter: FileSegmenter
    record: Record
    how: _Options

    @property
    def provenance(self) -> Provenance:
        return self.segmenter.provenance

    @property
    def pages(self) -> Pages:
        return self.segmenter.pages

    def run(self, path: Path, name: str) -> FileOutcome:
        self.record.refresh()  # another run may have done it by now
        settled = self._settled(path, name)
        if settled is not None:
            if settled.state == "skipped":
                self.how.work.forget(name)  # a kill may have left them
            return settled
        self.segmenter.model.get()
        started = time.perf_counter()
        try:
            found = self.segmenter.segment(path, name)
        except Exception as error:
            settled = self._done_by_another(path, name)
            if settled is not None:
                return settled
            if self.how.strict:
                raise
            seconds = time.perf_counter() - started
            return FileOutcome(path, "failed", _reason(error), seconds=seconds)
        if found is None:
            return FileOutcome(path, "done", seconds=time.perf_counter() - started)
        outcome = self._finish(path, name, found, started)
        if outcome.good:
            self.how.work.forget(name)
        return outcome

    def _done_by_another(self, path: Path, name: str) -> FileOutcome | None:
        """The outcome of an image whose tiles another run removed when it was done; else None."""
        self.record.refresh()
        settled = self._settled(path, name)
        if settled is None or settled.state != "skipped":
            return None
        self.how.work.forget(name)
        return settled

    def _settled(self, path: Path, name: str) -> FileOutcome | None:
        """The outcome of an image that need not or cannot be segmented; None for others."""
        entry = self.record.entry(path)
        wanted = self._wanted(entry, name)
        stale = "" if self.how.overwrite else _stale(self.pages.file(path), entry)
        if not self.how.overwrite:
            self.provenance.refuse_mixing(entry, self.record.folder)
        if not wanted and not self._lacks_seams(entry, name):
            return FileOutcome(path, "skipped", stale)
        if stale and listed_files(self.record.folder, entry) and not _unfinished(entry):
            return FileOutcome(path, "failed", f"{stale}: {OVERWRITE_OR_MOVE}")
        foreign = next(filter(_is_there, self._unlisted(entry, name, wanted)), None)
        return None if foreign is None else FileOutcome(path, "failed", _foreign(foreign))

    def _unlisted(
        self, entry: dict[str, Any] | None, name: str, wanted: Sequence[str]
    ) -> Iterator[Path]:
        """Files to be written that no earlier run has written, so that they must not be there."""
        folder, own = self.record.folder, listed_files(self.record.folder, entry).values()
        for file in (f"{name}{ending}" for kind in wanted for ending in _endings(kind)):
            if file not in own:
                yield folder / file
        if self.how.seam_report and not (entry or {}).get("seams"):
            yield from seam_files(folder, name)

    def _lacks_seams(self, entry: dict[str, Any] | None, name: str) -> bool:
        """Whether a report on seams is wanted that an image, done before, does not have."""
        written = bool((entry or {}).get("seams"))
        there = written and all(map(_is_there, seam_files(self.record.folder, name)))
        return self.how.seam_report and not there

    def _wanted(self, entry: dict[str, Any] | None, name: str) -> tuple[str, ...]:
        """Formats to write; after them all files of an image are of one model and settings."""
        known = listed_files(self.record.folder, entry)
        if _unfinished(entry) or (self.how.overwrite and self.provenance.differs(entry)):
            return tuple(dict.fromkeys((*self.how.kinds, *known)))
        if self.how.overwrite:
            return self.how.kinds
        folder = self.record.folder
        return tuple(
            k for k in self.how.kinds if k not in known or not _is_there(folder / known[k])
        )

    def _finish(
        self, path: Path, name: str, found: ImageResult | VolumeResult, started: float
    ) -> FileOutcome:
        try:
            with self.record.locked():
                settled = self._settled(path, name)
                if settled is not None:
                    return settled
                files = self._write(path, name, found, started)
        except MixedResults:
            raise
        except CongealError as error:
            if self.how.strict or _stops_everything(error):
                raise
            seconds = time.perf_counter() - started
            return FileOutcome(path, "failed", str(error), seconds=seconds)
        seconds = time.perf_counter() - started
        has_objects = getattr(found.result, "has_objects", True)  # not a map of the whole image
        objects = len(found.result) if has_objects else None
        return FileOutcome(path, "done", "", objects, seconds, files)

    def _write(
        self, path: Path, name: str, found: ImageResult | VolumeResult, started: float
    ) -> tuple[Path, ...]:
        """Write the files. The record lists them first, so a killed run leaves no unlisted file."""
        entry = self.record.entry(path)
        wanted, known = self._wanted(entry, name), listed_files(self.record.folder, entry)
        fit = fitting_formats(found.result, self.how.kinds, wanted)
        planned = {k: f"{name}{_ending(k, found.result)}" for k in fit if k in wanted}
        modified = _modified(self.pages.file(path))
        facts = {"name": name, **self.provenance.facts(), "modified": modified}
        if self.how.seam_report or (entry or {}).get("seams"):
            facts["seams"] = True
        self.record.add(path, {**facts, "state": WRITING, "files": known | planned})
        folder = self.record.folder
        files = {kind: found.save(folder / file, path.name) for kind, file in planned.items()}
        if self.how.seam_report and isinstance(found, ImageResult):
            save_seams(seam_files(folder, name)[0], found.seams, found.result, found.image)
        seconds = round(time.perf_counter() - started, 3)
        listed = known | {kind: file.name for kind, file in files.items()}
        objects = len(found.result)
        self.record.add(path, {**facts, "objects": objects, "seconds": seconds, "files": listed})
        return tuple(files.values())


def _stale(path: Path, entry: dict[str, Any] | None) -> str:
    """Say that a result is of an earlier version of the image; empty where it is not."""
    modified = _modified(path)
    if entry is None or modified is None or entry.get("modified", modified) == modified:
        return ""
    return "its result comes from an earlier version of the image"


def _unfinished(entry: dict[str, Any] | None) -> bool:
    return entry is not None and entry.get("state") == WRITING


def _foreign(path: Path) -> str:
    return f"{path} is there and not listed in {RECORD} as a result: move it, or {OTHER_FOLDER}"


def _endings(kind: str) -> tuple[str, ...]:
    return (FORMATS[kind], FORMATS["tiff"]) if kind == "labels" else (FORMATS[kind],)


def _ending(kind: str, result: Segmentation | Volume) -> str:
    return FORMATS["tiff" if kind == "labels" and len(result) > MAX_UINT16 else kind]


def _is_there(path: Path) -> bool:
    try:
        return os.path.lexists(path)
    except (OSError, ValueError):  # a name too long for the system: writing it tells so
        return False


def _modified(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None


def _stops_everything(error: CongealError) -> bool:
    """Whether writing would fail for the next image too, as on a full disk."""
    if isinstance(error, UnsuitableFormat):
        return True
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno != errno.ENAMETOOLONG


def _reason(error: Exception) -> str:
    if isinstance(error, CongealError):
        return str(error)
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError) or "out of memory" in text or "allocate memory" in text:
        return "not enough memory for an image of this size"
    return f"{type(error).__name__}: {text[:200]}"
