"""Label maps as pictures: neighbours differ, lines are crisp, images stay themselves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from congeal.errors import CongealError
from congeal.figures import colour_labels, label_colours, outline, overlay
from congeal.figures.colour import object_colours
from congeal.figures.palette import NEAR, oklab, palette, spread_colours

LABEL_MAPS = hnp.arrays(
    np.int64,
    st.tuples(st.integers(1, 8), st.integers(1, 8)),
    elements=st.integers(-1, 9),
)


def patchwork(count, size, seed=0):
    """Objects that fill the image, each touching several others."""
    centres = np.random.default_rng(seed).uniform(0, size, (count, 2))
    pixels = np.stack(np.mgrid[:size, :size], -1)[..., None, :]
    return ((pixels - centres) ** 2).sum(-1).argmin(-1) + 1


def neighbours(labels):
    """Colours on both sides of every edge between pixels of different objects."""
    picture = colour_labels(labels)
    for one, two in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        edge = labels[one] != labels[two]
        yield oklab(picture[one][edge]), oklab(picture[two][edge])


def test_the_eye_can_tell_apart_all_colours_of_the_palette():
    lab = oklab(palette())
    apart = np.linalg.norm(lab[:, None] - lab[None], axis=-1) + np.eye(len(lab))
    assert apart.min() > 0.1


def test_no_colour_of_the_palette_vanishes_on_black_or_on_white():
    lightness = oklab(palette())[:, 0]
    assert lightness.min() > 0.55
    assert lightness.max() < 0.92


@pytest.mark.parametrize("seed", range(5))
def test_objects_that_touch_have_colours_far_apart(seed):
    for one, two in neighbours(patchwork(120, 90, seed)):
        assert np.linalg.norm(one - two, axis=1).min() > 0.9 * NEAR


def test_an_object_with_more_neighbours_than_colours_still_differs_from_them():
    labels = np.full((9, 200), 1)
    labels[::8, :] = np.arange(2, 402).reshape(2, 200)
    for one, two in neighbours(labels):
        assert np.linalg.norm(one - two, axis=1).min() > 0.05


def test_the_same_map_always_has_the_same_colours():
    labels = patchwork(30, 40)
    assert np.array_equal(colour_labels(labels), colour_labels(labels))
    assert not np.array_equal(colour_labels(labels), colour_labels(labels, seed=1))


def test_taking_objects_away_leaves_most_colours_as_they_were():
    labels = patchwork(60, 80)
    fewer = np.where(labels % 5 == 0, 0, labels)
    same = (colour_labels(labels) == colour_labels(fewer)).all(-1)[fewer > 0]
    assert same.mean() > 0.6


@settings(deadline=None, max_examples=60)
@given(labels=LABEL_MAPS)
def test_background_is_black_void_gray_and_every_object_one_colour(labels):
    picture = colour_labels(labels)
    assert not picture[labels == 0].any()
    assert (picture[labels < 0] == 128).all()
    for value in np.unique(labels[labels > 0]):
        assert len(np.unique(picture[labels == value], axis=0)) == 1
        assert picture[labels == value].any()


def test_colours_by_object_are_those_of_the_picture():
    labels = patchwork(25, 40)
    labels[labels == 7] = 0
    table = object_colours(labels, 25)
    assert np.array_equal(table[labels[labels > 0] - 1], colour_labels(labels)[labels > 0])


def test_ids_far_apart_are_coloured():
    assert colour_labels(np.array([[2**40, 3]])).any(-1).all()


@pytest.mark.parametrize("count", [0, 1, 20, 500])
def test_label_colours_gives_n_colours(count):
    colours = label_colours(count, seed=3)
    assert colours.shape == (count, 3)
    assert len(np.unique(colours[:20], axis=0)) == min(count, 20)


def test_unmatched_wishes_are_granted():
    assert spread_colours(np.array([4, 4, 5]), np.zeros((0, 2), int)).tolist() == [4, 4, 5]


def test_each_of_two_objects_that_touch_keeps_its_own_line():
    labels = np.repeat([[1, 1, 1, 2, 2, 2]], 3, 0)
    assert outline(labels)[1].tolist() == [False, False, True, True, False, False]


def test_lines_lie_inside_objects_and_not_on_the_border_of_the_image():
    labels = np.zeros((9, 9), int)
    labels[:5, :5] = 1
    line = outline(labels)
    assert not line[labels == 0].any()
    assert line[4, :5].all()
    assert line[:5, 4].all()
    assert not line[:4, :4].any()


def test_thick_lines_are_as_thick_as_asked():
    labels = np.zeros((20, 20), int)
    labels[4:16, 4:16] = 1
    assert np.flatnonzero(outline(labels, 3)[10]).tolist() == [4, 5, 6, 13, 14, 15]


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1), (0, 4), (2, 2000)])
def test_maps_of_any_size_are_drawn(shape):
    labels = np.ones(shape, int)
    assert overlay(np.zeros(shape), labels).shape == (*shape, 3)
    assert not outline(labels).any()


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((40, 40), np.uint8),
        np.full((40, 40), 255, np.uint8),
        np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8),
        np.random.default_rng(0).integers(0, 60000, (40, 40, 1)).astype(np.uint16),
        np.random.default_rng(0).normal(size=(40, 40, 3)),
    ],
)
def test_objects_show_on_any_image_and_the_ground_stays(image):
    labels = np.zeros((40, 40), int)
    labels[5:20, 5:20], labels[20:35, 5:20] = 1, 2
    plain, drawn = overlay(image, np.zeros((40, 40), int)), overlay(image, labels)
    assert np.array_equal(drawn[labels == 0], plain[labels == 0])
    line = outline(labels)
    seen = np.linalg.norm(oklab(drawn[line]) - oklab(plain[line]), axis=1)
    assert np.median(seen) > 0.15


def test_lines_are_darker_over_bright_ground():
    labels = np.zeros((20, 20), int)
    labels[5:15, 5:15] = 1
    dark, bright = (overlay(np.full((20, 20), v, np.uint8), labels) for v in (0, 255))
    assert bright[5, 8].sum() < dark[5, 8].sum()


def test_scale_enlarges_before_drawing_so_that_lines_stay_thin():
    labels = np.zeros((10, 10), int)
    labels[3:7, 3:7] = 1
    picture = overlay(np.zeros((10, 10), np.uint8), labels, alpha=0.0, scale=4)
    assert picture.shape == (40, 40, 3)
    assert np.flatnonzero(picture[20].any(-1)).tolist() == [12, 27]


def test_what_is_no_label_map_or_of_another_size_is_refused():
    with pytest.raises(CongealError, match="integer"):
        colour_labels(np.zeros((2, 2)))
    with pytest.raises(CongealError, match=r"\(H, W\)"):
        outline(np.zeros((2, 2, 2), int))
    with pytest.raises(CongealError, match="size"):
        overlay(np.zeros((3, 3)), np.zeros((2, 2), int))
