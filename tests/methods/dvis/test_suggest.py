"""Settings that follow from the objects of the training images."""

import pytest

from congeal.data.drawn import DrawnDataset
from congeal.training.plan import make_plan


@pytest.mark.parametrize(
    ("objects", "channels", "radius"), [(2, 1, False), (8, 3, False), (40, 3, True)]
)
def test_pixels_have_more_numbers_where_images_have_more_objects(objects, channels, radius):
    data = DrawnDataset("discs", count=3, size=128, objects=objects)
    config = make_plan("dvis", data, {}).config
    assert config.network.channels == channels
    assert (config.loss.repulsion_radius is not None) == radius


def test_the_preset_of_the_paper_has_one_number_and_repels_everywhere():
    data = DrawnDataset("discs", count=3, size=128, objects=40)
    config = make_plan("dvis", data, {}, preset="paper").config
    assert config.network.channels == 1
    assert config.loss.repulsion_radius is None
    assert config.network.features == "encoder"
