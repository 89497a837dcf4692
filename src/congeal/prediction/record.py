"""What has been segmented into a folder, and what its images are called there.

The record is ``congeal.jsonl`` beside the results, a line per image: where it came from, which
model, how many objects. From it a later run knows what is done and by which model, and that two
images of one name must not share a result.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from congeal.errors import CongealError

__all__ = ["Record", "assign_names"]

_NAME = "congeal.jsonl"


class Record:
    """The record of a folder of results, made with the folder when there is none.

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
        self._path = folder / _NAME
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with self._path.open("a+", encoding="utf-8", errors="replace") as file:
                file.seek(0)
                # The last line of an image counts; one cut off by a kill does not.
                self._entries = {entry["source"]: entry for entry in _entries(file)}
        except OSError as error:
            reason = error.strerror or str(error)
            raise CongealError(f"cannot write results to {folder}: {reason}") from error

    def entry(self, image: Path) -> dict[str, Any] | None:
        """Give what is known of an image, None for a new one."""
        return self._entries.get(self._source(image))

    def names(self) -> set[str]:
        """Give the names that are in use."""
        return {entry["name"] for entry in self._entries.values()}

    def add(self, image: Path, facts: dict[str, Any]) -> None:
        """Append a line on an image.

        Raises:
            CongealError: the record cannot be written.
        """
        entry = {"source": self._source(image), **facts}
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
        except OSError as error:
            raise CongealError(f"cannot write {self._path}: {error.strerror}") from error
        self._entries[entry["source"]] = entry

    def _source(self, image: Path) -> str:
        # Relative, so that a project moved as a whole still knows what it has done.
        try:
            return Path(os.path.relpath(image.resolve(), self.folder.resolve())).as_posix()
        except ValueError:  # another drive
            return image.resolve().as_posix()


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


def _entries(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(entry, dict) and {"source", "name"} <= entry.keys():
            yield entry
