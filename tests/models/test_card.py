from congeal.methods.rpe import RPE
from congeal.models.card import model_card


def test_the_card_lists_purpose_licence_scores_training_and_settings():
    model = RPE(dimensions=4)
    card = model_card(
        model,
        {"data": "cells, train", "minutes": 3.5},
        {"validation matching_ap@0.5": 0.87654},
        description="cells in phase contrast",
        licence="CC0-1.0",
    )
    assert card.startswith("# A congeal model (rpe, instances)\n")
    assert "cells in phase contrast" in card
    assert "licence of the weights: CC0-1.0" in card
    assert "- validation matching_ap@0.5: 0.877" in card
    assert "- minutes: 3.5" in card
    assert "- network.dimensions: 4" in card


def test_the_card_leaves_out_settings_and_facts_without_a_value():
    model = RPE(dimensions=4)
    unset = [name for name, value in model.config.flat().items() if value is None]
    card = model_card(model, {"device": None, "seed": 0, "note": ""}, {})
    assert unset
    assert "None" not in card
    assert not [name for name in (*unset, "device", "note") if f"- {name}:" in card]
    assert "- seed: 0" in card


def test_the_card_says_that_licence_and_scores_are_missing():
    card = model_card(RPE(dimensions=4), {}, {})
    assert "licence of the weights: not stated" in card
    assert "- none measured" in card
