"""Views on images, held to a loop over pixels and to scipy's interpolation."""

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from congeal.data.view import (
    View,
    pixel_locations,
    view_boundaries,
    view_image,
    view_labels,
    view_locations,
)

sides = st.integers(1, 40)
views = st.builds(
    View,
    centre=st.tuples(st.floats(-20, 60), st.floats(-20, 60)),
    size=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    scale=st.sampled_from([0.51, 0.7, 1.0, 1.31, 3.0]),
    angle=st.sampled_from([0.0, 13.0, 90.0, -121.0, 180.0]),
    mirror=st.tuples(st.booleans(), st.booleans()),
)


def seen_at(view, i, j):
    """Where on the image pixel (i, j) of a view lies: y and x, by the definition."""
    v, u = i + 0.5 - view.size[0] / 2, j + 0.5 - view.size[1] / 2
    v, u = (-v if view.mirror[0] else v), (-u if view.mirror[1] else u)
    back = -math.radians(view.angle)  # clockwise with y downwards
    x = (math.cos(back) * u - math.sin(back) * v) / view.scale
    y = (math.sin(back) * u + math.cos(back) * v) / view.scale
    return view.centre[0] + y - 0.5, view.centre[1] + x - 0.5


def all_seen(view):
    places = [[seen_at(view, i, j) for j in range(view.size[1])] for i in range(view.size[0])]
    return np.moveaxis(np.array(places), -1, 0)  # (2, h, w)


@settings(max_examples=60, deadline=None)
@given(height=sides, width=sides, view=views)
def test_an_image_is_interpolated_where_the_view_looks(height, width, view):
    assume(not view.upright)
    image = np.random.default_rng(0).random((2, height, width))
    places = all_seen(view)
    wanted = [
        ndimage.map_coordinates(one, places, order=1, mode="grid-constant", cval=0.25)
        for one in image
    ]
    found = view_image(torch.from_numpy(image), view, fill=0.25)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), np.stack(wanted), atol=2e-4)


@settings(max_examples=60, deadline=None)
@given(height=sides, width=sides, view=views)
def test_a_label_is_that_of_the_nearest_pixel(height, width, view):
    assume(not view.upright)
    labels = np.arange(height * width).reshape(height, width)
    found = view_labels(torch.from_numpy(labels), view).numpy()
    for (i, j), label in np.ndenumerate(found):
        y, x = seen_at(view, i, j)
        if min(abs(at + 0.5 - round(at + 0.5)) for at in (y, x)) < 1e-3:
            continue  # on the border between pixels either may be meant
        row, column = round(y), round(x)
        inside = 0 <= row < height and 0 <= column < width
        assert label == (labels[row, column] if inside else -1)


@settings(max_examples=60, deadline=None)
@given(height=sides, width=sides, view=views)
def test_an_upright_view_copies_pixels(height, width, view):
    view = View(view.centre, view.size, mirror=view.mirror)
    labels = torch.arange(height * width).reshape(height, width)
    found = view_labels(labels, view)
    seen = view_image(labels[None], view, fill=-1.0)[0]
    assert torch.equal(seen.long(), found)
    top, left = (round(at - side / 2) for at, side in zip(view.centre, view.size, strict=True))
    assert all(abs(a - b) <= 1 for a, b in zip(view.corner(), (top, left), strict=True))
    top, left = view.corner()
    straight = View(view.centre, view.size)
    for (i, j), label in np.ndenumerate(view_labels(labels, straight).numpy()):
        inside = 0 <= top + i < height and 0 <= left + j < width
        assert label == (labels[top + i, left + j] if inside else -1)
    axes = [axis for axis in (0, 1) if view.mirror[axis]]
    assert torch.equal(found, view_labels(labels, straight).flip(axes))


@pytest.mark.parametrize("angle", [0.0, 30.0])
@pytest.mark.parametrize("kind", [torch.int32, torch.int64])
def test_large_numbers_of_objects_stay_exact(kind, angle):
    first = 2**24 if kind == torch.int64 else 2**30
    labels = torch.arange(first, first + 400, dtype=kind).reshape(20, 20)
    found = view_labels(labels, View((10.0, 10.0), (8, 8), 1.2 if angle else 1.0, angle))
    assert found.dtype == torch.int64
    assert set(found.unique().tolist()) <= set(labels.unique().tolist())
    assert len(found.unique()) > 30


def test_stacked_label_maps_are_seen_together():
    labels = torch.arange(60).reshape(3, 4, 5)
    view = View((2.0, 2.0), (6, 6), 1.5, 40.0)
    together = view_labels(labels, view)
    assert torch.equal(together, torch.stack([view_labels(one, view) for one in labels]))


@pytest.mark.parametrize("scale", [1.0, 1.3])
def test_gray_told_as_three_channels_is_seen_the_same(scale):
    gray = torch.rand(1, 12, 17)
    view = View((6.0, 8.0), (9, 9), scale, 20.0 * (scale - 1))
    shared, apart = gray.expand(3, -1, -1), gray.expand(3, -1, -1).clone()
    found = view_image(shared, view)
    assert torch.equal(found, view_image(apart, view))
    assert found.is_contiguous()


