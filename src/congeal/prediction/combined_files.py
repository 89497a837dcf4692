"""Files on all images of a folder, combined from the files of each image."""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from congeal.errors import CongealError
from congeal.files import atomic_path, write_json
from congeal.prediction.record import RECORD, Record, listed_files

__all__ = ["COMBINED", "write_combined"]

COMBINED = {"csv": "objects.csv", "coco": "coco.json"}
"""Name of the file on all images, by the format of the files it is made of."""

Parts = Sequence[tuple[str, Path]]
Document = dict[str, list[dict[str, Any]]]


def write_combined(kind: str, record: Record, images: Sequence[Path]) -> Path:
    """Write ``objects.csv`` or ``coco.json`` on the images, whose own files are there already.

    Args:
        kind: ``csv`` or ``coco``.
        record: of the folder of results.
        images: in the order wanted; they are named as they are, those that share a name with
            the folders that tell them apart.

    Raises:
        CongealError: a file of that name is there that is no result, a file of an image was
            changed into something else, or writing fails.
    """
    path = record.folder / COMBINED[kind]
    with record.locked():
        if os.path.lexists(path) and path.name not in record.results():
            raise CongealError(f"{path} is there and not listed in {RECORD} as a result: move it")
        files = [listed_files(record.folder, record.entry(image))[kind] for image in images]
        parts = list(zip(_own_names(images), (record.folder / f for f in files), strict=True))
        record.add_table(path.name)
        _WRITERS[kind](path, parts)
    return path


def _own_names(images: Sequence[Path]) -> list[str]:
    count = Counter(image.name for image in images)
    if all(number == 1 for number in count.values()):
        return [image.name for image in images]
    paths = [Path(os.path.abspath(image)) for image in images]
    top = os.path.commonpath([path.parent for path in paths])
    return [path.relative_to(top).as_posix() for path in paths]


def _write_table(path: Path, parts: Parts) -> None:
    header: dict[str, None] = {"image": None}
    for _, part in parts:
        with _opened(part) as lines:
            header |= dict.fromkeys(next(csv.reader(lines), []))
    with (
        atomic_path(path) as temporary,
        # Names that are no UTF-8 are escaped.
        temporary.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file,
    ):
        writer = csv.DictWriter(file, list(header), lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        for name, part in parts:
            with _opened(part) as lines:
                writer.writerows(
                    {**row, "image": _no_formula(name)} for row in csv.DictReader(lines)
                )


def _opened(path: Path) -> Any:
    return path.open(newline="", encoding="utf-8", errors="replace")


def _no_formula(text: str) -> str:
    """Put an apostrophe before a name that a spreadsheet would take for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _write_coco(path: Path, parts: Parts) -> None:
    whole: dict[str, Any] = {"info": {"description": "objects found by congeal", "version": "1.0"}}
    whole |= {"licenses": [], "images": [], "annotations": [], "categories": []}
    for number, (name, part) in enumerate(parts, start=1):
        document = _read_document(part)
        whole["images"].append({**document["images"][0], "id": number, "file_name": name})
        for annotation in document["annotations"]:
            own = {"id": len(whole["annotations"]) + 1, "image_id": number}
            whole["annotations"].append({**annotation, **own})
        whole["categories"] = max(whole["categories"], document["categories"], key=len)
    write_json(path, whole)


def _read_document(path: Path) -> Document:
    try:
        document: Document = json.loads(path.read_text(encoding="utf-8"))
        if len(document["images"]) == 1 and document["annotations"] + document["categories"]:
            return document
    except (ValueError, TypeError, LookupError, RecursionError):
        pass
    raise CongealError(f"expected the COCO document of one image in {path}: --overwrite makes it")


_WRITERS: dict[str, Callable[[Path, Parts], None]] = {"csv": _write_table, "coco": _write_coco}
