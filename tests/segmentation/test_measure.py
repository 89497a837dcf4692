"""Measurements against scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import draw
from skimage.measure import regionprops_table

from congeal.errors import CongealError
from congeal.segmentation import COLUMNS, Segmentation

PROPERTIES = (
    "area",
    "centroid",
    "bbox",
    "axis_major_length",
    "axis_minor_length",
    "orientation",
    "intensity_mean",
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
        "mean_intensity": table["intensity_mean"],
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
    assert row["mean_intensity"] == 1


def test_intensity_of_a_colour_image_is_the_mean_of_its_channels():
    image = np.zeros((2, 2, 3), np.uint8)
    image[..., 0], image[..., 2] = 30, 60
    row = Segmentation.from_labels(np.ones((2, 2), int)).measurements(image)[0]
    assert row["mean_intensity"] == 30


def test_an_image_of_another_size_is_refused():
    with pytest.raises(CongealError, match="size"):
        Segmentation.from_labels(np.ones((2, 2), int)).measurements(np.zeros((3, 2)))


def test_every_row_has_the_documented_columns_as_plain_python_values():
    result = Segmentation.from_labels(np.ones((2, 2), int), [0.5], [2], ["cell", "worm"])
    row = result.measurements(np.zeros((2, 2)))[0]
    assert tuple(row) == COLUMNS
    assert {type(value) for value in row.values()} == {int, float, str}
    assert row["class"] == "worm"
    assert "mean_intensity" not in result.measurements()[0]


def test_seventy_thousand_objects_are_measured():
    labels = np.arange(1, 70_001).reshape(280, 250)
    rows = Segmentation.from_labels(labels).measurements()
    assert len(rows) == 70_000
    assert rows[-1]["label"] == 70_000
    assert rows[-1]["x1"] == 250
