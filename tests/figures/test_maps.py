"""Pictures of classes and boundaries."""

from __future__ import annotations

import numpy as np
import pytest

from congeal.errors import CongealError
from congeal.figures import to_display
from congeal.figures.maps import class_colours, colour_classes, overlay_boundary, overlay_classes


def test_a_class_has_one_colour_whatever_else_is_there():
    assert np.array_equal(class_colours(300)[:40], class_colours(39))
    assert np.array_equal(colour_classes([[3, 1]])[0, 0], colour_classes([[0, 3]])[0, 1])


def test_lines_run_where_classes_meet_and_in_none_of_the_background():
    classes = np.zeros((9, 9), int)
    classes[:, 3:6], classes[:, 6:] = 1, 2
    image = np.zeros((9, 9), np.uint8)
    drawn = overlay_classes(image, classes, alpha=0.0).any(-1)
    assert drawn[0].tolist() == [False] * 3 + [True, False, True, True, False, False]


def test_void_is_gray_and_the_background_the_image_itself():
    image = np.random.default_rng(0).integers(0, 255, (1, 2, 3), np.uint8)
    picture = overlay_classes(image, [[0, -1]], alpha=1.0)
    assert picture[0, 1].tolist() == [128, 128, 128]
    assert np.array_equal(picture[0, 0], to_display(image)[0, 0])


@pytest.mark.parametrize("draw", [overlay_classes, overlay_boundary])
def test_an_image_of_another_size_is_refused(draw):
    with pytest.raises(CongealError, match="size"):
        draw(np.zeros((2, 2), np.uint8), np.zeros((2, 3), int))
