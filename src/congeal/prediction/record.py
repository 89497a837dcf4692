"""What has been segmented into a folder, and what its images are called there.

The record is ``congeal.jsonl`` beside the results, a line per image: where it came from, which
model and settings, which files. From it a later run knows what is done and by which model, that
two images of one name must not share a result, and which files are results at all: what it does
not list is somebody's own, and stays.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from congeal.errors import CongealError
from congeal.files import lock_folder, write_text
from congeal.segmentation.formats import FORMATS, find_output

__all__ = ["RECORD", "Record", "assign_names", "list_results", "listed_files"]

RECORD = "congeal.jsonl"
_SHOWN = 80  # characters of a line that is quoted


class Record:
    """The record of a folder of results, made with the folder when there is none.

    Several processes may write to one: each does so while it holds :meth:`locked`.

    Args:
        folder: the folder of results.

    Raises:
        CongealError: the folder cannot be made or written.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> image = folder / "cell.png"
        >>> _ = image.write_bytes(b"")
        >>> Record(folder).add(image, {"name": "cell", "objects": 3})
        >>> Record(folder).entry(image)["objects"]
        3
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.odd: list[str] = []
        self._path = folder / RECORD
        self._entries: dict[str, dict[str, Any]] = {}
        self._tables: set[str] = set()
        self._made, self._read = -1, 0
        self._last = b""  # line before the place up to which the file was read
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._path.open("a").close()
            self.refresh()
        except OSError as error:
            reason = error.strerror or str(error)
            raise CongealError(f"cannot write results to {folder}: {reason}") from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Let no other process write to the folder, and know what the others have written."""
        with lock_folder(self.folder, wait=True):
            self.refresh()
            yield

    def refresh(self) -> None:
        """Read what was added since; the last line of an image counts."""
        for line in self._new_lines():
            text = line.decode("utf-8", "replace").strip()
            entry = _parse(text)
            if entry is None and not line.endswith(b"\n"):  # cut off by a kill, or being written
                break
            self._read += len(line)
            self._last = line
            if entry is not None:
                self._take(entry)
            elif text:
                self.odd.append(text[:_SHOWN])

    def _new_lines(self) -> list[bytes]:
        """What was added; everything where another run has rewritten the file.

        A rewritten file may have the number of the one before the last, so the last line counts.
        """
        made = self._path.stat().st_ino
        if made == self._made:
            lines = _read_from(self._path, self._read - len(self._last))
            if lines.startswith(self._last):
                return lines[len(self._last) :].splitlines(keepends=True)
        self._made, self._read, self._last, self.odd = made, 0, b"", []
        return _read_from(self._path, 0).splitlines(keepends=True)

    def _take(self, entry: dict[str, Any]) -> None:
        if "table" in entry:
            self._tables.add(entry["table"])
        else:
            self._entries[entry["source"]] = entry

    def entry(self, image: Path) -> dict[str, Any] | None:
        """Give what is known of an image, None for a new one."""
        return self._entries.get(self._source(image))

    def names(self) -> set[str]:
        """Give the names that are in use."""
        return {entry["name"] for entry in self._entries.values()}

    def results(self) -> set[str]:
        """Give the names of all files that are results."""
        entries = self._entries.values()
        return self._tables.union(*(listed_files(self.folder, e).values() for e in entries))

    def add(self, image: Path, facts: dict[str, Any]) -> None:
        """Append a line on an image.

        Raises:
            CongealError: the record cannot be written.
        """
        self._append({"source": self._source(image), **facts})

    def add_table(self, file: str) -> None:
        """Append a line on a table of the whole folder."""
        if file not in self._tables:
            self._append({"table": file})

    def _append(self, entry: dict[str, Any]) -> None:
        try:
            with self._path.open("r+b") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(self._read)
                if self._read == size and size:
                    file.seek(size - 1)
                    start = b"" if file.read(1) == b"\n" else b"\n"
                else:  # a line that a kill cut off ends here
                    start = b""
                    file.truncate()
                line = start + json.dumps(entry).encode() + b"\n"
                file.write(line)
        except OSError as error:
            raise CongealError(f"cannot write {self._path}: {error.strerror}") from error
        self._read += len(line)
        self._last = line
        self._take(entry)

    def claim_names(self, names: Mapping[Path, str]) -> None:
        """Let no other run take the names, before there is anything that has them."""
        for path, name in names.items():
            if self.entry(path) is None:
                self.add(path, {"name": name, "files": {}})

    def notes(self) -> list[str]:
        """Say what was passed over in the record, a line."""
        if not self.odd:
            return []
        which = f"{len(self.odd)} lines" if len(self.odd) > 1 else "a line"
        text = f"{which} passed over that congeal did not write, such as {self.odd[0]!r}"
        return [f"{self._path}: {text}"]

    def compact(self) -> None:
        """Leave one line on each image, unless there are lines of somebody else."""
        if self.odd:
            return
        lines = [{"table": name} for name in sorted(self._tables)] + [*self._entries.values()]
        write_text(self._path, "".join(json.dumps(line) + "\n" for line in lines))
        self.refresh()

    def _source(self, image: Path) -> str:
        # Relative, so that a project moved as a whole still knows what it has done.
        try:
            return Path(os.path.relpath(image.resolve(), self.folder.resolve())).as_posix()
        except ValueError:  # another drive
            return image.resolve().as_posix()


def listed_files(folder: Path, entry: dict[str, Any] | None) -> dict[str, str]:
    """Give the files that an entry lists, by format.

    Example:
        >>> listed_files(Path("out"), {"name": "a", "files": {"csv": "a_objects.csv"}})
        {'csv': 'a_objects.csv'}
    """
    if entry is None:
        return {}
    if "files" in entry:
        return {kind: file for kind, file in entry["files"].items() if kind in FORMATS}
    # A record of version 0.1 listed images only.
    found = ((kind, find_output(folder, entry["name"], kind)) for kind in FORMATS)
    return {kind: path.name for kind, path in found if path is not None}


def list_results(folder: Path) -> set[str]:
    """Give the names of the files in a folder that its record lists; none without a record.

    Example:
        >>> list_results(Path("nowhere"))
        set()
    """
    return Record(folder).results() if (folder / RECORD).is_file() else set()


def assign_names(images: Sequence[Path], record: Record) -> dict[Path, str]:
    """Give each image a name of its own among the results, the one it had when it had one.

    A name is the stem. Images that share it get the folder before it (``a_cell``, ``b_cell``), the
    ending behind it (``cell_png``, ``cell_tif``), or as much of both as it takes.

    Example:
        >>> import tempfile
        >>> record = Record(Path(tempfile.mkdtemp()))
        >>> images = [Path("a/cell.png"), Path("b/cell.png"), Path("a/leaf.png")]
        >>> sorted(assign_names(images, record).values())
        ['a_cell', 'b_cell', 'leaf']
    """
    named: dict[Path, str] = {}
    for image in images:
        entry = record.entry(image)
        if entry is not None:
            named[image] = entry["name"]
    # Names that differ only in case are one file on some systems.
    taken = {name.casefold() for name in record.names()}
    left, level = [image for image in images if image not in named], 0
    while left:
        offered = {image: _candidate(image, level) for image in left}
        count = Counter(name.casefold() for name in offered.values())
        fitting = {
            image: name
            for image, name in offered.items()
            if count[name.casefold()] == 1 and name.casefold() not in taken
        }
        named |= fitting
        taken |= {name.casefold() for name in fitting.values()}
        left, level = [image for image in left if image not in fitting], level + 1
    return named


def _candidate(image: Path, level: int) -> str:
    image = Path(os.path.abspath(image))
    folders = [part for part in image.parent.parts if part != image.anchor]
    ending = image.suffix.replace(".", "_")
    simple = (
        image.stem,
        "_".join([*folders[-1:], image.stem]),
        image.stem + ending,
    )
    if level < len(simple):
        return simple[level]
    depth = level - len(simple) + 1
    # A whole path may still be spelt like another (a_b/c, a/b_c): a digest of it tells them apart.
    digest = hashlib.sha256(str(image).encode("utf-8", "surrogateescape")).hexdigest()
    tail = f"_{digest[: 8 * (depth - len(folders))]}" if depth > len(folders) else ""
    return "_".join([*folders[-depth:], image.stem]) + ending + tail


def _read_from(path: Path, start: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return file.read()


def _parse(text: str) -> dict[str, Any] | None:
    """Read a line; None when it is not what this program writes."""
    try:
        entry = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(entry, dict):
        return None
    if "table" in entry:
        return entry if _is_bare(entry["table"]) else None
    files = entry.get("files", {})
    fits = isinstance(entry.get("source"), str) and _is_bare(entry.get("name"))
    fits = fits and isinstance(files, dict) and all(map(_is_bare, files.values()))
    return entry if fits else None


def _is_bare(name: object) -> bool:
    """Whether it is the name of a file in the folder, and leads nowhere else."""
    return isinstance(name, str) and name not in ("", "..") and Path(name).name == name
