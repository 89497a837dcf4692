"""File formats of a result: label map, overlay, COCO, outlines, table, maps."""

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
from congeal.segmentation.cityscapes import NUMBERS, save_cityscapes
from congeal.segmentation.coco import coco_document
from congeal.segmentation.contents import Contents
from congeal.segmentation.drawing import draw
from congeal.segmentation.measure import columns_of, measure
from congeal.segmentation.outlines import save_geojson, save_rois
from congeal.segmentation.scale import Scale

__all__ = ["FORMATS", "find_output", "missing_part", "write_table"]

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
"""File name suffix of each format, appended to the stem of the image name.

``labels`` is written as ``_labels.tif`` if there are more objects than 16 bits can number.
"""

MAPS = ("semantic", "boundary", "probabilities", "ucm")
"""Formats of maps."""

MAP_OF = {"ucm": "boundary"}
"""Formats computed from a map of another name, with that map."""

_PARTS = {
    "semantic": "a semantic map",
    "boundary": "a boundary map",
    "probabilities": "probabilities",
}

MAP_ENDINGS = tuple(FORMATS[name] for name in MAPS)
LABEL_ENDINGS = (".png", ".tif", ".tiff")
MAX_OVERLAY_PIXELS = 2**24  # drawing takes 60 bytes per pixel
MAX_UINT16 = 65_535
"""Largest number of objects in a 16-bit label map."""


def find_output(folder: str | Path, stem: str, name: str) -> Path | None:
    """Find the file written by ``Segmentation.save_as`` for an image in a given format.

    Raises:
        CongealError: the format is unknown.

    Example:
        >>> find_output("nowhere", "cell", "labels") is None
        True
    """
    if name not in FORMATS:
        raise unknown("format", name, FORMATS)
    suffixes = [FORMATS[name]] + ([FORMATS["tiff"]] if name == "labels" else [])
    paths = [Path(folder) / f"{stem}{suffix}" for suffix in suffixes]
    return next((path for path in paths if path.is_file()), None)


def missing_part(result: Contents, name: str) -> str:
    """What a result lacks to be written in a format, such as ``objects``; empty if nothing.

    Example:
        >>> from congeal import Segmentation
        >>> missing_part(Segmentation.from_labels(np.eye(3, dtype=int)), "boundary")
        'a boundary map'
    """
    if name == "overlay":
        return ""
    if name not in MAPS:
        classes = name != "cityscapes" or any(one in NUMBERS for one in result.class_names)
        return ("" if classes else "classes of Cityscapes") if result.has_objects else "objects"
    part = MAP_OF.get(name, name)
    return "" if getattr(result, part) is not None else _PARTS[part]


def save(
    result: Contents,
    path: Path,
    image: ArrayLike | None,
    scale: Scale | None = None,
    file_name: str = "image.png",
) -> Path:
    """Write in the format of the file name; ``file_name`` is the name of the image."""
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
    """Write in a named format; file names start with the stem of the image."""
    if name not in FORMATS:
        raise unknown("format", name, FORMATS)
    if name == "labels" and len(result) > MAX_UINT16:
        name = "tiff"
    path = folder / f"{Path(source).stem}{FORMATS[name]}"
    return save(result, path, image, scale, source)


