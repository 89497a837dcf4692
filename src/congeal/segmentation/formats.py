"""The files a result can be written to: labels, drawing, COCO, outlines, table, maps."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from congeal.errors import CongealError, unknown
from congeal.figures.colour import RGB, overlay
from congeal.figures.maps import class_colours
from congeal.files import atomic_path, write_json
from congeal.segmentation.cityscapes import save_cityscapes
from congeal.segmentation.coco import coco_document
from congeal.segmentation.contents import Contents
from congeal.segmentation.drawing import draw
from congeal.segmentation.measure import columns_of, measure
from congeal.segmentation.outlines import save_geojson, save_rois
from congeal.segmentation.scale import Scale

__all__ = ["FORMATS", "find_output", "write_table"]

FORMATS = {
    "labels": "_labels.png",
    "tiff": "_labels.tif",
    "overlay": "_overlay.png",
    "coco": "_coco.json",
    "csv": "_objects.csv",
    "rois": "_rois.zip",
    "geojson": "_objects.geojson",
    "semantic": "_semantic.png",
    "boundary": "_boundary.png",
    "probabilities": "_probabilities.npz",
    "ucm": "_ucm.mat",
    "cityscapes": "_pred.txt",
}
"""Name of each format and what follows the stem of the image in the name of its file.

``labels`` becomes ``_labels.tif`` when there are more objects than 16 bits can number.
"""

MAPS = ("semantic", "boundary", "probabilities", "ucm")
"""Formats of what is known of each pixel, by the names of the maps."""

MAP_OF = {"ucm": "boundary"}
"""Formats that are made of a map of another name, and the map."""

MAP_ENDINGS = tuple(FORMATS[name] for name in MAPS)
LABEL_ENDINGS = (".png", ".tif", ".tiff")
DRAWN = 2**24  # pixels of an overlay: drawing takes 60 bytes for each
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


def save(
    result: Contents,
    path: Path,
    image: ArrayLike | None,
    scale: Scale | None = None,
    file_name: str = "image.png",
) -> Path:
    """Write in the format that the name of the file tells; ``file_name`` is that of the image."""
    if path.name.lower().endswith(("_overlay.png", "_overlay.jpg")):
        return save_overlay(result, path, image)
    for name, write in MAP_WRITERS.items():
        if path.name.lower().endswith(FORMATS[name]):
            return write(result, path)
    ending = path.suffix.lower()
    if path.name.lower().endswith(FORMATS["cityscapes"]):
        return save_cityscapes(result, path)
    if ending in LABEL_ENDINGS:
        return save_labels(result, path, scale)
    if ending == ".json":
        return save_coco(result, path, file_name)
    if ending == ".csv":
        return save_csv(result, path, image, scale, file_name)
    if ending in OUTLINES:
        _require_objects(result, path, "file of outlines")
        return OUTLINES[ending](result, path)
    endings = [".png", ".tif", ".json", ".csv", *OUTLINES]
    named = ["_overlay.png", *MAP_ENDINGS, FORMATS["cityscapes"]]
    known = " or ".join([", ".join([*named, *endings[:-1]]), endings[-1]])
    raise CongealError(f"expected a file name that ends in {known}, got {path.name}")


def save_as(
    result: Contents,
    name: str,
    folder: Path,
    source: str,
    image: ArrayLike | None,
    scale: Scale | None = None,
) -> Path:
    """Write in a named format, beside the other files of the same image."""
    if name not in FORMATS:
        raise unknown("format", name, FORMATS)
    if name == "labels" and len(result) > LIMIT:
        name = "tiff"
    path = folder / f"{Path(source).stem}{FORMATS[name]}"
    return save(result, path, image, scale, source)


def save_labels(result: Contents, path: Path, scale: Scale | None = None) -> Path:
    """Write the label map, 16 bit, or 32 bit where a TIFF has to number more objects.

    A TIFF carries the size of a pixel: in the tags of ImageJ, or of OME where it is 32 bit.
    """
    ending = path.suffix.lower()
    if ending not in LABEL_ENDINGS:
        raise CongealError(f"expected a label file .png or .tif, got {path.name}")
    many = len(result) > LIMIT
    if many and ending == ".png":
        raise CongealError(
            f"{path}: PNG numbers at most {LIMIT} objects, got {len(result)}; write .tif instead"
        )
    _require_objects(result, path, "label map")
    labels = result.labels_as(np.uint32 if many else np.uint16)
    with atomic_path(path) as temporary:
        if ending == ".png":
            Image.fromarray(labels).save(temporary, format="PNG")
        else:
            size = None if scale is None else scale.pixel_size
            tifffile.imwrite(temporary, labels, compression="zlib", **_tags(size, many))
    return path


def save_overlay(result: Contents, path: Path, image: ArrayLike | None) -> Path:
    """Write the drawing over the image, at most 2^24 pixels of it."""
    if image is None:
        raise CongealError(f"{path}: an overlay is drawn over the image, got none")
    picture = Image.fromarray(_drawn(result, image))
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise CongealError(f"expected an overlay file .png or .jpg, got {path.name}")
    with atomic_path(path) as temporary:
        picture.save(temporary)
    return path


def _drawn(result: Contents, image: ArrayLike) -> RGB:
    step = math.ceil(math.sqrt(math.prod(result.shape) / DRAWN))
    if step == 1 or not result.has_objects:
        return draw(result, image)
    return overlay(np.asarray(image)[::step, ::step], result.labels_as(np.int32)[::step, ::step])


def save_coco(result: Contents, path: Path, file_name: str) -> Path:
    """Write one image's objects as a COCO document."""
    _require_objects(result, path, "COCO document of objects")
    write_json(path, coco_document([(file_name, result)]))
    return path


