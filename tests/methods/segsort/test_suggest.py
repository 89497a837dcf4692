"""Settings that follow from the training images, from the survey to the plan of a training."""

import numpy as np
import pytest

from congeal.data.drawn import DrawnDataset
from congeal.data.measures import ImageMeasures, TrainingSurvey
from congeal.data.unlabelled import UnlabelledDataset
from congeal.methods.segsort.suggest import suggest_settings
from congeal.training.plan import make_plan


def survey(width=20.0, side=200, classes=5, count=100, labelled=True):
    one = np.full(4, width)
    image = ImageMeasures(0.5, (side, side), one**2, one, one, one, 0 * one, one)
    names = tuple(f"class {number}" for number in range(classes))
    return TrainingSurvey("made up", "semantic", (image,), count, names, labelled)


def test_small_regions_get_more_cells_within_bounds():
    grids = [suggest_settings(survey(width))["loss.grid"] for width in (100.0, 15.0, 14.0, 1.0)]
    assert grids == [5, 7, 7, 8]


def test_more_cells_get_more_iterations():
    assert suggest_settings(survey(100.0))["loss.iterations"] == 10
    assert suggest_settings(survey(5.0))["loss.iterations"] == 15


@pytest.mark.parametrize(
    ("classes", "dimensions"), [(2, 16), (9, 32), (12, 32), (21, 64), (200, 64)]
)
def test_dimensions_leave_room_for_the_classes(classes, dimensions):
    assert suggest_settings(survey(classes=classes))["network.dimensions"] == dimensions


def test_many_classes_get_a_longer_memory_and_a_sharper_loss():
    few, many = (suggest_settings(survey(classes=number)) for number in (12, 150))
    assert (few["loss.memory"], few["loss.concentration"]) == (2, 10.0)
    assert (many["loss.memory"], many["loss.concentration"]) == (4, 15.0)


def test_few_images_get_few_voters():
    voters = [suggest_settings(survey(count=count))["decoding.k"] for count in (1, 10, 1000)]
    assert voters == [1, 5, 15]


def test_images_alone_are_learnt_without_supervision(tmp_path):
    from PIL import Image

    assert "loss.unsupervised" not in suggest_settings(survey())
    Image.new("RGB", (40, 40)).save(tmp_path / "a.png")
    plan = make_plan("segsort", UnlabelledDataset(tmp_path), {})
    assert plan.config.loss.unsupervised


def test_a_plan_takes_what_is_suggested_and_what_is_given_goes_before():
    shapes = DrawnDataset("shapes", "train", count=4, size=64)
    plan = make_plan("segsort", shapes, {"k": 3})
    assert plan.config.network.dimensions == 16
    assert plan.config.decoding.k == 3
