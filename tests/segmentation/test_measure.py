"""Measurements against scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import draw
from skimage.measure import perimeter, regionprops_table

from congeal.errors import CongealError
from congeal.segmentation import COLUMNS, Segmentation
from congeal.segmentation.measure import INTENSITIES

PROPERTIES = (
    "area",
    "centroid",
    "bbox",
    "axis_major_length",
    "axis_minor_length",
    "orientation",
    "perimeter",
    "intensity_mean",
    "intensity_std",
    "intensity_min",
    "intensity_max",
)


def reference(labels, image):
    """The same columns by scikit-image; its angle counts from the row axis."""
    table = regionprops_table(labels, image, properties=PROPERTIES)
    return {
        "area": table["area"],
        "centroid_y": table["centroid-0"],
        "centroid_x": table["centroid-1"],
        "y0": table["bbox-0"],
        "x0": table["bbox-1"],
        "y1": table["bbox-2"],
        "x1": table["bbox-3"],
        "length": table["axis_major_length"],
        "width": table["axis_minor_length"],
        "orientation": (np.degrees(table["orientation"]) + 90) % 180,
        "perimeter": table["perimeter"],
        **{f"intensity_{n}_0": table[f"intensity_{n}"] for n in ("mean", "std", "min", "max")},
        "intensity_sum_0": table["intensity_mean"] * table["area"],
    }


def ellipses(count, size, seed):
    """Masks of random ellipses, many of them crossing."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((count, size, size), bool)
    for mask in masks:
        y, x = rng.uniform(0, size, 2)
        a, b = rng.uniform(3, 12, 2)
        rows = draw.ellipse(y, x, a, b, mask.shape, rotation=rng.uniform(-np.pi, np.pi))
        mask[rows] = True
    return masks[masks.sum((1, 2)) > 12]


def assert_agrees(rows, expected):
    for name, values in expected.items():
        got = np.array([row[name] for row in rows], float)
        if name == "orientation":
            apart = np.abs(got - values)
            assert np.minimum(apart, 180 - apart).max() < 1e-4
        else:
            np.testing.assert_allclose(got, values, rtol=1e-9, atol=1e-6, err_msg=name)


def test_disjoint_objects_measure_as_in_scikit_image():
    labels = Segmentation.from_masks(ellipses(40, 90, 0)).labels
    image = np.random.default_rng(1).integers(0, 60000, labels.shape).astype(np.uint16)
    result = Segmentation.from_labels(labels)
    assert_agrees(result.measurements(image), reference(result.labels, image))


def test_overlapping_objects_are_measured_whole():
    masks = ellipses(30, 60, 2)
    image = np.random.default_rng(3).normal(size=(60, 60))
    result = Segmentation.from_masks(masks)
    assert not result.disjoint
    for row, mask in zip(result.measurements(image), masks, strict=True):
        assert_agrees([row], reference(mask.astype(int), image))


@pytest.mark.parametrize(
    ("ends", "angle"),
    [((10, 2, 10, 38), 0), ((2, 10, 38, 10), 90), ((2, 2, 38, 38), 135), ((38, 2, 2, 38), 45)],
)
def test_orientation_turns_counter_clockwise_from_the_x_axis(ends, angle):
    labels = np.zeros((40, 40), int)
    labels[draw.line(*ends)] = 1
    row = Segmentation.from_labels(labels).measurements()[0]
    assert row["orientation"] == pytest.approx(angle, abs=1e-6)


def test_one_pixel_has_a_place_and_no_length():
    row = Segmentation.from_labels(np.array([[0, 0], [0, 1]])).measurements(np.eye(2))[0]
    assert (row["centroid_y"], row["centroid_x"], row["area"]) == (1, 1, 1)
    assert (row["length"], row["width"], row["orientation"]) == (0, 0, 0)
    assert (row["intensity_mean_0"], row["intensity_std_0"]) == (1, 0)
    assert row["perimeter"] == 0
    assert np.isnan(row["circularity"])


