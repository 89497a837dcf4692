"""The files a result can be written to: label map, drawing, COCO JSON, table."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tifffile
from numpy.typing import ArrayLike
from PIL import Image

from congeal.errors import CongealError, unknown
from congeal.files import atomic_path, write_json
from congeal.segmentation.coco import coco_document
from congeal.segmentation.measure import COLUMNS

if TYPE_CHECKING:
    from congeal.segmentation.result import Segmentation

__all__ = ["FORMATS", "find_output"]

FORMATS = {
    "labels": "_labels.png",
    "tiff": "_labels.tif",
    "overlay": "_overlay.png",
    "coco": "_coco.json",
    "csv": "_objects.csv",
}
"""Name of each format and what follows the stem of the image in the name of its file.

``labels`` becomes ``_labels.tif`` when there are more objects than 16 bits can number.
"""

LABEL_ENDINGS = (".png", ".tif", ".tiff")
LIMIT = 65_535
"""Objects that 16 bits can number."""


def find_output(folder: str | Path, stem: str, name: str) -> Path | None:
    """Look for the file that ``Segmentation.save_as`` wrote for an image in the format ``name``.

    Raises:
        CongealError: there is no such format.

    Example:
        >>> find_output("nowhere", "cell", "labels") is None
        True
    """
    if name not in FORMATS:
        raise unknown("format", name, FORMATS)
    suffixes = [FORMATS[name]] + ([FORMATS["tiff"]] if name == "labels" else [])
    paths = [Path(folder) / f"{stem}{suffix}" for suffix in suffixes]
    return next((path for path in paths if path.is_file()), None)


def save(result: Segmentation, path: Path, image: ArrayLike | None) -> Path:
    """Write in the format that the name of the file tells."""
    if path.name.lower().endswith(("_overlay.png", "_overlay.jpg")):
        return save_overlay(result, path, image)
    ending = path.suffix.lower()
    if ending in LABEL_ENDINGS:
        return save_labels(result, path)
    if ending == ".json":
        return save_coco(result, path, path.name)
    if ending == ".csv":
        return save_csv(result, path, image)
    known = "_overlay.png, .png, .tif, .json or .csv"
    raise CongealError(f"expected a file name that ends in {known}, got {path.name}")


def save_as(
    result: Segmentation, name: str, folder: Path, source: str, image: ArrayLike | None
) -> Path:
    """Write in a named format, beside the other files of the same image."""
    if name not in FORMATS:
        raise unknown("format", name, FORMATS)
    if name == "labels" and len(result) > LIMIT:
        name = "tiff"
    path = folder / f"{Path(source).stem}{FORMATS[name]}"
    return save_coco(result, path, source) if name == "coco" else save(result, path, image)


def save_labels(result: Segmentation, path: Path) -> Path:
    """Write the label map, 16 bit, or 32 bit where a TIFF has to number more objects."""
    ending = path.suffix.lower()
    if ending not in LABEL_ENDINGS:
        raise CongealError(f"expected a label file .png or .tif, got {path.name}")
    many = len(result) > LIMIT
    if many and ending == ".png":
        raise CongealError(
            f"{path}: PNG numbers at most {LIMIT} objects, got {len(result)}; write .tif instead"
        )
    labels = result.labels.astype(np.uint32 if many else np.uint16)
    with atomic_path(path) as temporary:
        if ending == ".png":
            Image.fromarray(labels).save(temporary, format="PNG")
        else:
            tifffile.imwrite(temporary, labels, compression="zlib", metadata={"axes": "YX"})
    return path


def save_overlay(result: Segmentation, path: Path, image: ArrayLike | None) -> Path:
    """Write the drawing over the image."""
    if image is None:
        raise CongealError(f"{path}: an overlay is drawn over the image, got none")
    picture = Image.fromarray(result.draw(image))
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise CongealError(f"expected an overlay file .png or .jpg, got {path.name}")
    with atomic_path(path) as temporary:
        picture.save(temporary)
    return path


def save_coco(result: Segmentation, path: Path, file_name: str) -> Path:
    """Write one image's objects as a COCO document."""
    write_json(path, coco_document([(file_name, result)]))
    return path


def save_csv(result: Segmentation, path: Path, image: ArrayLike | None) -> Path:
    """Write the measurements, one line an object."""
    columns = COLUMNS if image is not None else COLUMNS[:-1]
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        for row in result.measurements(image):
            short = {k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()}
            writer.writerow(short)
    return path
