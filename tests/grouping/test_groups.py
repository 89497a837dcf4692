"""What every grouping gives: layers, labels, areas, masks."""

from __future__ import annotations

import pytest
import torch

from congeal.errors import CongealError
from congeal.grouping import Grouping, Groups, MeanShift, groups_from_labels
from congeal.grouping.groups import check_embedding


def test_where_groups_overlap_the_higher_score_wins() -> None:
    layers = torch.tensor([[[1, 1, 0, 0]], [[0, 2, 2, 0]]])
    low = Groups(layers, torch.eye(2), torch.tensor([0.2, 0.7]))
    high = Groups(layers, torch.eye(2), torch.tensor([0.8, 0.7]))
    assert low.labels.tolist() == [[1, 2, 2, 0]]
    assert high.labels.tolist() == [[1, 1, 2, 0]]


def test_areas_and_masks_count_shared_pixels() -> None:
    groups = Groups(torch.tensor([[[1, 1, 0]], [[0, 2, 2]]]), torch.eye(2), torch.ones(2))
    assert groups.areas.tolist() == [2, 2]
    assert groups.mask(2).tolist() == [[False, True, True]]
    with pytest.raises(CongealError, match="from 1 to 2, got 3"):
        groups.mask(3)


def test_groups_are_numbered_by_size_with_their_own_scores() -> None:
    labels = torch.tensor([[9, 4, 4, 0, -1]])
    embedding = torch.tensor([[[3.0, 0, 0, 9, 9]], [[0, 2.0, 4.0, 9, 9]]])
    groups = groups_from_labels(labels, embedding, scores=torch.tensor([0.4, 0.9]))
    assert groups.labels.tolist() == [[2, 1, 1, 0, 0]]
    assert groups.prototypes.tolist() == [[0.0, 1.0], [1.0, 0.0]]
    assert groups.scores.tolist() == pytest.approx([0.4, 0.9])
    assert groups_from_labels(labels, embedding, unit=False).prototypes.tolist() == [[0, 3], [3, 0]]


def test_no_label_gives_no_group() -> None:
    groups = groups_from_labels(torch.zeros(3, 3, dtype=torch.int64), torch.ones(2, 3, 3))
    assert len(groups) == 0
    assert groups.areas.tolist() == []


def test_what_does_not_fit_is_refused_in_a_line() -> None:
    with pytest.raises(CongealError, match="expected a float embedding"):
        check_embedding(torch.zeros(3, 4, 4, dtype=torch.int64))
    with pytest.raises(CongealError, match="expected a mask of shape"):
        check_embedding(torch.zeros(3, 4, 4), torch.ones(4, 5, dtype=torch.bool))
    with pytest.raises(CongealError, match="NaN or infinity"):
        check_embedding(torch.full((3, 4, 4), torch.nan))


def test_finite_numbers_whose_sum_overflows_are_no_error() -> None:
    check_embedding(torch.full((2, 8, 8), 3e38))


def test_mean_shift_is_a_grouping() -> None:
    assert isinstance(MeanShift(), Grouping)
