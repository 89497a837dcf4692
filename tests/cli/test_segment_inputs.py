"""What ``congeal segment`` reads and measures: channels, stacks, sizes, formats."""

import csv
import json
import os

import numpy as np
import pytest
import roifile
import tifffile
from PIL import Image
from skimage.measure import label

from congeal.data.pixel_size import read_pixel_size
from congeal.prediction import lazy_model
from congeal.segmentation import Segmentation


class Bright:
    """Calls every patch that is bright in the first channel an object."""

    def segment(self, image):
        return Segmentation.from_labels(label(image[..., 0] > 128))


@pytest.fixture
def model(monkeypatch):
    """The name of a model that stands in for the shipped one."""
    monkeypatch.setattr(lazy_model, "as_segmenter", lambda model, device, settings: Bright())
    return "nuclei"


def table_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def colours(desk):
    """An image of which each channel shows other objects: 1, 2 and 3 patches."""
    pixels = np.zeros((24, 40, 3), np.uint8)
    for channel in range(3):
        for patch in range(channel + 1):
            pixels[6:18, 10 * patch + 1 : 10 * patch + 9, channel] = 200 + channel
    Image.fromarray(pixels).save(desk / "colours.png")
    return desk / "colours.png"


@pytest.mark.parametrize(("channels", "objects"), [("0", 1), ("1,0", 2), ("2,0,1", 3)])
def test_the_chosen_channels_come_first(said, model, colours, channels, objects):
    told = said("segment", model, colours, "--channels", channels, "-f", "csv")
    assert told["files"][0]["objects"] == objects
    rows = table_of(colours.parent / "segmented/colours_objects.csv")
    assert float(rows[0]["intensity_max_0"]) == 199 + objects
    number = len(channels.split(","))
    assert f"intensity_mean_{number - 1}" in rows[0]
    assert f"intensity_mean_{number}" not in rows[0]


def test_what_is_left_out_is_told(run, model, colours):
    result = run("segment", model, colours, "--channels", "0,2")
    assert "note: channel 1 of 3 left out of 1 image" in result.stderr


def test_an_overlay_of_two_channels_is_drawn(run, model, colours):
    assert run("segment", model, colours, "--channels", "0,2", "-f", "overlay").exit_code == 0
    with Image.open(colours.parent / "segmented/colours_overlay.png") as picture:
        assert picture.size == (40, 24)


@pytest.mark.parametrize("given", ["red", "-1", "", "0,,1"])
def test_channels_that_make_no_sense_are_told(fails, model, colours, given):
    assert "--channels" in fails("segment", model, colours, f"--channels={given}")


def test_channels_that_are_neither_gray_nor_rgb_have_to_be_chosen(run, said, model, desk):
    tifffile.imwrite(desk / "five.tif", np.zeros((5, 24, 40), np.uint8), photometric="minisblack",
                     metadata={"axes": "CYX"})  # fmt: skip
    result = run("segment", model, "five.tif")
    assert result.exit_code == 1
    assert "five.tif has 5 channels; select with --channels" in result.stderr
    assert said("segment", model, "five.tif", "--channels", "4")["done"] == 1


def test_other_channels_are_other_settings(run, fails, model, colours):
    assert run("segment", model, colours, "--channels", "0").exit_code == 0
    assert "settings differ" in fails("segment", model, colours, "--channels", "1")
    assert "skipped" in run("segment", model, colours, "--channels", "0").stdout


@pytest.fixture
def stack(desk):
    """A TIFF of three pages with 1, 2 and 3 patches, 0.5 micrometres a pixel."""
    pages = [np.array(Image.open(desk / f"photos/images/cell{i}.png")) for i in range(3)]
    tifffile.imwrite(
        desk / "scan.tif",
        np.stack(pages),
        imagej=True,
        resolution=(2, 2),
        metadata={"axes": "ZYX", "unit": "um"},
    )
    return desk / "scan.tif"


def test_a_stack_is_refused_with_the_option_named(run, model, stack):
    result = run("segment", model, stack)
    assert result.exit_code == 1
    assert "--stack planes" in result.stderr


