"""Settings that follow from the objects in the training images."""

import numpy as np
import pytest
from cases.grid import Grid

from congeal.data import DrawnDataset
from congeal.data.measures import survey_training
from congeal.errors import CongealError
from congeal.methods.rpe import RPE
from congeal.models import load


def suggested(dataset):
    return RPE.suggest(survey_training(dataset, "instances"))


def test_crowds_get_a_radius_that_grows_with_their_objects():
    small, large = (suggested(Grid(8, side)) for side in (20, 40))
    assert 20 < small["loss.repulsion_radius"] < large["loss.repulsion_radius"]
    assert small["network.coordinates"] == "rotary"
    assert small["network.wavelengths"][0] < small["network.wavelengths"][1]


def test_crowds_of_small_objects_are_shown_larger_and_repel_over_what_is_shown():
    small, same = (suggested(Grid(8, side)) for side in (9, 15))
    assert small["input.min_object_area"] == same["input.min_object_area"] > 15**2 / 1.22
    shown = 9 * np.sqrt(small["input.min_object_area"] / 9**2)
    assert small["loss.repulsion_radius"] == pytest.approx(2 * shown, abs=0.5)
    assert same["loss.repulsion_radius"] == 30
    assert "input.min_object_area" not in suggested(Grid(3, 9))


def test_few_objects_have_a_direction_each():
    settings = suggested(Grid(3, 30))
    assert settings["loss.repulsion_radius"] is None
    assert suggested(DrawnDataset("sticks", count=8))["loss.repulsion_radius"] is None


@pytest.mark.parametrize("per_side", [2, 8])
def test_the_suggested_minimum_area_keeps_surveyed_objects(per_side):
    assert 4 <= suggested(Grid(per_side, 12))["decoding.min_area"] <= 12**2
    assert suggested(Grid(per_side, 1))["decoding.min_area"] == 4


@pytest.mark.parametrize("per_side", [2, 8])
def test_dark_ground_is_lifted(per_side):
    sparse = Grid(per_side, 4)
    sparse.labels = np.pad(sparse.labels, 60)
    assert suggested(sparse)["input.gamma"] < suggested(Grid(per_side, 40))["input.gamma"] == 1


@pytest.mark.parametrize("per_side", [2, 8])
def test_what_is_suggested_makes_a_model(per_side):
    assert RPE.from_settings(suggested(Grid(per_side, 20)))


@pytest.mark.parametrize(
    ("per_side", "side", "expected"),
    [
        (2, 60, 1.0),  # 128 pixels, few objects: nothing to fit
        (2, 300, 0.4),  # 608: the next 2 / k to 256 / 608
        (6, 20, 1.0),  # a crowd of small objects
        (6, 90, 1.0),
        (6, 120, 0.4),  # a crowd of large ones, shown at 48 pixels
    ],
)
def test_what_is_large_is_shown_smaller(per_side, side, expected):
    assert suggested(Grid(per_side, side))["input.scale"] == expected


def test_thin_objects_are_not_shown_as_hairlines():
    thin = Grid(1, 2000, images=1)
    thin.labels[:] = 0
    thin.labels[1000:1006] = 1  # a line of six pixels
    assert 1.5 < 6 * suggested(thin)["input.scale"] <= 3


@pytest.mark.parametrize("per_side", [2, 8])
def test_lengths_and_areas_are_those_of_the_scaled_image(per_side):
    large = Grid(per_side, 240)
    shown = suggested(large)
    scale = shown["input.scale"]
    assert scale <= 0.5
    assert shown["decoding.min_area"] == pytest.approx(
        scale**2 * 240**2 * (0.7 if per_side == 2 else 1), rel=0.01
    )
    if per_side == 8:
        assert shown["loss.repulsion_radius"] == pytest.approx(2 * 240 * scale, abs=1)


def test_one_image_is_enough_and_many_are_sampled():
    assert suggested(Grid(8, 20, images=1)) == suggested(Grid(8, 20, images=500))


def test_images_without_objects_are_told_in_one_line():
    empty = Grid(3, 5)
    empty.labels[:] = 0
    with pytest.raises(CongealError, match="expected objects in the training images of grid"):
        suggested(empty)


def fitted(dataset):
    return RPE.adapt(survey_training(dataset, "instances"), load("nuclei").config)


@pytest.mark.parametrize("settings", [suggested, fitted])
def test_holes_are_filled_unless_objects_have_holes(settings):
    rings = Grid(8, 20)
    assert settings(rings)["decoding.fill_holes"]
    within = np.isin(np.arange(len(rings.labels)) % 24, range(5, 15))
    rings.labels[np.ix_(within, within)] = 0  # the middle of each square
    assert not settings(rings)["decoding.fill_holes"]


def test_a_crowd_of_objects_that_cross_keeps_a_direction_each():
    settings = suggested(DrawnDataset("fibres", count=8))
    assert settings["loss.repulsion_radius"] is None
    assert settings["network.coordinates"] == "projected"


def test_a_crowd_of_long_thin_objects_is_not_shown_as_hairlines():
    lines = Grid(8, 160)
    lines.labels[np.arange(len(lines.labels)) % 164 >= 4] = 0  # four rows are left of each square
    scale = suggested(lines)["input.scale"]
    assert 2 <= 4 * scale < 4
