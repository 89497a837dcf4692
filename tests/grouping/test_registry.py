"""Groupings by name: each is the class of that name, and all give the same kind of thing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from congeal.errors import CongealError
from congeal.grouping import (
    GROUPINGS,
    Grouping,
    Groups,
    Retrieval,
    SphericalKMeans,
    build_grouping,
)
from congeal.grouping.registry import RENAMED

# Grouping, earlier name of an option, present name, and a value that is not the default.
EARLIER_NAMES = (
    ("mean-shift", "step_size", "eta", 0.5),
    ("mean-shift", "reach", "kernel_radius", 3.0),
    ("mean-shift", "smallest", "min_area", 5.0),
    ("flat-shift", "smallest", "min_area", 5),
    ("flat-shift", "most", "max_instances", 3),
    ("scalar-shift", "background", "foreground_threshold", 0.25),
    ("scalar-shift", "smallest", "min_area", 5),
    ("scalar-shift", "overlap", "duplicate_iou", 0.75),
    ("scalar-shift", "connected", "split_components", True),
    ("proposals", "overlap", "max_iou", 0.75),
    ("proposals", "smallest", "min_area", 5),
    ("proposals", "split", "split_components", True),
)


@pytest.fixture
def extra(tmp_path: Path) -> dict[str, dict[str, object]]:
    """What a grouping cannot do without."""
    bank = Retrieval(torch.eye(2), torch.tensor([1, 2])).save(tmp_path / "bank.safetensors")
    return {"retrieval": {"bank": str(bank), "k": 1}}


@pytest.fixture
def halves() -> torch.Tensor:
    embedding = torch.zeros(2, 20, 20)
    embedding[0, :, :10], embedding[1, :, 10:] = 1, 1
    return embedding


@pytest.mark.parametrize("name", GROUPINGS)
def test_every_name_makes_a_grouping_that_gives_groups(
    name: str, halves: torch.Tensor, extra: dict[str, dict[str, object]]
) -> None:
    grouping = build_grouping(name, **extra.get(name, {}))
    assert isinstance(grouping, Grouping)
    embedding = halves[:1] * 2 if name == "scalar-shift" else halves
    groups = grouping.group(embedding)
    assert isinstance(groups, Groups)
    assert groups.labels.shape == (20, 20)
    assert groups.scores.shape == (len(groups),)
    assert len(groups.prototypes) == len(groups) > 0
    left, right = groups.labels[:, :10].unique(), groups.labels[:, 10:].unique()
    assert not set(left.tolist()) & set(right.tolist())


def test_lists_serve_where_a_grouping_takes_several_values() -> None:
    values = torch.tensor([[[0.0, 2.0, 2.0, 4.0]]])
    grouping = build_grouping("scalar-shift", bandwidths=[0.5])
    assert len(grouping.group(values)) == 2
    assert len(build_grouping("proposals", concentrations=[36.0]).groupings) == 1


def test_options_reach_the_grouping() -> None:
    assert build_grouping("k-means", grid=3) == SphericalKMeans(grid=3)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("kmeans", {}, "did you mean 'k-means'"),
        ("k-means", {"gird": 3}, "did you mean 'grid'"),
        ("k-means", {"grid": 0}, "expected"),
        ("retrieval", {}, "expected bank for the grouping retrieval"),
        ("retrieval", {"bank": "nowhere"}, "expected a bank of prototypes in nowhere"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(name: str, options: dict[str, object], said: str) -> None:
    with pytest.raises(CongealError, match=said):
        build_grouping(name, **options)


@pytest.mark.parametrize(("name", "earlier", "present", "value"), EARLIER_NAMES)
def test_an_earlier_name_of_an_option_sets_the_option_of_the_present_name(
    name: str, earlier: str, present: str, value: object
) -> None:
    assert getattr(build_grouping(name), present) != value
    for option in (earlier, present):
        assert getattr(build_grouping(name, **{option: value}), present) == value


def test_every_earlier_name_is_tested() -> None:
    listed = {(name, *pair) for name, pairs in RENAMED.items() for pair in pairs.items()}
    assert listed == {(name, earlier, present) for name, earlier, present, _ in EARLIER_NAMES}


def test_an_earlier_name_is_known_to_its_own_grouping_only() -> None:
    with pytest.raises(CongealError, match="unknown option of k-means 'smallest'"):
        build_grouping("k-means", smallest=5)
