"""Oriented watershed and ultrametric contours: properties, and the benchmark's own files."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from scipy.cluster.hierarchy import cophenet, is_monotonic, is_valid_linkage

from congeal.data.images import read_image
from congeal.data.matlab import read_mat
from congeal.data.packs import data_root
from congeal.errors import CongealError
from congeal.grouping.contours import gradient_boundary, region_hierarchy
from congeal.metrics.bsds_regions import BsdsRegionMetric, segments_from_contours

CUTS = (0.05, 0.2, 0.4, 0.6, 0.9)


def noise(size=(40, 50), seed=0):
    rng = np.random.default_rng(seed)
    rough = rng.random((size[0] // 5 + 1, size[1] // 5 + 1)).repeat(5, 0).repeat(5, 1)
    return (0.7 * rough[: size[0], : size[1]] + 0.3 * rng.random(size)).clip(0, 1)


def same_partition(one, other):
    pairs = np.unique(np.stack([one.ravel(), other.ravel()]), axis=1).shape[1]
    return pairs == len(np.unique(one)) == len(np.unique(other))


def test_a_closed_line_makes_two_regions_of_its_strength():
    drawn = np.zeros((30, 40))
    drawn[8, 10:30] = drawn[20, 10:30] = drawn[8:21, 10] = drawn[8:21, 29] = 0.6
    found = region_hierarchy(drawn)
    assert len(found) == 2
    assert 0.45 < found.merges[0, 2] <= 0.6  # corners have no direction
    inner = found.segments(0.3)
    assert inner[14, 20] != inner[0, 0]
    assert (found.segments(0.7) == 1).all()


def test_a_higher_threshold_joins_what_a_lower_one_has():
    found = region_hierarchy(noise())
    for low, high in itertools.pairwise(CUTS):
        fine, coarse = found.segments(low), found.segments(high)
        assert len(np.unique(fine * 10_000 + coarse)) == fine.max()  # each in one of the other


def test_the_contour_map_cuts_into_the_same_segments():
    found = region_hierarchy(noise())
    contours = found.contours()
    assert contours.shape == (81, 101)
    for threshold, cut in zip(CUTS, segments_from_contours(contours, CUTS), strict=True):
        assert same_partition(cut, found.segments(threshold))


def test_merges_are_a_linkage_that_scipy_reads_and_contours_its_distances():
    found = region_hierarchy(noise((20, 25)))
    assert is_valid_linkage(found.merges)
    assert is_monotonic(found.merges)
    apart = cophenet(found.merges)
    count, contours = len(found), found.contours()
    regions = found.regions - 1
    for y, x in np.argwhere(regions[:, :-1] != regions[:, 1:]):
        one, other = sorted((regions[y, x], regions[y, x + 1]))
        place = count * one - one * (one + 1) // 2 + other - one - 1
        assert contours[2 * y + 1, 2 * x + 2] == apart[place]


def test_a_boundary_that_crosses_a_ridge_is_weaker_than_one_along_it():
    ridge = np.zeros((41, 41))
    ridge[20] = 0.8  # a line, and pits on both sides of it and along it
    xx = np.arange(41.0)[None].repeat(41, 0)
    bumps = 0.05 * (1 + np.cos(2 * np.pi * xx / 20))
    found = region_hierarchy(np.maximum(ridge, bumps))
    halves = found.cut_into(2)
    assert (halves[:20] == halves[0, 0]).all()
    assert (halves[21:] == halves[40, 0]).all()
    assert halves[0, 0] != halves[40, 0]


def test_cut_into_gives_at_most_so_many():
    found = region_hierarchy(noise())
    for count in (1, 2, 7, len(found), len(found) + 5):
        assert found.cut_into(count).max() <= count
    assert found.cut_into(len(found)).max() == len(found)
    with pytest.raises(CongealError, match="at least 1"):
        found.cut_into(0)


def test_turning_the_map_turns_the_regions():
    drawn = noise((30, 30))
    one, other = region_hierarchy(drawn), region_hierarchy(np.rot90(drawn))
    assert abs(len(one) - len(other)) <= 2  # the flood breaks ties in its own order
    assert np.allclose(one.merges[-3:, 2], other.merges[-3:, 2], atol=0.05)


@pytest.mark.parametrize("size", [(1, 1), (1, 30), (2, 3), (25, 2)])
def test_narrow_maps(size):
    found = region_hierarchy(noise(size))
    assert found.segments(0.1).shape == size
    assert found.contours().shape == (2 * size[0] + 1, 2 * size[1] + 1)
    assert (found.segments(1.0) == 1).all()


def test_a_flat_map_is_one_region():
    found = region_hierarchy(np.full((9, 9), 0.4))
    assert len(found) == 1
    assert not found.contours().any()


@pytest.mark.parametrize("bad", [np.zeros((3, 3, 3)), np.zeros((0, 4)), [[np.nan]], [[1.5]]])
def test_maps_that_are_none_are_refused(bad):
    with pytest.raises(CongealError, match="expected a boundary map"):
        region_hierarchy(bad)


def test_the_gradient_of_an_image_lies_on_its_edges():
    image = np.zeros((40, 60, 3))
    image[:, 30:] = (0.2, 0.6, 0.3)
    found = region_hierarchy(gradient_boundary(image)).segments(0.3)
    assert found.max() == 2
    assert found[20, 5] != found[20, 55]
    with pytest.raises(CongealError, match="image"):
        gradient_boundary(np.zeros(5))


def test_mini5_of_the_benchmark_scores_as_its_own_contours():
    """Its boundary maps, which it made of its contours, lead back to nearly the same scores."""
    home = Path(data_root()) / "bsds_bench" / "mini5"
    if not home.is_dir():
        pytest.skip("needs the pack bsds_bench")
    cuts = np.linspace(1 / 6, 5 / 6, 5)
    theirs, ours = BsdsRegionMetric(cuts), BsdsRegionMetric(cuts)
    for name in ("3063", "5096"):
        people = np.atleast_1d(read_mat(home / "groundTruth" / f"{name}.mat", "groundTruth"))
        truth = [np.asarray(person.Segmentation, np.int64) for person in people]
        contours = read_mat(home / "ucm2" / f"{name}.mat", "ucm2")
        theirs.update(prediction=list(segments_from_contours(contours, cuts)), truth=truth)
        found = region_hierarchy(read_image(home / "png" / f"{name}.png")[..., 0] / 255)
        ours.update(prediction=[found.segments(cut) for cut in cuts], truth=truth)
    wanted, got = theirs.compute(), ours.compute()
    for name, slack in (("covering_ods", 0.03), ("pri_ods", 0.02), ("voi_ods", 0.15)):
        assert abs(wanted[name] - got[name]) < slack, name
