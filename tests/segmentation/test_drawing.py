"""Drawing results over images."""

from __future__ import annotations

import numpy as np
import pytest

from congeal.errors import CongealError
from congeal.segmentation import Segmentation


@pytest.fixture
def crossing():
    """A wide bar under a tall one."""
    masks = np.zeros((2, 31, 31), bool)
    masks[0, 12:19, 3:28] = True
    masks[1, 3:28, 12:19] = True
    return Segmentation.from_masks(masks, scores=[0.2, 0.9])


def test_the_whole_outline_of_a_covered_object_is_drawn(crossing):
    picture = crossing.draw(np.zeros((31, 31), np.uint8))
    below, above = picture[12, 5], picture[5, 12]
    assert not np.array_equal(below, above)
    assert np.array_equal(picture[12, 14], below)
    assert np.array_equal(picture[14, 12], above)


def test_where_outlines_cross_the_higher_score_is_on_top(crossing):
    picture = crossing.draw(np.zeros((31, 31), np.uint8))
    assert np.array_equal(picture[12, 12], picture[5, 12])


def test_background_is_the_image_itself(crossing):
    image = np.random.default_rng(0).integers(0, 255, (31, 31, 3), np.uint8)
    outside = crossing.labels == 0
    assert np.array_equal(crossing.draw(image)[outside], image[outside])


def test_no_line_runs_along_the_border_of_the_image():
    masks = np.ones((2, 8, 8), bool)
    masks[1, :, 4:] = False
    picture = Segmentation.from_masks(masks, [0.5, 0.6]).draw(np.zeros((8, 8)), alpha=0.0)
    lines = picture.any(-1)
    assert lines[:, 3].all()
    assert not lines[:, [0, 1, 2, 4, 5, 6, 7]].any()


def test_an_object_hidden_by_another_keeps_its_outline():
    masks = np.zeros((2, 12, 12), bool)
    masks[0, 1:11, 1:11] = masks[1, 4:8, 4:8] = True
    picture = Segmentation.from_masks(masks, [0.9, 0.1]).draw(np.zeros((12, 12)), alpha=0.0)
    assert picture[4, 4].any()


def test_without_outlines_only_the_tint_is_drawn(crossing):
    picture = crossing.draw(np.zeros((31, 31), np.uint8), outlines=False)
    assert np.array_equal(picture[5, 12], picture[5, 15])


def test_nothing_found_leaves_the_image_as_it_is():
    image = np.full((5, 6), 200, np.uint8)
    picture = Segmentation.from_labels(np.zeros((5, 6), int)).draw(image)
    assert (picture == 200).all()


def test_an_image_of_another_size_is_refused(crossing):
    with pytest.raises(CongealError, match="size"):
        crossing.draw(np.zeros((30, 31)))
