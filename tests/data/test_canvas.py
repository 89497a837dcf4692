"""Placing, painting and photographing patches."""

from __future__ import annotations

import numpy as np

from congeal.data.canvas import (
    Patch,
    arrange,
    is_visible,
    local_grid,
    paint,
    simulate_camera,
    smooth_noise,
    textured_background,
)


def square(top: int, left: int, side: int = 4, level: float = 1.0) -> Patch:
    colour = np.full((side, side, 1), level, np.float32)
    return Patch(top, left, np.full((side, side), 2, np.float32), colour)


def test_what_is_seen_decides_whether_an_object_fits() -> None:
    inside = np.ones((2, 5), np.bool_)
    taken = np.zeros_like(inside)
    taken[:, :2] = True
    assert is_visible(inside, taken, 0.4, 6)
    assert not is_visible(inside, taken, 0.39, 6)
    assert not is_visible(inside, taken, 0.4, 7)
    assert not is_visible(np.zeros_like(inside), taken, 1.0, 1)


def test_later_objects_are_placed_below_earlier_ones() -> None:
    places = iter([(0, 0), (2, 2)])
    patches, labels = arrange(lambda k, scale: square(*next(places)), 2, (6, 6), 1.0, 1)
    assert [patch.top for patch in patches] == [2, 0]
    assert (labels == 2).sum() == 16
    assert (labels == 1).sum() == 12


def test_objects_that_find_no_place_are_drawn_smaller_and_left_out_at_last() -> None:
    scales: list[float] = []

    def draw(number: int, scale: float) -> Patch:
        scales.append(scale)
        return square(0, 0)

    patches, labels = arrange(draw, 3, (8, 8), 0.0, 1)
    assert len(patches) == labels.max() == 1
    assert scales[0] == 1.0
    assert min(scales) < 0.2


def test_the_uppermost_patch_is_painted_last_and_labelled_so() -> None:
    places = iter([(0, 0, 4, 0.9), (2, 2, 4, 0.3)])
    patches, labels = arrange(lambda k, scale: square(*next(places)), 2, (6, 6), 1.0, 1)
    scene = paint(np.zeros((6, 6, 1), np.float32), patches)[..., 0]
    for label, level in ((2, 0.9), (1, 0.3), (0, 0.0)):
        np.testing.assert_allclose(scene[labels == label], level, rtol=1e-6)


def test_shadows_fall_where_they_are_told_to() -> None:
    for offset in ((2, 1), (-2, -1), (0, 3)):
        scene = paint(np.ones((16, 16, 1), np.float32), [square(6, 6)], 0.5, offset)[..., 0]
        rows, columns = np.nonzero(scene < 1)
        # The square itself is as bright as the background.
        shifted = {(r, c) for r in range(6, 10) for c in range(6, 10)}
        expected = {(r + offset[0], c + offset[1]) for r, c in shifted} - shifted
        assert set(zip(rows.tolist(), columns.tolist(), strict=True)) == expected


def test_shadows_end_with_the_image() -> None:
    scene = paint(np.ones((8, 8, 1), np.float32), [square(0, 4), square(4, 0)], 0.5, (-2, 3))
    assert scene.shape == (8, 8, 1)
    assert np.isfinite(scene).all()


def test_a_local_grid_is_the_part_of_the_whole_grid_near_a_point() -> None:
    top, left, down, right = local_grid(2.5, 9.0, 4.0, (10, 11))
    rows, columns = np.indices((10, 11))
    here = (slice(top, top + len(down)), slice(left, left + right.shape[1]))
    np.testing.assert_allclose(down + 0 * right, (rows - 2.5)[here])
    np.testing.assert_allclose(right + 0 * down, (columns - 9.0)[here])
    outside = np.ones((10, 11), np.bool_)
    outside[here] = False
    assert (np.hypot(rows - 2.5, columns - 9.0)[outside] > 3.5).all()


def test_noise_is_smooth_between_the_points_of_its_grid() -> None:
    noise = smooth_noise(np.random.default_rng(0), (41, 41), 4)
    grid = np.random.default_rng(0).standard_normal((5, 5), dtype=np.float32)
    np.testing.assert_allclose(noise[::10, ::10], grid, atol=1e-5)
    np.testing.assert_allclose(noise[5, 0], (grid[0, 0] + grid[1, 0]) / 2, atol=1e-5)


def test_ground_and_photographs_stay_in_range() -> None:
    rng = np.random.default_rng(0)
    scene = textured_background(rng, (40, 30), np.array([0.1, 0.5, 1.0], np.float32), 0.5)
    assert scene.min() >= 0
    np.testing.assert_allclose(scene[..., 2] / 10, scene[..., 0], rtol=1e-5)
    picture = simulate_camera(rng, np.full((40, 30, 1), 0.5, np.float32))
    assert picture.dtype == np.uint8
    assert 90 < picture.mean() < 165
