"""Regions of ImageJ and GeoJSON, read back."""

import json

import numpy as np
import pytest
import roifile
from matplotlib.path import Path

from congeal.segmentation import Segmentation


@pytest.fixture
def result():
    """A rectangle, a ring with a hole, and an object of two parts."""
    labels = np.zeros((30, 40), int)
    labels[2:6, 3:10], labels[10:20, 5:15], labels[22:25, 20:24], labels[26:29, 30:39] = 1, 2, 3, 3
    labels[13:16, 8:11] = 0
    return Segmentation.from_labels(labels, [0.5, 1, 1], [1, 2, 1], ["cell", "=worm"])


def fill(rings, shape):
    y, x = np.mgrid[: shape[0], : shape[1]]
    middles = np.c_[x.ravel() + 0.5, y.ravel() + 0.5]
    inside = [Path(np.vstack([r, r[:1]])).contains_points(middles).astype(int) for r in rings]
    return (sum(inside) % 2).reshape(shape).astype(bool)


def test_regions_of_imagej_come_back_as_the_masks(result, tmp_path):
    path = result.save(tmp_path / "a_rois.zip")
    rois = roifile.roiread(path)
    assert [roi.name for roi in rois] == ["1 cell", "2 =worm", "3 cell"]
    for roi, mask, box in zip(rois, result.masks, result.boxes, strict=True):
        found = roi.coordinates(multi=True)
        assert np.array_equal(fill(found if isinstance(found, list) else [found], mask.shape), mask)
        assert [roi.left, roi.top, roi.right, roi.bottom] == box.tolist()
    assert [roi.roitype for roi in rois] == [roifile.ROI_TYPE.POLYGON] + 2 * [roifile.ROI_TYPE.RECT]


def test_geojson_comes_back_as_the_masks(result, tmp_path):
    path = result.save(tmp_path / "a.geojson")
    features = json.loads(path.read_text())["features"]
    kinds = [feature["geometry"]["type"] for feature in features]
    assert kinds == ["Polygon", "Polygon", "MultiPolygon"]
    for feature, mask in zip(features, result.masks, strict=True):
        shape = feature["geometry"]
        parts = [shape["coordinates"]] if shape["type"] == "Polygon" else shape["coordinates"]
        rings = [ring for part in parts for ring in part]
        assert all(ring[0] == ring[-1] for ring in rings)
        assert np.array_equal(fill([np.array(ring[:-1]) for ring in rings], mask.shape), mask)
    told = features[1]["properties"]
    assert told["classification"] == {"name": "=worm"}
    assert (told["name"], told["measurements"]) == ("2", {"score": 1})
    assert features[0]["properties"]["measurements"] == {"score": 0.5}


def test_overlapping_objects_are_outlined_whole(tmp_path):
    masks = np.zeros((2, 8, 9), bool)
    masks[0, 1:6, 1:6], masks[1, 3:8, 3:9] = True, True
    path = Segmentation.from_masks(masks).save(tmp_path / "a.zip")
    for roi, mask in zip(roifile.roiread(path), masks, strict=True):
        assert np.array_equal(fill([roi.coordinates()], mask.shape), mask)


def test_coordinates_beyond_16_bits_are_kept(tmp_path):
    labels = np.zeros((3, 40_000), int)
    labels[1, 39_990:39_995] = 1
    (roi,) = [roifile.roiread(Segmentation.from_labels(labels).save(tmp_path / "a.zip"))]
    roi = roi[0] if isinstance(roi, list) else roi
    (ring,) = roi.coordinates(multi=True)
    assert (ring[:, 0].min(), ring[:, 0].max()) == (39_990, 39_995)


def test_outlines_of_maps_alone_are_refused(tmp_path):
    with pytest.raises(Exception, match="needs objects"):
        Segmentation.from_maps(semantic=[[0, 1]]).save(tmp_path / "a.zip")
