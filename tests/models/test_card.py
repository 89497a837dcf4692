from congeal.methods.rpe import RPE
from congeal.models.card import model_card


def test_the_card_tells_what_from_what_and_how_well():
    model = RPE(dimensions=4)
    card = model_card(
        model,
        {"data": "cells, train", "minutes": 3.5},
        {"validation matching_ap@0.5": 0.87654},
        what="cells in phase contrast",
        licence="CC0-1.0",
    )
    assert card.startswith("# A congeal model (rpe, instances)\n")
    assert "cells in phase contrast" in card
    assert "licence of the weights: CC0-1.0" in card
    assert "- validation matching_ap@0.5: 0.877" in card
    assert "- minutes: 3.5" in card
    assert "- network.dimensions: 4" in card


def test_what_is_not_known_is_said():
    card = model_card(RPE(dimensions=4), {}, {})
    assert "licence of the weights: not stated" in card
    assert "- none measured" in card
