"""Outlines against the masks they were traced from."""

import numpy as np
import pytest
from matplotlib.path import Path

from congeal.segmentation.objects import Crop
from congeal.segmentation.polygons import trace


def filled(polygons, shape):
    """Pixels whose middle lies within an odd number of rings."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    middles = np.c_[x.ravel() + 0.5, y.ravel() + 0.5]
    rings = [ring for polygon in polygons for ring in (polygon.outer, *polygon.holes)]
    paths = [Path(np.r_[ring, ring[:1]]) for ring in rings]
    return (sum(path.contains_points(middles).astype(int) for path in paths) % 2).reshape(shape)


def area(ring):
    x, y = ring.T.astype(float)
    return (x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2


def noise(seed):
    rng = np.random.default_rng(seed)
    mask = rng.random((9, 11)) < rng.uniform(0.2, 0.9)
    mask[0, 0] = mask[-1, -1] = True
    return mask


@pytest.mark.parametrize("seed", range(30))
def test_the_polygons_of_noise_hold_its_pixels_and_nothing_else(seed):
    mask = noise(seed)
    polygons = trace(Crop(0, 0, mask))
    assert np.array_equal(filled(polygons, mask.shape), mask)
    areas = [area(p.outer) + sum(area(hole) for hole in p.holes) for p in polygons]
    assert sum(areas) == mask.sum()


@pytest.mark.parametrize("seed", range(30))
def test_no_ring_touches_itself(seed):
    for polygon in trace(Crop(0, 0, noise(seed))):
        for ring in (polygon.outer, *polygon.holes):
            assert len(np.unique(ring, axis=0)) == len(ring)
            steps = np.roll(ring, -1, 0) - ring
            assert ((steps == 0).sum(1) == 1).all()
            assert (np.sign(steps) != np.sign(np.roll(steps, 1, 0))).any(1).all()


def test_a_ring_in_a_ring_is_two_parts_with_their_own_holes():
    mask = np.ones((9, 9), bool)
    mask[1:8, 1:8] = False
    mask[2:7, 2:7] = True
    mask[4, 4] = False
    outer, inner = sorted(trace(Crop(10, 20, mask)), key=lambda p: -area(p.outer))
    assert (area(outer.outer), [area(hole) for hole in outer.holes]) == (81, [-49])
    assert (area(inner.outer), [area(hole) for hole in inner.holes]) == (25, [-1])
    assert sorted(map(tuple, inner.holes[0].tolist())) == [(24, 14), (24, 15), (25, 14), (25, 15)]


def test_pixels_that_touch_at_a_corner_are_two_parts():
    assert len(trace(Crop(0, 0, np.eye(2, dtype=bool)))) == 2
