"""A volume: its measurements are those of a loop over voxels, and its files say the same."""

import csv

import numpy as np
import pytest
import tifffile
from cases.ellipsoids import ellipsoids

from congeal.data.pixel_size import read_pixel_size, read_plane_distance
from congeal.errors import CongealError
from congeal.segmentation import VOLUME_COLUMNS, Scale, Segmentation, Volume, VoxelSize

MICRO = VoxelSize(Scale(0.5, "um"), 2.0)


@pytest.fixture
def drawn():
    return Volume(ellipsoids())


def test_measurements_are_those_of_a_loop_over_voxels(drawn):
    for row in drawn.measure():
        places = np.argwhere(drawn.labels == row["label"])
        assert row["voxels"] == row["volume"] == len(places)
        centroid = [row[f"centroid_{axis}"] for axis in "zyx"]
        np.testing.assert_allclose(centroid, places.mean(0), rtol=1e-12)
        assert [row[f"{axis}0"] for axis in "zyx"] == places.min(0).tolist()
        assert [row[f"{axis}1"] for axis in "zyx"] == (places.max(0) + 1).tolist()
        assert row["planes"] == len(np.unique(places[:, 0]))
        ends = np.array(drawn.labels.shape) - 1
        assert row["touches_border"] == bool((places == 0).any() or (places == ends).any())


def test_micrometres_count_the_distance_of_planes_too(drawn):
    voxel, micro = drawn.measure()[0], drawn.measure(MICRO)[0]
    assert micro["volume"] == pytest.approx(voxel["voxels"] * 0.5 * 0.5 * 2.0)
    assert micro["centroid_z"] == pytest.approx(2.0 * voxel["centroid_z"])
    assert micro["centroid_x"] == pytest.approx(0.5 * voxel["centroid_x"])
    assert (micro["units"], micro["x0"]) == ("um", voxel["x0"])


def test_scores_are_means_over_voxels_and_classes_are_kept():
    names = ("cell", "debris")
    first = Segmentation.from_labels(
        [[1, 1, 1, 0, 2]], scores=[0.8, 0.5], classes=[1, 2], class_names=names
    )
    second = Segmentation.from_labels(
        [[1, 0, 2, 2, 2]], scores=[0.4, 0.9], classes=[1, 2], class_names=names
    )
    volume = Volume.from_planes([first, second])
    assert volume.labels[:, 0].tolist() == [[1, 1, 1, 0, 2], [1, 0, 2, 2, 2]]
    np.testing.assert_allclose(volume.scores, [(3 * 0.8 + 0.4) / 4, (0.5 + 3 * 0.9) / 4], rtol=1e-6)
    assert [row["class"] for row in volume.measure()] == ["cell", "debris"]


def test_the_one_class_of_a_model_keeps_its_name():
    plane = Segmentation.from_labels([[1, 1]], class_names=("nucleus",))
    assert Volume.from_planes([plane]).measure()[0]["class"] == "nucleus"


def test_a_volume_without_an_object_is_one_too():
    volume = Volume.from_planes([Segmentation.from_labels(np.zeros((3, 4), int))] * 2)
    assert (len(volume), volume.labels.shape, volume.measure()) == (0, (2, 3, 4), [])


def test_the_tiff_has_axes_and_sizes(drawn, tmp_path):
    path = drawn.save(tmp_path / "a.tif", MICRO)
    with tifffile.TiffFile(path) as tiff:
        assert tiff.series[0].axes == "ZYX"
        np.testing.assert_array_equal(tiff.asarray(), drawn.labels)
    assert (read_pixel_size(path), read_plane_distance(path)) == (0.5, 2.0)


def test_more_objects_than_16_bits_number_are_written_with_32(tmp_path):
    labels = np.arange(70_000).reshape(2, 100, 350)
    path = Volume(labels).save(tmp_path / "a.tif", MICRO)
    np.testing.assert_array_equal(tifffile.imread(path), labels)
    assert (read_pixel_size(path), read_plane_distance(path)) == (0.5, 2.0)


def test_a_file_without_sizes_has_none(drawn, tmp_path):
    path = drawn.save(tmp_path / "a.tif")
    assert read_plane_distance(path) is None
    assert tifffile.imread(path).shape == drawn.labels.shape


def test_the_table_has_a_row_for_each_object(drawn, tmp_path):
    with drawn.save(tmp_path / "a.csv", MICRO).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == VOLUME_COLUMNS
    assert [int(row["voxels"]) for row in rows] == drawn.voxels.tolist()
    assert {row["plane_distance"] for row in rows} == {"2"}


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Volume([[1]]), r"volume \(Z, H, W\), got shape \(1, 1\)"),
        (lambda: Volume([[[2]]]), "objects 1..K without gaps"),
        (lambda: Volume([[[1]]], scores=[1.0, 1.0]), r"expected 1 scores, got shape \(2,\)"),
        (lambda: Volume([[[1]]]).save("a.png"), "ending in .tif or .csv for a volume, got a.png"),
        (lambda: Volume.from_planes([]), "at least one plane, got none"),
        (lambda: VoxelSize(Scale(0.5, "um")), "a plane distance for units um"),
        (lambda: VoxelSize(Scale(), 0.0), "above 0 micrometres, got 0.0"),
    ],
)
def test_what_does_not_fit_is_told(make, told):
    with pytest.raises(CongealError, match=told):
        make()
