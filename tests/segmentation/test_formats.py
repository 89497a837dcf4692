"""Files go out and come back, and what cannot be written says why."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import tifffile
from PIL import Image
from skimage import io

from congeal.errors import CongealError
from congeal.segmentation import FORMATS, Segmentation, find_output

OF_OBJECTS = ("labels", "tiff", "overlay", "coco", "csv")


@pytest.fixture
def result():
    labels = np.zeros((12, 17), int)
    labels[2:5, 3:9], labels[6:11, 1:4], labels[0, 16] = 1, 2, 3
    return Segmentation.from_labels(labels, scores=[0.5, 0.25, 1])


@pytest.fixture(scope="session")
def crowd():
    """Seventy thousand objects of one pixel."""
    return Segmentation.from_labels(np.arange(1, 70_001).reshape(280, 250))


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.TIFF"])
def test_label_files_come_back_as_they_were(result, tmp_path, name):
    path = result.save_labels(tmp_path / name)
    back = io.imread(path)
    assert back.dtype == np.uint16
    assert np.array_equal(back, result.labels)
    assert np.array_equal(Segmentation.from_labels(back).masks, result.masks)


def test_overlapping_objects_go_to_the_label_file_by_score(tmp_path):
    masks = np.array([[[1, 1, 0]], [[0, 1, 1]]], bool)
    path = Segmentation.from_masks(masks, [0.2, 0.6]).save_labels(tmp_path / "a.png")
    assert io.imread(path).tolist() == [[1, 2, 2]]


def test_png_refuses_more_objects_than_it_can_number_and_keeps_the_old_file(crowd, tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"before")
    with pytest.raises(CongealError, match=r"65535 objects, got 70000; write \.tif"):
        crowd.save_labels(path)
    assert path.read_bytes() == b"before"


def test_tiff_takes_32_bits_where_16_do_not_suffice(crowd, tmp_path):
    back = tifffile.imread(crowd.save_labels(tmp_path / "a.tif"))
    assert back.dtype == np.uint32
    assert np.array_equal(back, crowd.labels)


def test_a_crowd_saved_as_labels_becomes_a_tiff_that_is_found_again(crowd, tmp_path):
    path = crowd.save_as("labels", tmp_path, "field.png")
    assert path.name == "field_labels.tif"
    assert find_output(tmp_path, "field", "labels") == path


def test_sixteen_bits_number_65535_objects(tmp_path):
    labels = np.arange(65_536).reshape(256, 256)
    back = io.imread(Segmentation.from_labels(labels).save_labels(tmp_path / "a.png"))
    assert np.array_equal(back, labels)


def test_every_format_writes_the_file_its_name_promises(result, tmp_path):
    image, map_ = np.zeros(result.shape, np.uint16), np.ones((1, *result.shape))
    result = Segmentation.from_labels(
        result.labels, probabilities=map_, boundary=map_[0], class_names=["car"]
    )
    for name, suffix in FORMATS.items():
        path = result.save_as(name, tmp_path / "new", "some.cell.tif", image)
        assert path == tmp_path / "new" / f"some.cell{suffix}"
        assert find_output(tmp_path / "new", "some.cell", name) == path
    masks = tmp_path / "new" / "some.cell_pred"
    assert len(list(masks.iterdir())) == len(result)
    assert len(list((tmp_path / "new").iterdir())) == len(FORMATS) + 1


def test_an_unknown_format_suggests_the_nearest(result, tmp_path):
    with pytest.raises(CongealError, match="did you mean 'coco'"):
        result.save_as("cocoo", tmp_path, "a.png")
    with pytest.raises(CongealError, match="did you mean 'overlay'"):
        find_output(tmp_path, "a", "overlays")


@pytest.mark.parametrize(
    "name", ["a.png", "a.tif", "a.json", "a.csv", "a.zip", "a.geojson", "a_overlay.png"]
)
def test_the_file_name_selects_the_format(result, tmp_path, name):
    path = result.save(tmp_path / name, np.zeros(result.shape))
    starts = {".png": b"\x89PNG", ".tif": b"II", ".json": b"{", ".csv": b"image,label,"}
    starts |= {".zip": b"PK", ".geojson": b"{"}
    assert path.read_bytes().startswith(starts[path.suffix])
    channels = io.imread(path).ndim if path.suffix == ".png" else None
    assert channels in (None, 3 if "overlay" in name else 2)


@pytest.mark.parametrize(
    ("save", "told"),
    [
        (lambda r, f: r.save(f / "a.jpeg2000"), r"_overlay\.png, _semantic\.png"),
        (lambda r, f: r.save(f / "a_overlay.png"), "expected an image for the overlay"),
        (lambda r, f: r.save_labels(f / "a.jpg"), "a.jpg"),
        (lambda r, f: r.save_overlay(f / "a.gif", np.zeros(r.shape)), "a.gif"),
        (lambda r, f: r.save_overlay(f / "a.png", np.zeros((3, 3))), "size"),
        (lambda r, f: r.save_csv(f / "a.csv", np.zeros((3, 3))), "size"),
    ],
)
def test_a_failed_write_is_reported_and_leaves_no_file(result, tmp_path, save, told):
    with pytest.raises(CongealError, match=told):
        save(result, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file_is_told_in_one_line(result, tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(CongealError, match="cannot write") as caught:
        result.save_as("labels", tmp_path / "taken", "a.png")
    assert "\n" not in str(caught.value)


def test_the_table_has_one_line_an_object(result, tmp_path):
    path = result.save_csv(tmp_path / "a.csv", np.full(result.shape, 7))
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["area"]) for row in rows] == [18, 15, 1]
    assert [float(row["score"]) for row in rows] == [0.5, 0.25, 1]
    assert {float(row["intensity_mean_0"]) for row in rows} == {7}


def test_small_numbers_keep_their_digits_and_missing_ones_are_empty(tmp_path):
    result = Segmentation.from_labels(np.array([[0, 0, 0], [0, 1, 0]]))
    path = result.save(tmp_path / "a.csv", np.full((2, 3), 1.23456e-5))
    (row,) = csv.DictReader(path.read_text().splitlines())
    assert float(row["intensity_mean_0"]) == pytest.approx(1.23456e-5, rel=1e-5)
    assert (row["circularity"], row["pixel_size"]) == ("", "")


@pytest.mark.parametrize("ending", [".tif", ".tiff"])
def test_a_label_tiff_carries_the_pixel_size_for_imagej(result, tmp_path, ending):
    path = result.save(tmp_path / f"a{ending}", pixel_size=0.25)
    with tifffile.TiffFile(path) as tiff:
        assert tiff.imagej_metadata["unit"] == "um"
        assert tiff.pages.first.tags["XResolution"].value == (4, 1)
        assert np.array_equal(tiff.asarray(), result.labels)


def test_a_label_tiff_of_32_bits_carries_the_pixel_size_for_ome(crowd, tmp_path):
    path = crowd.save(tmp_path / "a.tif", pixel_size=0.25)
    with tifffile.TiffFile(path) as tiff:
        assert 'PhysicalSizeX="0.25" PhysicalSizeXUnit="µm"' in tiff.ome_metadata
        assert np.array_equal(tiff.asarray(), crowd.labels)


def test_no_objects_still_make_every_file(tmp_path):
    empty = Segmentation.from_labels(np.zeros((6, 5), int))
    for name in OF_OBJECTS:
        assert empty.save_as(name, tmp_path, "a.png", np.zeros((6, 5))).is_file()
    assert (tmp_path / "a_objects.csv").read_text().count("\n") == 1
    assert not io.imread(tmp_path / "a_labels.png").any()


def test_the_overlay_file_holds_the_drawing(result, tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (*result.shape, 3), np.uint8)
    path = result.save_overlay(tmp_path / "a.png", image)
    assert np.array_equal(np.asarray(Image.open(path)), result.draw(image))
