"""Proposals beside others, tried on drawn shapes."""

import numpy as np
import pytest
import torch

from congeal.data.sample import Sample
from congeal.errors import CongealError
from congeal.experiments import table1
from congeal.experiments.table1 import (
    COUNTS,
    _claims,
    _components,
    _segments,
    _truth,
    draw_table1,
    has_selective_search,
)


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def test_all_methods_are_scored_at_all_numbers_of_proposals(tmp_path, table):
    made = draw_table1(tmp_path, quick=True)
    assert (made.png.name, made.csv.name) == ("table1.png", "table1.csv")
    rows = table(made)
    methods = {"rpe", "felzenszwalb", "components of the truth", "ceiling"}
    methods |= {"selective search"} if has_selective_search() else set()
    assert {(row["method"], int(row["proposals"])) for row in rows} == {
        (method, count) for method in methods for count in COUNTS
    }
    assert all(0 <= float(row[key]) <= 1 for row in rows for key in ("ar", "recall at .5"))
    assert made.numbers["shapes ceiling ar@100"] == 1
    assert len(made.claims) == 1


def test_an_interrupted_run_is_resumed(tmp_path, table, monkeypatch):
    asked = {"quick": True, "seeds": 2, "images": 1}
    made = draw_table1(tmp_path, **asked)
    ours = [row for row in table(made) if row["method"] == "rpe"]
    assert all(float(row["ar +-"]) >= 0 for row in ours)
    place = tmp_path / "table1"
    assert len(list(place.glob("shapes_rpe_?.json"))) == 2

    def fails(*args):
        raise AssertionError("scored again")

    monkeypatch.setattr(table1, "_score", fails)
    again = table(draw_table1(tmp_path, **asked))
    assert [row for row in again if row["method"] == "rpe"] == ours


def test_data_that_the_table_does_not_have_is_refused(tmp_path):
    with pytest.raises(CongealError, match="expected data of shapes, got 'sticks'"):
        draw_table1(tmp_path, quick=True, data=["sticks"])


def two_squares():
    labels = np.zeros((120, 180), np.int64)
    labels[15:45, 15:45], labels[60:105, 90:150] = 1, 2
    image = np.full((120, 180, 3), 40, np.uint8)
    image[labels == 1], image[labels == 2] = 150, 230
    return Sample("two", image, labels)


@pytest.mark.parametrize("propose", [_segments, _components, _truth])
def test_others_propose_ranked_masks_of_the_objects(propose):
    sample = two_squares()
    found = propose(sample)
    assert (np.diff(np.sort(found.scores)[::-1]) <= 0).all()
    for k in (1, 2):
        true = sample.labels == k
        overlaps = [(mask & true).sum() / (mask | true).sum() for mask in found.masks]
        assert max(overlaps) > 0.6  # smoothing blurs the outlines of the segments


@pytest.mark.parametrize(
    ("few", "most", "held"), [(0.78, 1.0, True), (0.5, 1.0, False), (0.5, 0.55, True)]
)
def test_the_claim_compares_ten_proposals_with_sixty_relative_to_the_ceiling(few, most, held):
    ours = {"recall_0.5@10": few, "recall_0.5@60": 0.8}
    ceiling = {"recall_0.5@10": most, "recall_0.5@60": 1.0}
    (claim,) = _claims({"shapes": {"rpe": ours, "ceiling": ceiling}})
    assert claim.held == held


def test_without_objects_nothing_is_claimed():
    nothing = {"recall_0.5@10": 0.0, "recall_0.5@60": 0.0}
    (claim,) = _claims({"shapes": {"rpe": nothing, "ceiling": nothing}})
    assert not claim.held
