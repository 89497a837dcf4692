"""How each setting of RPE for proposals shows: as for instances, but for classes."""

from __future__ import annotations

from cases.effects import Decoded, Effect, Elsewhere
from cases.effects_rpe import EFFECTS as INSTANCES
from cases.effects_rpe import SHORT, made_up_maps

__all__ = ["EFFECTS", "SHORT", "made_up_maps"]

HERE = "tests/methods/rpe/test_proposals.py::"

EFFECTS: dict[str, Effect] = {
    path: effect
    for path, effect in INSTANCES.items()
    if path not in ("network.classifier", "loss.class_weight")
} | {
    "class_names": Elsewhere(
        "tests/methods/test_contract.py::test_the_folder_says_what_the_model_is"
    ),
    "decoding.score": Elsewhere(HERE + "test_a_fitted_regressor_may_rank_the_proposals"),
    "decoding.bandwidths": Decoded((1.0, 0.2)),
    "decoding.duplicate_iou": Elsewhere(
        HERE + "test_of_near_duplicates_the_one_of_higher_score_stays"
    ),
    "decoding.max_proposals": Decoded(2),
}
