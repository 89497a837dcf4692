"""Files of outlines: regions of interest (ROIs) for ImageJ and Fiji, GeoJSON for QuPath."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from congeal.files import atomic_path, write_json
from congeal.segmentation.contents import Contents
from congeal.segmentation.polygons import Polygon, Ring, trace

if TYPE_CHECKING:
    from roifile import ImagejRoi

__all__ = ["geojson_document", "make_roi", "save_geojson", "save_rois"]

_MOVE, _LINE, _CLOSE = 0.0, 1.0, 4.0  # commands of a path in ImageJ's format
_MAX_INT16 = 32_767  # largest coordinate in the header of a ROI


def make_roi(polygons: list[Polygon], name: str) -> ImagejRoi:
    """Make a ROI of ImageJ: a polygon, or a composite for objects with holes or several parts.

    Example:
        >>> from congeal.segmentation.objects import Crop
        >>> make_roi(trace(Crop(2, 3, np.ones((4, 5), bool))), "7").left
        3
    """
    from roifile import ROI_TYPE, ImagejRoi

    rings = [ring for polygon in polygons for ring in (polygon.outer, *polygon.holes)]
    corners = np.concatenate(rings)
    (left, top), (right, bottom) = corners.min(0).tolist(), corners.max(0).tolist()
    if len(rings) == 1 and max(right, bottom) <= _MAX_INT16:
        roi = ImagejRoi.frompoints(corners, name=name)
        roi.roitype = ROI_TYPE.POLYGON
    else:
        path = np.array([value for ring in rings for value in _path(ring)], np.float32)
        roi = ImagejRoi(roitype=ROI_TYPE.RECT, name=name)
        roi.multi_coordinates, roi.shape_roi_size = path, len(path)
        roi.left, roi.top = min(left, _MAX_INT16), min(top, _MAX_INT16)
    roi.right, roi.bottom = min(right, _MAX_INT16), min(bottom, _MAX_INT16)
    return roi


def _path(ring: Ring) -> list[float]:
    x, y = ring[0].tolist()
    lines = [value for corner in ring[1:].tolist() for value in (_LINE, *corner)]
    return [_MOVE, x, y, *lines, _CLOSE]


def save_rois(result: Contents, path: Path) -> Path:
    """Write a ZIP of ImageJ ROIs, one per object, named by label and class."""
    digits = len(str(len(result)))
    with (
        atomic_path(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for label, crop in enumerate(result.crops(), start=1):
            name = f"{label:0{digits}d}"
            roi = make_roi(trace(crop), f"{name} {_class_name(result, label)}")
            archive.writestr(f"{name}.roi", roi.tobytes())
    return path


def geojson_document(result: Contents) -> dict[str, Any]:
    """Make a GeoJSON collection (RFC 7946) with one feature per object, in image pixels.

    Properties are those of QuPath: object type, name, classification and measurements.

    Example:
        >>> from congeal.segmentation import Segmentation
        >>> document = geojson_document(Segmentation.from_labels(np.ones((1, 2), int)))
        >>> document["features"][0]["geometry"]["coordinates"]
        [[[0, 1], [0, 0], [2, 0], [2, 1], [0, 1]]]
    """
    features = []
    for label, crop in enumerate(result.crops(), start=1):
        properties = {
            "objectType": "detection",
            "name": str(label),
            "classification": {"name": _class_name(result, label)},
            "measurements": {"score": round(float(result.scores[label - 1]), 6)},
        }
        geometry = _geometry(trace(crop))
        features.append({"type": "Feature", "geometry": geometry, "properties": properties})
    return {"type": "FeatureCollection", "features": features}


def _geometry(polygons: list[Polygon]) -> dict[str, Any]:
    parts = [[_closed(ring) for ring in (p.outer, *p.holes)] for p in polygons]
    if len(parts) == 1:
        return {"type": "Polygon", "coordinates": parts[0]}
    return {"type": "MultiPolygon", "coordinates": parts}


def _closed(ring: Ring) -> list[list[int]]:
    corners: list[list[int]] = ring.tolist()
    return [*corners, corners[0]]


def save_geojson(result: Contents, path: Path) -> Path:
    """Write the GeoJSON collection of :func:`geojson_document`."""
    write_json(path, geojson_document(result))
    return path


def _class_name(result: Contents, label: int) -> str:
    return result.class_names[int(result.classes[label - 1]) - 1]