def save_labels(result: Contents, path: Path, scale: Scale | None = None) -> Path:
    """Write the label map with 16 bits, or as TIFF with 32 bits for more objects.

    A TIFF contains the pixel size, in ImageJ tags for 16 bits and in OME-XML for 32 bits.
    """
    ending = path.suffix.lower()
    if ending not in LABEL_ENDINGS:
        raise CongealError(f"expected a label file .png or .tif, got {path.name}")
    many = len(result) > MAX_UINT16
    if many and ending == ".png":
        raise CongealError(
            f"{path}: PNG numbers at most {MAX_UINT16} objects, got {len(result)}; "
            "write .tif instead"
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
    """Write the overlay, reduced to at most 2^24 pixels."""
    if image is None:
        raise CongealError(f"{path}: expected an image for the overlay, got none")
    picture = Image.fromarray(_overlay(result, image))
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise CongealError(f"expected an overlay file .png or .jpg, got {path.name}")
    with atomic_path(path) as temporary:
        picture.save(temporary)
    return path


def _overlay(result: Contents, image: ArrayLike) -> RGB:
    step = math.ceil(math.sqrt(math.prod(result.shape) / MAX_OVERLAY_PIXELS))
    if step == 1 or not result.has_objects:
        return draw(result, image)
    return overlay(np.asarray(image)[::step, ::step], result.labels_as(np.int32)[::step, ::step])


def save_coco(result: Contents, path: Path, file_name: str) -> Path:
    """Write the objects of one image as a COCO document."""
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
    """Write the measurements, one row per object; names are escaped for spreadsheets."""
    _require_objects(result, path, "table of objects")
    channels = 0 if image is None else math.prod(np.shape(image)[2:])
    return write_table(path, measure(result, image, scale), channels, file_name)


def write_table(
    path: Path, rows: Iterable[Mapping[str, Any]], channels: int, file_name: str
) -> Path:
    """Write measurements of objects as CSV, row by row.

    Args:
        path: target file.
        rows: result of :func:`congeal.segmentation.measure.measure`.
        channels: number of channels with intensity statistics; 0: none.
        file_name: name of the image.
    """
    with (
        atomic_path(path) as temporary,
        # Names that are not UTF-8 are backslash-escaped.
        temporary.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file,
    ):
        writer = csv.DictWriter(file, ["image", *columns_of(channels)], lineterminator="\n")
        writer.writeheader()
        for row in rows:
            rounded = {name: _rounded(value) for name, value in row.items()}
            names = {"image": _no_formula(file_name), "class": _no_formula(row["class"])}
            writer.writerow({**rounded, **names})
    return path


def _rounded(value: Any) -> Any:
    """Round floats to at least seven significant digits; NaN becomes an empty cell."""
    if not isinstance(value, float):
        return value
    return "" if math.isnan(value) else round(value, max(4, 6 - _magnitude(value)))


def _magnitude(value: float) -> int:
    return math.floor(math.log10(abs(value))) if value and math.isfinite(value) else 0


def _tags(pixel_size: float | None, wide: bool) -> dict[str, Any]:
    """Arguments of tifffile for the pixel size: ImageJ tags, or OME for 32 bits (not in ImageJ)."""
    if pixel_size is None:
        return {"metadata": {"axes": "YX"}}
    if wide:
        sizes = {f"PhysicalSize{axis}": pixel_size for axis in "XY"}
        units = {f"PhysicalSize{axis}Unit": "\N{MICRO SIGN}m" for axis in "XY"}
        return {"ome": True, "metadata": {"axes": "YX", **sizes, **units}}
    resolution = (1 / pixel_size, 1 / pixel_size)
    return {"imagej": True, "resolution": resolution, "metadata": {"axes": "YX", "unit": "um"}}


def save_semantic(result: Contents, path: Path) -> Path:
    """Write the semantic map as palette PNG, or as 16-bit gray PNG above 255 classes."""
    classes = _required(result.semantic, result, path, _PARTS["semantic"])
    highest = int(classes.max(initial=0))
    if highest > MAX_UINT16:
        raise CongealError(f"{path}: PNG numbers at most {MAX_UINT16} classes, got class {highest}")
    wide = highest > 255
    picture = Image.fromarray(classes.astype(np.uint16 if wide else np.uint8))
    if not wide:
        picture.putpalette(class_colours(255).tobytes())
    with atomic_path(path) as temporary:
        picture.save(temporary, format="PNG")
    return path


def save_boundary(result: Contents, path: Path) -> Path:
    """Write the boundary map as 16-bit gray PNG, scaled by 65,535."""
    boundary = _required(result.boundary, result, path, _PARTS["boundary"])
    gray = np.rint(boundary.astype(np.float64) * MAX_UINT16).astype(np.uint16)
    with atomic_path(path) as temporary:
        Image.fromarray(gray).save(temporary, format="PNG")
    return path


def save_probabilities(result: Contents, path: Path) -> Path:
    """Write ``probabilities (C + 1, H, W)`` in half precision and ``class_names`` as ``.npz``."""
    probabilities = _required(result.probabilities, result, path, _PARTS["probabilities"])
    names = np.array(["background", *result.class_names])[: len(probabilities)]
    with atomic_path(path) as temporary:
        np.savez_compressed(
            temporary, probabilities=probabilities.astype(np.float16), class_names=names
        )
    return path


def save_ucm(result: Contents, path: Path) -> Path:
    """Write the ultrametric contour map as ``.mat``, in the format of the BSDS benchmark."""
    from congeal.grouping.contours import save_contours

    _required(result.boundary, result, path, _PARTS["boundary"])
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
    """Prefix text that a spreadsheet would interpret as a formula with an apostrophe."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
