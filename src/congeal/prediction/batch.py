"""Segmenting files, folders and patterns into a folder of results."""

from __future__ import annotations

import errno
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray

from congeal.data.images import expand_images, read_image
from congeal.errors import CongealError, unknown
from congeal.models.shipped import DEFAULT_MODEL, describe, locate
from congeal.prediction.record import Record, assign_names
from congeal.prediction.single import Model, as_segmenter
from congeal.segmentation import Segmentation, Segmenter
from congeal.segmentation.formats import FORMATS, find_output

__all__ = ["FileOutcome", "SegmentRun", "input_files", "segment_files"]


@dataclass(frozen=True)
class FileOutcome:
    """What became of one image of a run.

    Args:
        path: the image.
        state: ``"done"``, ``"skipped"`` (was done before) or ``"failed"``.
        message: why it failed, or what is worth knowing of the skipped one; one line.
        objects: how many objects were found, when it was done.
        seconds: time spent on it.
        files: what was written.

    Example:
        >>> FileOutcome(Path("cell.png"), "done", objects=3).state
        'done'
    """

    path: Path
    state: Literal["done", "skipped", "failed"]
    message: str = ""
    objects: int | None = None
    seconds: float = 0.0
    files: tuple[Path, ...] = ()


@dataclass
class SegmentRun:
    """What became of all images of a run, in order.

    Args:
        output: folder of the results.
        files: one outcome per image.

    Example:
        >>> run = SegmentRun("out", [FileOutcome(Path("a.png"), "failed", "cut short")])
        >>> [(path.name, why) for path, why in run.failed], run.done
        ([('a.png', 'cut short')], [])
    """

    output: str | Path
    files: list[FileOutcome] = field(default_factory=list)

    @property
    def done(self) -> list[Path]:
        """Images segmented in this run."""
        return [file.path for file in self.files if file.state == "done"]

    @property
    def skipped(self) -> list[Path]:
        """Images whose results were there already."""
        return [file.path for file in self.files if file.state == "skipped"]

    @property
    def failed(self) -> list[tuple[Path, str]]:
        """Images that could not be segmented, each with the reason."""
        return [(file.path, file.message) for file in self.files if file.state == "failed"]

    @property
    def stale(self) -> list[tuple[Path, str]]:
        """Skipped images whose results come from another model or an earlier image."""
        skipped = [file for file in self.files if file.state == "skipped"]
        return [(file.path, file.message) for file in skipped if file.message]


