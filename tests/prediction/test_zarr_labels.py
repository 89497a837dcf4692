import numpy as np
import pytest
import zarr
from cases.bright import Bright
from cases.gray_networks import discs

from congeal.errors import CongealError
from congeal.prediction.tiled import Tiling, segment_image
from congeal.prediction.zarr_labels import segment_zarr

TILING = {"tile": 256, "overlap": 64}


@pytest.fixture
def plate(tmp_path):
    """A stack of two planes of 600 x 700 pixels; the second has discs."""
    pixels = np.zeros((2, 600, 700), np.uint8)
    pixels[1] = discs(600, 700)[..., 0]
    zarr.save_array(tmp_path / "plate.zarr", pixels)
    return tmp_path / "plate.zarr"


def labels(store):
    return zarr.open_group(store, mode="r")["labels/congeal"]


def test_labels_are_those_of_the_image_in_memory(plate, folders, tmp_path):
    output = tmp_path / "labels.zarr"
    count = segment_zarr(
        folders[0], plate, output, axes="zyx", plane={"z": 1}, pixel_size=0.5, **TILING
    )
    expected, _ = segment_image(Bright(), discs(600, 700), Tiling(**TILING))
    group = labels(output)
    np.testing.assert_array_equal(group["0"][:], expected.labels)
    assert count == len(expected)
    assert not (tmp_path / "labels.zarr.tiles").exists()
    np.testing.assert_array_equal(group["1"][:], expected.labels[::2, ::2])
    (scales,) = group.attrs["ome"]["multiscales"]
    assert [one["path"] for one in scales["datasets"]] == ["0", "1"]
    assert scales["datasets"][1]["coordinateTransformations"][0]["scale"] == [1.0, 1.0]
    assert {axis["unit"] for axis in scales["axes"]} == {"micrometer"}
    assert "image-label" in group.attrs["ome"]


def test_parts_of_a_job_array_are_merged(plate, folders, tmp_path):
    of = {"axes": "zyx", "plane": {"z": 1}, **TILING}
    whole, parts = tmp_path / "whole.zarr", tmp_path / "parts.zarr"
    segment_zarr(folders[0], plate, whole, **of)
    for block in ("1/2", "2/2"):
        assert segment_zarr(folders[0], plate, parts, block=block, **of) is None
    segment_zarr(folders[0], plate, parts, merge=True, **of)
    np.testing.assert_array_equal(labels(parts)["0"][:], labels(whole)["0"][:])


def test_a_store_that_is_there_is_not_replaced_unasked(plate, folders, tmp_path):
    (tmp_path / "labels.zarr").mkdir()
    with pytest.raises(CongealError, match="--overwrite"):
        segment_zarr(folders[0], plate, tmp_path / "labels.zarr", axes="zyx", plane={"z": 1})


def test_only_a_store_of_labels_is_ever_replaced(plate, folders, tmp_path):
    of = {"axes": "zyx", "plane": {"z": 1}, "overwrite": True, **TILING}
    with pytest.raises(CongealError, match="another name for --output than that of the image"):
        segment_zarr(folders[0], plate, plate, **of)
    mine = tmp_path / "mine.zarr"
    for content in ("zarr.json", "labels/congeal/0", "labels/nuclei/0"):
        (mine / content).mkdir(parents=True)
    with pytest.raises(CongealError, match=r"expected labels of an earlier run in .*found nuclei"):
        segment_zarr(folders[0], plate, mine, **of)
    (tmp_path / "note.zarr").write_text("kept")
    with pytest.raises(CongealError, match=r"found note\.zarr"):
        segment_zarr(folders[0], plate, tmp_path / "note.zarr", **of)
    assert (tmp_path / "note.zarr").read_text() == "kept"
    assert (mine / "labels/nuclei/0").is_dir()
    assert zarr.open_array(plate, mode="r").shape == (2, 600, 700)
    for _ in range(2):
        count = segment_zarr(folders[0], plate, tmp_path / "labels.zarr", **of)
    assert labels(tmp_path / "labels.zarr")["0"][:].max() == count > 0


def test_tiles_of_other_axes_are_not_gone_on_from(folders, tmp_path):
    zarr.save_array(tmp_path / "a.zarr", discs(300, 300)[..., 0])
    output = tmp_path / "labels.zarr"
    segment_zarr(folders[0], tmp_path / "a.zarr", output, axes="xy", block="1/1", **TILING)
    with pytest.raises(CongealError, match="found others: run every --block"):
        segment_zarr(folders[0], tmp_path / "a.zarr", output, axes="yx", merge=True, **TILING)
    segment_zarr(folders[0], tmp_path / "a.zarr", output, axes="yx", **TILING)
    expected, _ = segment_image(Bright(), discs(300, 300), Tiling(**TILING))
    np.testing.assert_array_equal(labels(output)["0"][:], expected.labels)


@pytest.mark.parametrize("size", [-1.0, 0.0, float("nan")])
def test_a_pixel_size_that_is_none_is_told(plate, folders, tmp_path, size):
    with pytest.raises(CongealError, match="expected a pixel size above 0"):
        segment_zarr(folders[0], plate, tmp_path / "labels.zarr", pixel_size=size)
