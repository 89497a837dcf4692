"""`congeal segment --stack volume`: a stack becomes one label volume and one table."""

import csv

import numpy as np
import pytest
import tifffile
from cases.ellipsoids import ellipsoids

from congeal import segment_volume
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
    assert "bare.tif: expected the distance of planes" in result.stderr
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