def segment_files(
    model: Model | None,
    inputs: Sequence[str | Path],
    output: str | Path,
    *,
    formats: Sequence[str] = ("labels", "overlay"),
    overwrite: bool = False,
    device: str = "auto",
    strict: bool = False,
    settings: Mapping[str, Any] | None = None,
    on_file: Callable[[FileOutcome], None] | None = None,
) -> SegmentRun:
    """Segment files, folders and patterns into a folder; a broken image does not stop the rest.

    Results are named after their images (``STEM_labels.png`` and so on); images that share a stem
    get their folder before it or their ending behind it. What is done is skipped.

    Args:
        model: a model, its folder, or the name of a shipped one; None for the default one.
        inputs: images, folders of images, patterns such as ``"scans/*.tif"``.
        output: folder of the results; made when missing.
        formats: names of :data:`congeal.segmentation.formats.FORMATS`.
        overwrite: make results again that are there.
        device: where a model given by path or name runs.
        strict: raise at the first image that fails.
        settings: of the read-out of a model given by path or name, in place of those stored.
        on_file: called with each outcome as it comes.

    Raises:
        CongealError: no such model, format or input, or the output cannot be written (when the
            disk fills up on the way, what was done so far stays).

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
    kinds = _checked(formats)
    paths = input_files(inputs, output)
    model = DEFAULT_MODEL if model is None else model
    fingerprint = _fingerprint(model, settings)
    record = Record(Path(output))
    names = assign_names(paths, record)
    task = _Task(_Late(model, device, settings), fingerprint, record, kinds, overwrite, strict)
    run = SegmentRun(output)
    for path in paths:
        run.files.append(task.run(path, names[path]))
        if on_file is not None:
            on_file(run.files[-1])
    return run


def input_files(inputs: Sequence[str | Path], output: str | Path) -> list[Path]:
    """List the images meant by ``inputs``, without earlier results that lie among them.

    Raises:
        CongealError: nothing was given, or a folder or pattern holds no image.

    Example:
        >>> [path.name for path in input_files(["b.png", "a.png", "b.png"], "out")]
        ['b.png', 'a.png']
    """
    outright = {Path(path) for path in inputs}
    home, endings = Path(output).absolute(), tuple(FORMATS.values())

    def is_result(path: Path) -> bool:
        return path.absolute().parent == home and path.name.endswith(endings)

    # One image reached by two ways is one image.
    found: dict[Path, Path] = {}
    for path in expand_images(inputs):
        found.setdefault(path.resolve(), path)
    images = [path for path in found.values() if path in outright or not is_result(path)]
    if not images:
        raise CongealError(f"expected images, found only results of an earlier run in {output}")
    return images


@dataclass
class _Late:
    """The model, loaded when the first image needs it: a run with nothing to do is quick."""

    model: Model
    device: str
    settings: Mapping[str, Any] | None = None
    loaded: Segmenter | None = None

    def get(self) -> Segmenter:
        if self.loaded is None:
            self.loaded = as_segmenter(self.model, self.device, self.settings)
        return self.loaded


@dataclass(frozen=True)
class _Task:
    """What is done to each image."""

    model: _Late
    fingerprint: str
    record: Record
    kinds: tuple[str, ...]
    overwrite: bool
    strict: bool

    def run(self, path: Path, name: str) -> FileOutcome:
        missing = [kind for kind in self.kinds if self.overwrite or not self._there(name, kind)]
        stale = "" if self.overwrite else self._stale(path)
        if not missing:
            return FileOutcome(path, "skipped", stale)
        if stale and len(missing) < len(self.kinds):
            return FileOutcome(path, "failed", f"{stale}: overwrite it, or name another folder")
        model, started = self.model.get(), time.perf_counter()
        try:
            image = read_image(path)
            result = model.segment(image)
        except Exception as error:
            if self.strict:
                raise
            seconds = time.perf_counter() - started
            return FileOutcome(path, "failed", _reason(error), seconds=seconds)
        return self._write(path, name, missing, image, result, started)

    def _write(
        self,
        path: Path,
        name: str,
        kinds: Sequence[str],
        image: NDArray[Any],
        result: Segmentation,
        started: float,
    ) -> FileOutcome:
        try:
            files = tuple(_save(result, self.record.folder, path, name, k, image) for k in kinds)
        except CongealError as error:
            if self.strict or _stops_everything(error):
                raise
            seconds = time.perf_counter() - started
            return FileOutcome(path, "failed", str(error), seconds=seconds)
        seconds = time.perf_counter() - started
        facts = {"name": name, "model": self.fingerprint, "modified": _modified(path)}
        self.record.add(path, {**facts, "objects": len(result), "seconds": round(seconds, 3)})
        return FileOutcome(path, "done", "", len(result), seconds, files)

    def _there(self, name: str, kind: str) -> bool:
        try:
            return find_output(self.record.folder, name, kind) is not None
        except OSError:  # a name too long for the system: writing it tells so
            return False

    def _stale(self, path: Path) -> str:
        """Say why a result that is there is not the one this run would make, if it is not."""
        entry = self.record.entry(path) or {}
        if self.fingerprint and entry.get("model", self.fingerprint) != self.fingerprint:
            return "its result comes from another model"
        modified = _modified(path)
        if modified is not None and entry.get("modified", modified) != modified:
            return "its result comes from an earlier version of the image"
        return ""


def _modified(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None


def _save(
    result: Segmentation, folder: Path, path: Path, name: str, kind: str, image: NDArray[Any]
) -> Path:
    if kind == "coco":  # tells the image's own name, not the one its results have
        return result.save_coco(folder / f"{name}{FORMATS[kind]}", path.name)
    return result.save_as(kind, folder, f"{name}.png", image)


def _checked(formats: Sequence[str]) -> tuple[str, ...]:
    for name in formats:
        if name not in FORMATS:
            raise unknown("format", name, FORMATS)
    if not formats:
        raise CongealError(f"expected at least one format ({', '.join(FORMATS)}), got none")
    return tuple(dict.fromkeys(formats))


def _fingerprint(model: Model, settings: Mapping[str, Any] | None) -> str:
    if not isinstance(model, str | Path):
        return ""
    changed = json.dumps(settings, sort_keys=True, default=str) if settings else ""
    return describe(locate(model)).fingerprint + changed


def _stops_everything(error: CongealError) -> bool:
    """Whether writing failed in a way that the next image would meet as well."""
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno != errno.ENAMETOOLONG


def _reason(error: Exception) -> str:
    if isinstance(error, CongealError):
        return str(error)
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError) or "out of memory" in text or "allocate memory" in text:
        return "not enough memory for an image of this size"
    return f"{type(error).__name__}: {text[:200]}"
