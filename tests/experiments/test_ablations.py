"""Ablations on digits: the loss without weights, and that a quick run leaves every choice."""

import pytest
import torch

from congeal.experiments import ablations
from congeal.experiments.ablations import (
    ABLATIONS,
    QUICK,
    Variant,
    draw_ablations,
    score_variant,
    unweighted_loss,
)
from congeal.losses.pairwise import pairwise_loss


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def test_both_losses_are_equal_for_groups_of_equal_size():
    embedding = torch.randn(1, 5, 4, 6, generator=torch.Generator().manual_seed(0)).double()
    embedding = embedding / embedding.norm(dim=1, keepdim=True)
    labels = torch.arange(24).reshape(1, 4, 6) % 3
    plain = unweighted_loss(embedding[0].flatten(1).T, labels.flatten(), 0.4)
    torch.testing.assert_close(plain, pairwise_loss(embedding, labels, margin=0.4))


def test_without_weights_a_large_group_counts_more():
    unit = torch.eye(2, dtype=torch.float64)[[0, 1] + [0] * 8 + [1] * 2]
    groups = torch.tensor([0] * 2 + [1] * 8 + [2] * 2)  # the small group is torn apart
    plain = unweighted_loss(unit, groups, 0.5)
    weighted = pairwise_loss(unit.T[None, :, None], groups[None, None], margin=0.5)
    assert plain < weighted


def test_a_quick_run_has_every_choice_with_an_interval_and_is_not_made_twice(
    tmp_path, table, monkeypatch
):
    made = draw_ablations(tmp_path, quick=True)
    assert (made.png.name, made.csv.name) == ("ablations.png", "ablations.csv")
    rows = table(made)
    assert {row["choice"] for row in rows} == set(ABLATIONS)
    assert len(rows) == len(ABLATIONS) * QUICK.values * QUICK.seeds
    for name, values in ABLATIONS.items():
        for value in values[: QUICK.values]:
            assert f"{name} {float(value):g} +-" in made.numbers
    assert len(made.claims) >= 3

    def fails(*args):
        raise AssertionError("trained again")

    monkeypatch.setattr(ablations, "score_variant", fails)
    assert table(draw_ablations(tmp_path, quick=True)) == rows


def test_one_seed_gives_one_score():
    variant = Variant(dimensions=3, weighting=False)
    assert score_variant(variant, QUICK, 5) == score_variant(variant, QUICK, 5)