def save_csv(
    result: Contents,
    path: Path,
    image: ArrayLike | None,
    scale: Scale | None = None,
    file_name: str = "image.png",
) -> Path:
    """Write the measurements, one line an object; no name is taken for a formula."""
    _require_objects(result, path, "table of objects")
    channels = 0 if image is None else math.prod(np.shape(image)[2:])
    return write_table(path, measure(result, image, scale), channels, file_name)


def write_table(
    path: Path, rows: Iterable[Mapping[str, Any]], channels: int, file_name: str
) -> Path:
    """Write measurements of objects as CSV, as they come.

    Args:
        path: of the file.
        rows: of :func:`congeal.segmentation.measure.measure`.
        channels: of the image that intensities were measured in; 0: none were.
        file_name: of the image.
    """
    with (
        atomic_path(path) as temporary,
        # Names that are no UTF-8 are escaped.
        temporary.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file,
    ):
        writer = csv.DictWriter(file, ["image", *columns_of(channels)], lineterminator="\n")
        writer.writeheader()
        for row in rows:
            short = {name: _short(value) for name, value in row.items()}
            names = {"image": _no_formula(file_name), "class": _no_formula(row["class"])}
            writer.writerow({**short, **names})
    return path


def _short(value: Any) -> Any:
    """Give a number in seven digits at least, and nothing where there is none."""
    if not isinstance(value, float):
        return value
    return "" if math.isnan(value) else round(value, max(4, 6 - _magnitude(value)))


def _magnitude(value: float) -> int:
    return math.floor(math.log10(abs(value))) if value and math.isfinite(value) else 0


def _tags(pixel_size: float | None, wide: bool) -> dict[str, Any]:
    """What tifffile is told: micrometres per pixel by ImageJ's tags, which know no 32 bits."""
    if pixel_size is None:
        return {"metadata": {"axes": "YX"}}
    if wide:
        sizes = {f"PhysicalSize{axis}": pixel_size for axis in "XY"}
        units = {f"PhysicalSize{axis}Unit": "\N{MICRO SIGN}m" for axis in "XY"}
        return {"ome": True, "metadata": {"axes": "YX", **sizes, **units}}
    resolution = (1 / pixel_size, 1 / pixel_size)
    return {"imagej": True, "resolution": resolution, "metadata": {"axes": "YX", "unit": "um"}}


def save_semantic(result: Contents, path: Path) -> Path:
    """Write the classes of pixels: a PNG with a palette, or 16 bit gray beyond 255 classes."""
    classes = _required(result.semantic, result, path, "a semantic map")
    highest = int(classes.max(initial=0))
    if highest > LIMIT:
        raise CongealError(f"{path}: PNG numbers at most {LIMIT} classes, got class {highest}")
    wide = highest > 255
    picture = Image.fromarray(classes.astype(np.uint16 if wide else np.uint8))
    if not wide:
        picture.putpalette(class_colours(255).tobytes())
    with atomic_path(path) as temporary:
        picture.save(temporary, format="PNG")
    return path


def save_boundary(result: Contents, path: Path) -> Path:
    """Write the boundary map as a gray PNG of 16 bit, 65,535 for 1."""
    boundary = _required(result.boundary, result, path, "a boundary map")
    gray = np.rint(boundary.astype(np.float64) * LIMIT).astype(np.uint16)
    with atomic_path(path) as temporary:
        Image.fromarray(gray).save(temporary, format="PNG")
    return path


def save_probabilities(result: Contents, path: Path) -> Path:
    """Write ``probabilities (C + 1, H, W)`` in half precision, and ``class_names`` from class 0."""
    odds = _required(result.probabilities, result, path, "probabilities")
    names = np.array(["background", *result.class_names])[: len(odds)]
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, probabilities=odds.astype(np.float16), class_names=names)
    return path


def save_ucm(result: Contents, path: Path) -> Path:
    """Write the hierarchy of regions that the boundary map makes, as the BSDS benchmark does."""
    from congeal.grouping.contours import save_contours

    _required(result.boundary, result, path, "a boundary map")
    return save_contours(_required(result.contours, result, path, "contours"), path)


MAP_WRITERS = dict(
    zip(MAPS, (save_semantic, save_boundary, save_probabilities, save_ucm), strict=True)
)
OUTLINES = {".zip": save_rois, ".geojson": save_geojson}


def _required(given: NDArray[Any] | None, result: Contents, path: Path, what: str) -> NDArray[Any]:
    if given is None:
        raise CongealError(f"cannot write {path}: expected a result with {what}, got {result!r}")
    return given


def _require_objects(result: Contents, path: Path, what: str) -> None:
    if not result.has_objects:
        raise CongealError(f"cannot write {path}: a {what} needs objects, got {result!r}")


def _no_formula(text: str) -> str:
    """Put an apostrophe before a text that a spreadsheet would take for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
