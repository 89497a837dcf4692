"""What every grouping refuses, and what it takes."""

import math

import pytest
import torch

from congeal.errors import CongealError
from congeal.grouping import MeanShift, SphericalKMeans
from congeal.grouping.flat_shift import FlatMeanShift
from congeal.grouping.scalar_shift import ScalarMeanShift
from congeal.losses import pairwise_loss

GROUPINGS = [
    pytest.param(MeanShift(), 4, id="mean-shift"),
    pytest.param(SphericalKMeans(grid=2), 4, id="k-means"),
    pytest.param(FlatMeanShift(bandwidth=0.5), 4, id="flat-shift"),
    pytest.param(ScalarMeanShift(), 1, id="scalar-shift"),
]


def embedding(dimensions, *size):
    return torch.randn(dimensions, *size, generator=torch.Generator().manual_seed(0)).abs() + 1


@pytest.mark.parametrize(("grouping", "dimensions"), GROUPINGS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0])
def test_weights_that_are_no_mass_are_refused(grouping, dimensions, value):
    weights = torch.ones(6, 7)
    weights[2, 3] = value
    with pytest.raises(CongealError, match="expected finite weights of at least 0"):
        grouping.group(embedding(dimensions, 6, 7), None, weights)


@pytest.mark.parametrize(("grouping", "dimensions"), GROUPINGS)
def test_a_mask_of_bytes_is_one_of_truths(grouping, dimensions):
    values = embedding(dimensions, 6, 7)
    mask = torch.zeros(6, 7, dtype=torch.uint8)
    mask[1:4, 2:6] = 255
    found = grouping.group(values, mask).labels
    assert torch.equal(found, grouping.group(values, mask.bool()).labels)
    assert not found[mask == 0].any()


@pytest.mark.parametrize(("grouping", "dimensions"), GROUPINGS)
@pytest.mark.parametrize("size", [(0, 7), (5, 0)])
def test_a_map_without_a_pixel_has_no_group(grouping, dimensions, size):
    found = grouping.group(embedding(dimensions, *size))
    assert len(found) == 0
    assert found.labels.shape == size


@pytest.mark.parametrize(("grouping", "dimensions"), GROUPINGS)
def test_weights_of_zero_everywhere_are_no_error(grouping, dimensions):
    found = grouping.group(embedding(dimensions, 6, 7), None, torch.zeros(6, 7))
    assert found.labels.shape == (6, 7)


@pytest.mark.parametrize(
    "settings",
    [{"concentration": math.nan}, {"concentration": math.inf}, {"kernel_radius": math.inf}],
)
def test_numbers_that_are_not_finite_are_refused(settings):
    with pytest.raises(CongealError, match="all finite"):
        MeanShift(**settings)


@pytest.mark.parametrize("tolerance", [-1e-3, math.nan])
def test_a_tolerance_below_zero_is_refused(tolerance):
    with pytest.raises(CongealError, match="tolerance >= 0"):
        MeanShift(tolerance=tolerance)


@pytest.mark.parametrize("count", [9, 400])
def test_a_second_derivative_of_mean_shift_is_refused_in_our_words(count):
    points = torch.randn(1, 3, count, 1, generator=torch.Generator().manual_seed(0))
    points.requires_grad_()
    (slope,) = torch.autograd.grad(MeanShift(steps=2)(points)[-1].sum(), points, create_graph=True)
    with pytest.raises(CongealError, match=r"first derivative only.*mean shift"):
        slope.square().sum().backward()


def test_a_pixel_without_direction_leaves_something_to_the_others_when_gradients_are_clipped():
    values = embedding(3, 4, 4)[None].clone()
    values[0, :, 0, 0] = 0
    values.requires_grad_()
    labels = torch.arange(16).reshape(1, 4, 4) % 2
    pairwise_loss(values, labels).backward()
    length = values.grad[0].flatten(1).norm(dim=0)
    assert length[0] > 0
    assert length[0] < 1e6 * length[1:].median()


def test_labels_below_void_are_refused():
    with pytest.raises(CongealError, match=r"at least -1 \(void\), got -2"):
        pairwise_loss(torch.randn(1, 3, 2, 2), torch.full((1, 2, 2), -2))
