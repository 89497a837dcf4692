"""One-dimensional mean shift in use: batches, large maps, input that does not fit."""

from __future__ import annotations

import pytest
import torch
from cases.scalar_cases import mixture
from sklearn.metrics import adjusted_rand_score

from congeal.errors import CongealError
from congeal.grouping import Grouping, ScalarMeanShift


def test_a_batch_gives_the_groups_of_each_image():
    values = torch.stack([mixture(seed)[0].reshape(10, 20) for seed in (6, 7)])[:, None]
    mask = torch.rand(2, 10, 20) > 0.3
    weights = torch.rand(2, 10, 20)
    grouping = ScalarMeanShift()
    for i, groups in enumerate(grouping(values, mask, weights)):
        assert torch.equal(groups.layers, grouping.group(values[i], mask[i], weights[i]).layers)
    assert len(grouping(values)) == 2
    assert isinstance(grouping, Grouping)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_the_prototypes_have_the_type_of_the_values(dtype):
    values = mixture(8)[0].to(dtype).requires_grad_()
    groups = ScalarMeanShift().group(values[None])
    assert groups.prototypes.dtype == groups.scores.dtype == dtype
    assert not groups.prototypes.requires_grad


def test_a_large_map_of_distinct_values_is_grouped():
    values, truth = mixture(9, count=300_000, centres=(2.0, 3.5, 5.0, 6.5), spread=0.1)
    groups = ScalarMeanShift((0.4,)).group(values.reshape(1, 500, 600))
    assert len(groups) == 4
    assert adjusted_rand_score(truth, groups.labels.flatten()) > 0.999


def test_a_large_map_of_many_whole_numbers_is_grouped():
    """Sixteen-bit numbers, all of them modes of their own."""
    values = torch.arange(250_000).remainder(60_000).reshape(1, 500, 500).float()
    groups = ScalarMeanShift((0.4,)).group(values)
    assert len(groups) == 59_999
    assert groups.scores.eq(1).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"bandwidths": ()},
        {"bandwidths": (0.4, 0)},
        {"duplicate_iou": 0},
        {"duplicate_iou": 1.1},
        {"bins": 0},
        {"min_area": -1},
    ],
)
def test_settings_out_of_range_are_refused_in_one_line(wrong):
    with pytest.raises(CongealError, match="expected") as error:
        ScalarMeanShift(**wrong)
    assert "\n" not in str(error.value)


def test_more_than_one_number_per_pixel_is_refused():
    with pytest.raises(CongealError, match=r"one value per pixel, \(1, \*S\), got 2"):
        ScalarMeanShift().group(torch.ones(2, 3, 3))
    with pytest.raises(CongealError, match="finite"):
        ScalarMeanShift().group(torch.full((1, 3), torch.nan))
    with pytest.raises(CongealError, match="mask of shape"):
        ScalarMeanShift().group(torch.ones(1, 3, 3), torch.ones(3, dtype=torch.bool))