def test_fine_texture_is_averaged_before_it_is_shown_small():
    stripes = (torch.arange(64) % 2).float().expand(1, 64, 64)
    small = view_image(stripes, View((32.0, 32.0), (12, 12), scale=0.25))
    torch.testing.assert_close(small, torch.full((1, 12, 12), 0.5))
    ramp = torch.arange(64.0).expand(1, 64, 64)
    small = view_image(ramp, View((32.0, 32.0), (12, 12), scale=0.25))
    wanted = torch.tensor([seen_at(View((32.0, 32.0), (12, 12), 0.25), 0, j)[1] for j in range(12)])
    torch.testing.assert_close(small[0, 5], wanted)


@pytest.mark.parametrize("scale", [1.0, 0.4, 2.0])
def test_a_view_beside_the_image_is_empty(scale):
    view = View((-100.0, 500.0), (4, 6), scale)
    assert torch.equal(view_image(torch.ones(2, 9, 9), view, fill=0.5), torch.full((2, 4, 6), 0.5))
    assert torch.equal(view_labels(torch.ones(9, 9).long(), view), torch.full((4, 6), -1))


@pytest.mark.parametrize("scale", [1.0, 1.7])
def test_what_is_given_is_left_alone(scale):
    image, labels = torch.rand(3, 9, 9), torch.ones(9, 9, dtype=torch.int64)
    before = image.clone()
    view = View((4.5, 4.5), (5, 5), scale)
    view_image(image, view).zero_()
    view_labels(labels, view).zero_()
    assert torch.equal(image, before)
    assert bool((labels == 1).all())


@settings(max_examples=60, deadline=None)
@given(height=sides, width=sides, view=views)
def test_a_location_is_where_the_view_looks(height, width, view):
    found = view_locations(pixel_locations(height, width), view).numpy()
    assert found.shape == (2, *view.size)
    for axis, length in enumerate((height, width)):
        wanted = np.clip(all_seen(view)[axis], 0, length - 1)
        off = 0.51 if view.upright else 2e-4  # an upright view is moved onto whole pixels
        np.testing.assert_allclose(found[axis] * length - 0.5, wanted, atol=off)
    assert found.min() >= 0
    assert found.max() < 1


@settings(max_examples=60, deadline=None)
@given(height=sides, width=sides, view=views)
def test_boundaries_are_void_and_bounded_as_labels_are(height, width, view):
    rng = np.random.default_rng(0)
    labels = torch.from_numpy(rng.integers(-1, 2, (height, width)))
    strength = torch.from_numpy(rng.random((height, width), np.float32))
    found = view_boundaries(strength.masked_fill(labels < 0, -1), view)
    assert found.dtype == torch.float32
    assert torch.equal(found == -1, view_labels(labels, view) == -1)
    nearest = view_labels((strength * 1e6).long(), view) / 1e6
    assert bool((found >= nearest - 1e-5)[found >= 0].all())  # a maximum of which it is one
    assert found.max() <= 1


@settings(max_examples=60, deadline=None)
@given(
    row=st.integers(12, 27),
    column=st.integers(12, 27),
    scale=st.sampled_from([0.26, 0.4, 0.5, 0.7, 0.99, 1.0, 1.2]),
    angle=st.floats(-180, 180),
)
def test_a_single_marked_pixel_survives_any_turn_and_shrinking(row, column, scale, angle):
    marked = torch.zeros(40, 40)
    marked[row, column] = 1
    view = View((20.0, 20.0), (40, 40), scale, angle, (False, True))
    found = view_boundaries(marked, view)
    assert found.max() == 1
    places = all_seen(view)[:, (found == 1).numpy()]  # no farther than what the pixel covers
    assert np.abs(places - [[row], [column]]).max() <= max(view.extent) / len(found) + 1


@pytest.mark.parametrize("angle", [0.0, 30.0, 45.0])
@pytest.mark.parametrize("scale", [0.3, 0.5, 0.8])
def test_a_shrunken_outline_of_one_pixel_still_separates_inside_and_outside(angle, scale):
    y, x = np.mgrid[:120, :120] - 59.5
    disc = np.hypot(y, x) < 30
    thin = disc & ~ndimage.binary_erosion(disc)
    found = view_boundaries(
        torch.from_numpy(thin.astype(np.float32)), View((60.0, 60.0), (60, 60), scale, angle)
    )
    parts, count = ndimage.label(found.numpy() < 1)
    assert parts[30, 30] != parts[0, 0]
    assert count == 2
    assert (found == 1).float().mean() < 0.5


def test_boundaries_seen_upright_or_enlarged_are_those_of_the_nearest_pixel():
    marked = (torch.rand(20, 20) > 0.8).float()
    for view in (View((9.0, 9.0), (30, 30)), View((9.0, 9.0), (30, 30), scale=2.0)):
        assert torch.equal(view_boundaries(marked, view), view_labels(marked.long(), view).float())