def test_every_channel_is_measured_by_itself():
    image = np.zeros((2, 2, 3), np.uint8)
    image[..., 0], image[0, 0, 2] = 30, 60
    row = Segmentation.from_labels(np.ones((2, 2), int)).measurements(image)[0]
    assert [row[f"intensity_{what}_0"] for what in INTENSITIES] == [30, 0, 30, 30, 120]
    assert [row[f"intensity_{what}_2"] for what in INTENSITIES] == pytest.approx(
        [15, 15 * 3**0.5, 0, 60, 60]
    )


def test_a_small_spread_of_large_values_is_measured_exactly():
    image = np.array([[60000.0, 60000.25]])
    row = Segmentation.from_labels(np.ones((1, 2), int)).measurements(image)[0]
    assert row["intensity_std_0"] == pytest.approx(0.125, rel=1e-9)


def test_perimeters_of_pixel_noise_are_those_of_scikit_image():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, (60, 50))
    result = Segmentation.from_labels(labels)
    expected = [perimeter(result.labels == label) for label in range(1, 5)]
    assert [row["perimeter"] for row in result.measurements()] == pytest.approx(expected)


def test_a_disc_is_rounder_than_a_stick():
    labels = np.zeros((90, 90), int)
    labels[draw.disk((30, 30), 25)], labels[70:73, 5:80] = 1, 2
    disc, stick = Segmentation.from_labels(labels).measurements()
    assert disc["circularity"] > 0.85
    assert stick["circularity"] == pytest.approx(
        4 * np.pi * stick["area"] / stick["perimeter"] ** 2
    )
    assert stick["circularity"] < 0.2


def test_objects_at_the_image_border_are_marked():
    labels = np.zeros((9, 12), int)
    labels[0, 3], labels[4, 4], labels[3, 11], labels[8, 6], labels[5, 0] = 1, 2, 3, 4, 5
    rows = Segmentation.from_labels(labels).measurements()
    assert [row["touches_border"] for row in rows] == [True, False, True, True, True]


def test_micrometres_scale_lengths_and_areas_and_leave_the_box():
    labels = np.zeros((30, 40), int)
    labels[5:15, 8:28] = 1
    result = Segmentation.from_labels(labels)
    pixels, micrometres = (
        result.measurements()[0],
        result.measurements(pixel_size=0.5, units="um")[0],
    )
    assert (micrometres["units"], micrometres["pixel_size"]) == ("um", 0.5)
    assert micrometres["area"] == pixels["area"] / 4 == 50
    for name in ("perimeter", "length", "width", "centroid_x", "centroid_y"):
        assert micrometres[name] == pixels[name] / 2
    for name in ("x0", "y1", "orientation", "circularity"):
        assert micrometres[name] == pixels[name]


@pytest.mark.parametrize(
    ("size", "units", "said"),
    [
        (None, "um", "--pixel-size"),
        (0, "px", "above 0"),
        (np.nan, "px", "above 0"),
        (1, "mm", "px"),
    ],
)
def test_a_scale_that_makes_no_sense_is_refused(size, units, said):
    result = Segmentation.from_labels(np.ones((2, 2), int))
    with pytest.raises(CongealError, match=said):
        result.measurements(pixel_size=size, units=units)


def test_an_image_of_another_size_is_refused():
    with pytest.raises(CongealError, match="size"):
        Segmentation.from_labels(np.ones((2, 2), int)).measurements(np.zeros((3, 2)))


def test_every_row_has_the_documented_columns_as_plain_python_values():
    result = Segmentation.from_labels(np.ones((2, 2), int), [0.5], [2], ["cell", "worm"])
    row = result.measurements(np.zeros((2, 2)))[0]
    intensities = tuple(f"intensity_{name}_0" for name in INTENSITIES)
    assert tuple(row) == (*COLUMNS[:14], *intensities, *COLUMNS[14:])
    assert {type(value) for value in row.values()} == {int, float, str, bool}
    assert row["class"] == "worm"
    assert tuple(result.measurements()[0]) == COLUMNS


def test_seventy_thousand_objects_are_measured():
    labels = np.arange(1, 70_001).reshape(280, 250)
    rows = Segmentation.from_labels(labels).measurements()
    assert len(rows) == 70_000
    assert rows[-1]["label"] == 70_000
    assert rows[-1]["x1"] == 250
