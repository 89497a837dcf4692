"""`congeal segment --stack volume`: a stack becomes one label volume and one table."""

import csv
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from cases.ellipsoids import ellipsoids

from congeal import segment_volume
from congeal.data.zarr_images import ZarrImage
from congeal.labels import relabel
from congeal.metrics import matching
from congeal.models import load


@pytest.fixture
def truth():
    return ellipsoids()


@pytest.fixture
def stack(desk, truth):
    """Bright ellipsoids in a file that tells its sizes."""
    told = {"axes": "ZYX", "spacing": 2.0, "unit": "um"}
    pixels = ((truth > 0) * 200).astype(np.uint8)
    tifffile.imwrite("worms.tif", pixels, imagej=True, resolution=(2, 2), metadata=told)
    return "worms.tif"


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_a_stack_becomes_a_volume_and_a_table(said, model, desk, stack, truth):
    told = said("segment", model, stack, "-o", "out", "--stack", "volume", "--units", "um")
    files = {path.name for path in (desk / "out").iterdir()}
    assert {"worms_labels.tif", "worms_objects.csv"} <= files
    found = tifffile.imread(desk / "out" / "worms_labels.tif")
    assert found.shape == truth.shape
    assert ((found > 0) == (truth > 0)).all()
    score = matching(prediction=found.astype(np.int64), truth=truth, threshold=0.8)
    assert score.tp == truth.max()
    table = rows(desk / "out" / "worms_objects.csv")
    assert told["files"][0]["objects"] == len(table) == found.max()
    counts = np.bincount(found.ravel())[1:]
    assert [int(row["voxels"]) for row in table] == counts.tolist()
    assert [float(row["volume"]) for row in table] == pytest.approx((0.5 * counts).tolist())


def test_the_overlap_that_joins_planes_can_be_given(said, model, stack):
    def objects(overlap):
        words = ("-o", f"out{overlap}", "--stack", "volume", "--stitch", overlap)
        return said("segment", model, stack, *words)["files"][0]["objects"]

    assert objects(0.99) > objects(0.25)


def test_the_distance_of_planes_can_be_given(run, model, desk, truth):
    tifffile.imwrite("bare.tif", ((truth > 0) * 200).astype(np.uint8), photometric="minisblack")
    words = ["segment", model, "bare.tif", "-o", "out", "--stack", "volume", "--units", "um"]
    result = run(*words, "--pixel-size", 0.5)
    assert result.exit_code == 1
    assert "bare.tif: expected a plane distance" in result.stderr
    assert run(*words, "--pixel-size", 0.5, "--plane-distance", 3).exit_code == 0
    assert {row["plane_distance"] for row in rows("out/bare_objects.csv")} == {"3"}


def test_a_volume_of_one_plane_has_the_objects_of_the_image(said, model, desk):
    told = said("segment", model, "photos/images", "-o", "flat", "-f", "tiff")
    deep = said("segment", model, "photos/images", "-o", "deep", "--stack", "volume")
    assert [f["objects"] for f in told["files"]] == [f["objects"] for f in deep["files"]]
    flat = tifffile.imread("flat/cell2_labels.tif")
    found = tifffile.imread("deep/cell2_labels.tif").reshape(flat.shape)
    np.testing.assert_array_equal(found, flat)


def test_volumes_that_are_done_are_skipped(run, model, stack):
    words = ["segment", model, stack, "-o", "out", "--stack", "volume"]
    run(*words)
    again = run(*words)
    assert again.exit_code == 0
    assert "1 image skipped" in again.stdout + again.stderr


def test_formats_of_images_are_refused_in_one_line(fails, model, stack):
    words = ("segment", model, stack, "--stack", "volume", "-f", "overlay")
    assert "formats tiff or csv for --stack volume, got overlay" in fails(*words)
    assert "IoU above 0" in fails("segment", model, stack, "--stack", "volume", "--stitch", 2)


def test_python_takes_planes_or_a_file(model, stack, truth):
    planes = [((plane > 0) * 200).astype(np.uint8) for plane in truth]
    one = segment_volume(load(model), planes, min_planes=2)
    other = segment_volume(model, stack, min_planes=2)
    np.testing.assert_array_equal(one.labels, other.labels)
    assert matching(prediction=one.labels, truth=relabel(truth), threshold=0.8).fp == 0


@pytest.fixture
def chunked(desk, truth):
    """The same volume as OME-Zarr, with its sizes."""
    group = zarr.open_group("worms.zarr", mode="w", zarr_format=3)
    array = group.create_array("0", shape=truth.shape, chunks=(1, 32, 32), dtype="uint8")
    array[:] = ((truth > 0) * 200).astype(np.uint8)
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]
    scale = [{"type": "scale", "scale": [2.0, 0.5, 0.5]}]
    datasets = [{"path": "0", "coordinateTransformations": scale}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    return "worms.zarr"


def volume_labels(store):
    return zarr.open_group(store, mode="r")["labels/congeal"]


@pytest.mark.parametrize("cut", [[], ["--tile", 32, "--overlap", 16]])
def test_a_zarr_volume_has_the_objects_and_the_table_of_the_stack(
    said, run, model, desk, stack, chunked, cut
):
    words = ["--stack", "volume", "--units", "um", "-f", "csv", *cut]
    said("segment", model, stack, "-o", "out", *words, "-f", "tiff")
    told = said("segment", model, chunked, "-o", "labels.zarr", *words)
    group = volume_labels("labels.zarr")
    expected = tifffile.imread(desk / "out" / "worms_labels.tif")
    np.testing.assert_array_equal(group["0"][:], expected)
    assert told["objects"] == expected.max()
    assert rows("labels_objects.csv") == rows(desk / "out" / "worms_objects.csv")
    (scales,) = group.attrs["ome"]["multiscales"]
    assert scales["datasets"][0]["coordinateTransformations"][0]["scale"] == [2.0, 0.5, 0.5]
    assert [axis["name"] for axis in scales["axes"]] == ["z", "y", "x"]


def test_parts_of_a_zarr_volume_are_merged(run, model, chunked):
    words = ["segment", model, chunked, "--stack", "volume", "-o", "parts.zarr"]
    for part in ("1/2", "2/2"):
        assert run(*words, "--block", part).exit_code == 0
        assert not Path("parts.zarr").exists()
    assert len(list(Path("parts.zarr.tiles").glob("z*"))) == 12
    assert run(*words, "--merge").exit_code == 0
    assert run("segment", model, chunked, "--stack", "volume", "-o", "whole.zarr").exit_code == 0
    np.testing.assert_array_equal(
        volume_labels("parts.zarr")["0"][:], volume_labels("whole.zarr")["0"][:]
    )
    assert not Path("parts.zarr.tiles").exists()


def test_planes_of_zarr_are_read_one_after_another(run, model, chunked, monkeypatch):
    read = []
    whole = ZarrImage.__getitem__

    def watch(self, window):
        pixels = whole(self, window)
        read.append((self.plane["z"], pixels.nbytes))
        return pixels

    monkeypatch.setattr(ZarrImage, "__getitem__", watch)
    words = ["segment", model, chunked, "--stack", "volume", "-o", "labels.zarr"]
    assert run(*words).exit_code == 0
    assert [plane for plane, _ in read] == sorted(plane for plane, _ in read)
    assert max(size for _, size in read) <= 48 * 64
