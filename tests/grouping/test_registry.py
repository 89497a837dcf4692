"""Groupings by name: each is the class of that name, and all give the same kind of thing."""

from __future__ import annotations

import pytest
import torch

from congeal.errors import CongealError
from congeal.grouping import GROUPINGS, Grouping, Groups, SphericalKMeans, build_grouping

BANK = {"prototypes": torch.eye(2), "classes": torch.tensor([1, 2])}
EXTRA = {"retrieval": {**BANK, "k": 1}}


@pytest.fixture
def halves() -> torch.Tensor:
    embedding = torch.zeros(2, 20, 20)
    embedding[0, :, :10], embedding[1, :, 10:] = 1, 1
    return embedding


@pytest.mark.parametrize("name", GROUPINGS)
def test_every_name_makes_a_grouping_that_gives_groups(name: str, halves: torch.Tensor) -> None:
    grouping = build_grouping(name, **EXTRA.get(name, {}))
    assert isinstance(grouping, Grouping)
    embedding = halves[:1] * 2 if name == "scalar-shift" else halves
    groups = grouping.group(embedding)
    assert isinstance(groups, Groups)
    assert groups.labels.shape == (20, 20)
    assert groups.scores.shape == (len(groups),)
    assert len(groups.prototypes) == len(groups) > 0
    left, right = groups.labels[:, :10].unique(), groups.labels[:, 10:].unique()
    assert not set(left.tolist()) & set(right.tolist())


def test_options_reach_the_grouping() -> None:
    assert build_grouping("k-means", grid=3) == SphericalKMeans(grid=3)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("kmeans", {}, "did you mean 'k-means'"),
        ("k-means", {"gird": 3}, "did you mean 'grid'"),
        ("k-means", {"grid": 0}, "expected"),
        ("retrieval", {}, "expected prototypes and classes for the grouping retrieval"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(name: str, options: dict[str, int], said: str) -> None:
    with pytest.raises(CongealError, match=said):
        build_grouping(name, **options)
