"""Which output of the network each term of the value map sees."""

import pytest
import torch

from congeal.losses.variational import binary_term, mumford_shah_term, permutation_term
from congeal.methods.dvis.config import DVISLoss
from congeal.methods.dvis.map_losses import map_losses
from congeal.methods.dvis.network import PositionHead, ValueOutput

LABELS = torch.tensor([[[0, 0, 1, 1, 2, 2]]]).expand(1, 6, 6)


def opened():
    torch.manual_seed(0)
    foreground, grown = 2 * torch.randn(1, 1, 6, 6), 5 + torch.randn(1, 2, 6, 6)
    values = PositionHead.join(foreground, grown)
    return ValueOutput(values, torch.zeros(1, 1, 6, 6), foreground, grown)


def test_the_binary_term_sees_the_foreground_and_the_pairs_see_all_as_open():
    output, loss = opened(), DVISLoss()
    found = map_losses(output, LABELS, loss, 2)
    pairs = permutation_term(output.grown, LABELS, different_weight=loss.different_weight)
    expected = {
        "binary": loss.binary_weight * binary_term(output.foreground, LABELS),
        "permutation": loss.permutation_weight * pairs,
        "mumford_shah": loss.mumford_shah_weight * mumford_shah_term(output.values, LABELS),
    }
    for name, value in expected.items():
        assert found[name].item() == pytest.approx(value.item())


def test_a_term_without_weight_is_zero():
    found = map_losses(opened(), LABELS, DVISLoss(permutation_weight=0.0), 2)
    assert found["permutation"].item() == 0
    assert found["binary"].item() > 0
