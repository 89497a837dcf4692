"""Curves and the tubes around them, against distances worked out pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest

from congeal.data.curves import STEP, curve, tube


def test_a_straight_curve_has_the_length_and_the_middle_that_were_asked_for() -> None:
    points = curve((10.0, 20.0), 0.5, 30.0)
    np.testing.assert_allclose(points.mean(0), [10, 20])
    length = np.hypot(*(points[-1] - points[0]))
    assert 30 - STEP < length <= 30 + 1e-6
    direction = (points[-1] - points[0]) / length
    np.testing.assert_allclose(direction, [np.sin(0.5), np.cos(0.5)])


def test_a_bent_curve_turns_by_the_bend() -> None:
    points = curve((0.0, 0.0), 0.0, 60.0, bend=1.0)
    steps = np.diff(points, axis=0)
    turned = np.arctan2(steps[-1, 0], steps[-1, 1]) - np.arctan2(steps[0, 0], steps[0, 1])
    assert turned == pytest.approx(1.0, abs=0.03)
    np.testing.assert_allclose(np.hypot(*steps.T), STEP)


def test_depth_is_the_radius_less_the_distance_from_the_curve() -> None:
    points = curve((15.0, 18.0), 0.4, 22.0, bend=0.8)
    radius = np.linspace(2, 4, len(points))
    drawn = tube(points, radius, (32, 36))
    rows, columns = np.indices(drawn.depth.shape)
    place = np.stack([rows + drawn.top, columns + drawn.left], axis=-1)
    slow = (radius - np.hypot(*np.moveaxis(place[:, :, None] - points, -1, 0))).max(axis=-1)
    near = slow > -1.5
    np.testing.assert_allclose(drawn.depth[near], slow[near], atol=1e-4)
    assert (drawn.depth[~near] < -1).all()


def test_along_and_across_are_coordinates_of_the_tube() -> None:
    points = curve((8.0, 16.0), 0.0, 18.0)
    drawn = tube(points, np.full(len(points), 4.0), (16, 32))
    inside = drawn.depth > 0.5
    rows, columns = np.nonzero(inside)
    np.testing.assert_allclose(drawn.across[inside], (rows + drawn.top - 8) / 4, atol=1e-5)
    middle = np.abs(columns + drawn.left - 16) < 7
    share = (columns[middle] + drawn.left - points[0, 1]) / 18
    np.testing.assert_allclose(drawn.along[inside][middle], share, atol=0.04)


def test_a_tube_ends_with_the_image() -> None:
    drawn = tube(curve((2.0, 2.0), 0.0, 30.0), np.full(34, 3.0), (8, 8))
    assert drawn.depth.shape <= (8, 8)
    away = tube(curve((90.0, 90.0), 0.0, 9.0), np.full(11, 3.0), (8, 8))
    assert away.depth.size == 0
