import numpy as np
import pytest
import tifffile
import zarr

from congeal.data.zarr_images import open_zarr_image, parse_plane
from congeal.errors import CongealError

STACK = np.random.default_rng(0).integers(0, 65535, (2, 3, 4, 50, 60)).astype(np.uint16)  # tczyx


@pytest.fixture
def ome(tmp_path):
    """A folder that holds STACK as OME-Zarr, of 0.5 x 0.5 micrometres a pixel."""
    group = zarr.open_group(tmp_path / "plate.zarr", mode="w", zarr_format=3)
    array = group.create_array("s0", shape=STACK.shape, chunks=(1, 1, 1, 32, 32), dtype="uint16")
    array[:] = STACK
    axes = [{"name": "t", "type": "time"}, {"name": "c", "type": "channel"}]
    axes += [{"name": axis, "type": "space", "unit": "nanometer"} for axis in "zyx"]
    scale = [{"type": "scale", "scale": [1, 1, 2000, 500, 500]}]
    datasets = [{"path": "s0", "coordinateTransformations": scale}]
    group.attrs["ome"] = {
        "version": "0.5",
        "multiscales": [{"axes": axes, "datasets": datasets}],
    }
    return tmp_path / "plate.zarr"


def test_a_plane_is_read_in_parts_with_its_channels_last(ome):
    image = open_zarr_image(ome, plane={"t": 1, "z": 2})
    assert image.shape == (50, 60, 3)
    expected = STACK[1, :, 2, 10:20, 30:].transpose(1, 2, 0)
    np.testing.assert_array_equal(image[10:20, 30:60], expected)


def test_channels_are_taken_in_the_order_asked_for(ome):
    image = open_zarr_image(ome, [2, 0], {"t": 0, "z": 0})
    assert image.shape == (50, 60, 2)
    np.testing.assert_array_equal(image[:5, :5][..., 0], STACK[0, 2, 0, :5, :5])


def test_the_size_of_a_pixel_is_told_in_micrometres(ome):
    assert open_zarr_image(ome, plane={"t": 0, "z": 0}).pixel_size == 0.5


@pytest.mark.parametrize(
    ("plane", "said"),
    [
        (None, "--plane t=0 to t=1"),
        ({"t": 0}, "--plane z=0 to z=3"),
        ({"t": 0, "z": 4}, "from 0 to 3"),
        ({"t": 0, "z": 0, "q": 1}, "got {'q': 1}"),
    ],
)
def test_a_plane_that_is_not_told_or_not_there_is_refused(ome, plane, said):
    with pytest.raises(CongealError, match=said):
        open_zarr_image(ome, plane=plane)


@pytest.mark.parametrize(("shape", "axes"), [((40, 50), None), ((3, 40, 50), None)])
def test_plain_arrays_have_usual_axes(tmp_path, shape, axes):
    pixels = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    zarr.save_array(tmp_path / "a.zarr", pixels)
    image = open_zarr_image(tmp_path / "a.zarr", axes=axes)
    assert image.shape[:2] == (40, 50)


def test_other_axes_are_told(tmp_path):
    zarr.save_array(tmp_path / "a.zarr", np.zeros((50, 40, 3), np.uint8))
    assert open_zarr_image(tmp_path / "a.zarr", axes="xyc").shape == (40, 50, 3)
    with pytest.raises(CongealError, match="--axes"):
        open_zarr_image(tmp_path / "a.zarr", axes="xy")


@pytest.mark.parametrize("text", ["z", "z=a", "zz=1"])
def test_what_names_no_plane_is_told(text):
    with pytest.raises(CongealError, match="--plane"):
        parse_plane(text)


def test_what_is_no_image_is_told(tmp_path):
    zarr.open_group(tmp_path / "a.zarr", mode="w")
    for name in ("a.zarr", "nowhere.zarr"):
        with pytest.raises(CongealError, match="Zarr"):
            open_zarr_image(tmp_path / name)


@pytest.mark.parametrize("axes", ["TZCYX", "ZYX", "YX"])
def test_a_plane_of_an_ome_tiff_is_read_in_parts(tmp_path, axes):
    pixels = STACK.transpose(0, 2, 1, 3, 4)
    pixels = {"TZCYX": pixels, "ZYX": pixels[0, :, 0], "YX": pixels[0, 0, 0]}[axes]
    size = {"PhysicalSizeX": 0.25, "PhysicalSizeY": 0.25}
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, pixels, metadata={"axes": axes, **size}, tile=(32, 32))
    plane = {"t": 1, "z": 2}
    image = open_zarr_image(
        path, plane={axis: plane[axis] for axis in "tz" if axis.upper() in axes}
    )
    expected = {"TZCYX": STACK[1, :, 2], "ZYX": STACK[0, :1, 2], "YX": STACK[0, :1, 0]}[axes]
    np.testing.assert_array_equal(image[10:20, 30:60], expected[:, 10:20, 30:].transpose(1, 2, 0))
    assert image.pixel_size == 0.25


@pytest.mark.parametrize(
    "told",
    [
        {"multiscales": [{"datasets": [{"path": "0"}]}]},
        {"multiscales": [{"axes": [{"type": "space"}, "x"], "datasets": [{"path": "0"}]}]},
    ],
)
def test_axes_that_metadata_leave_out_are_the_usual_ones(tmp_path, told):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    group.create_array("0", data=np.zeros((40, 50), np.uint8))
    group.attrs.update(told)
    assert open_zarr_image(tmp_path / "a.zarr").axes == "yx"


@pytest.mark.parametrize("told", [{"multiscales": {"a": 1}}, {"ome": "x"}, {"multiscales": ["a"]}])
def test_metadata_of_another_form_are_told(tmp_path, told):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    group.create_array("0", data=np.zeros((40, 50), np.uint8))
    group.attrs.update(told)
    with pytest.raises(CongealError, match="expected an OME-Zarr image"):
        open_zarr_image(tmp_path / "a.zarr")


def test_an_array_without_pixels_is_told(tmp_path):
    zarr.create_array(tmp_path / "a.zarr", data=np.zeros((0, 20), np.uint8))
    with pytest.raises(CongealError, match=r"expected pixels in .*a\.zarr, its shape is \(0, 20\)"):
        open_zarr_image(tmp_path / "a.zarr")


def test_a_folder_that_is_no_store_is_told_as_one(tmp_path):
    with pytest.raises(CongealError, match="expected one Zarr or TIFF, got the folder"):
        open_zarr_image(tmp_path)