@pytest.mark.parametrize(("choice", "letter"), [("planes", "z"), ("time", "t")])
def test_each_page_of_a_stack_is_an_image(said, model, stack, choice, letter):
    told = said("segment", model, stack, "photos/images/cell3.png", "--stack", choice, "--coco",
                "--table")  # fmt: skip
    assert [file["objects"] for file in told["files"]] == [1, 2, 3, 4]
    names = [f"scan_{letter}00{page}.tif" for page in (1, 2, 3)]
    out = stack.parent / "segmented"
    assert (out / f"scan_{letter}002_labels.png").is_file()
    document = json.loads((out / "coco.json").read_text())
    assert [image["file_name"] for image in document["images"]] == [*names, "cell3.png"]
    assert {row["image"] for row in table_of(out / "objects.csv")} == {*names, "cell3.png"}
    again = said("segment", model, stack, "photos/images/cell3.png", "--stack", choice)
    assert again["skipped"] == 4


def test_a_changed_stack_is_told(run, model, stack):
    assert run("segment", model, stack, "--stack", "planes").exit_code == 0
    os.utime(stack, (1, 1))
    told = run("segment", model, stack, "--stack", "planes").stderr
    assert "scan_z001.tif: its result comes from an earlier version" in told


def test_a_file_with_the_name_of_a_page_is_told(fails, model, stack):
    (stack.parent / "scan_z002.tif").write_bytes(stack.read_bytes())
    assert "rename one" in fails("segment", model, stack, "--stack", "planes")


def test_the_pixel_size_of_the_file_is_carried(run, model, stack):
    words = ("segment", model, stack, "--stack", "planes", "-f", "tiff", "-f", "csv")
    assert run(*words, "--units", "um").exit_code == 0
    out = stack.parent / "segmented"
    assert read_pixel_size(out / "scan_z001_labels.tif") == 0.5
    (row,) = table_of(out / "scan_z001_objects.csv")
    assert (row["units"], float(row["pixel_size"])) == ("um", 0.5)
    assert float(row["area"]) == 12 * 8 / 4
    assert float(row["perimeter"]) == (2 * 11 + 2 * 7) / 2
    assert row["x1"] == "9"


def test_a_given_pixel_size_wins_and_is_a_setting(run, fails, model, stack):
    words = ("segment", model, stack, "--stack", "planes", "-f", "tiff")
    assert run(*words, "--pixel-size", "0.3").exit_code == 0
    assert read_pixel_size(stack.parent / "segmented/scan_z001_labels.tif") == pytest.approx(0.3)
    assert "settings differ" in fails(*words, "--pixel-size", "0.4")


def test_micrometres_need_a_pixel_size(run, model, desk):
    result = run("segment", model, "photos/images/cell0.png", "--units", "um")
    assert result.exit_code == 1
    assert "--pixel-size" in result.stderr
    assert run("segment", model, "photos/images/cell0.png", "--units", "um", "--pixel-size", "2",
               "-f", "csv").exit_code == 0  # fmt: skip
    (row,) = table_of(desk / "segmented/cell0_objects.csv")
    assert float(row["area"]) == 12 * 8 * 4


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [("--stack", "all", "planes"), ("--units", "mm", "um"), ("--pixel-size", "0", "above 0")],
)
def test_options_that_make_no_sense_are_told(fails, model, colours, option, value, said):
    assert said in fails("segment", model, colours, option, value)


def test_regions_and_geojson_are_formats(run, model, desk):
    run("segment", model, "photos/images", "-f", "rois", "-f", "geojson")
    out = desk / "segmented"
    rois = roifile.roiread(out / "cell2_rois.zip")
    assert [(roi.left, roi.top, roi.right, roi.bottom) for roi in rois] == [
        (1, 6, 9, 18), (11, 6, 19, 18), (21, 6, 29, 18)
    ]  # fmt: skip
    assert len(json.loads((out / "cell2_objects.geojson").read_text())["features"]) == 3


def test_the_model_that_ships_segments_two_channels(run, desk):
    y, x = np.mgrid[:96, :128]
    nucleus = 200.0 * np.exp(-((((y - 48) ** 2 + (x - 60) ** 2) / 14**2) ** 4))
    two = np.stack([nucleus, nucleus / 2]).astype(np.uint8)
    tifffile.imwrite(desk / "two.tif", two, photometric="minisblack", metadata={"axes": "CYX"})
    result = run("segment", "nuclei", "two.tif", "--channels", "1,0", "-f", "csv")
    assert result.exit_code == 0, result.output
    header = (desk / "segmented/two_objects.csv").read_text().splitlines()[0]
    assert "intensity_mean_1" in header or "touches_border" in header
