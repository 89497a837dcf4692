"""RPE for proposals: bandwidths pooled and ranked, classes of the data aside."""

import numpy as np
import pytest
import torch
from cases.discs_and_squares import DiscsAndSquares
from cases.effects_rpe import made_up_maps

from congeal.data.batch import Batch
from congeal.methods.method import MapPrediction
from congeal.methods.registry import find_method, method_tasks
from congeal.methods.rpe import RPE, RPEProposals
from congeal.methods.rpe.pooling import pool_proposals
from congeal.models import load
from congeal.training.plan import make_plan
from congeal.training.start import misfit, start_from

SMALL = {"dimensions": 4, "coordinates": "none", "min_area": 4}


def found(**settings):
    return RPEProposals(**SMALL, **settings).decode(made_up_maps())


def test_rpe_with_task_proposals_is_this_class():
    assert find_method("rpe", "proposals") is RPEProposals
    assert {"instances", "boundaries", "proposals"} <= set(method_tasks("rpe"))


def test_one_bandwidth_finds_the_same_objects_as_instances():
    instances = RPE(**SMALL).decode(made_up_maps())
    proposals = found(bandwidths=(1.0,), max_proposals=1000)
    assert len(proposals) == len(instances) > 2
    for mask in proposals.masks:
        same = [np.array_equal(mask, other) for other in instances.masks]
        assert sum(same) == 1


def test_smaller_bandwidths_add_proposals_and_may_overlap():
    one, several = found(bandwidths=(1.0,)), found(bandwidths=(1.0, 0.3))
    assert len(several) > len(one)
    assert np.sum(several.masks, axis=0).max() > 1


def test_a_smaller_bandwidth_is_a_tighter_margin_and_a_sharper_kernel():
    model = RPEProposals(margin=0.5, **SMALL)
    maps = MapPrediction({}, (8, 8))
    usual, half = (model.decoder(maps, width).grouping for width in (1.0, 0.5))
    assert (usual.margin, half.margin) == (0.5, 0.75)
    kappas = [float(one.concentration) for one in (usual, half)]
    assert kappas[1] == pytest.approx(4 * kappas[0])  # still nine over the square


def test_proposals_are_in_descending_order_of_score_and_limited_in_number():
    every = found(bandwidths=(1.0, 0.3))
    assert (np.diff(every.scores) <= 0).all()
    few = found(bandwidths=(1.0, 0.3), max_proposals=2)
    assert few.scores.tolist() == every.scores[:2].tolist()


def test_of_near_duplicates_the_one_of_higher_score_stays():
    whole = np.zeros((10, 10), np.int64)
    whole[:9] = 1
    fewer = whole.copy()
    fewer[8, 8:] = 0
    scores = [np.array([0.5]), np.array([0.9])]
    (kept,) = pool_proposals([whole, fewer], scores, max_iou=0.9).masks
    assert np.array_equal(kept, fewer > 0)
    assert len(pool_proposals([whole, fewer], scores, max_iou=0.99).masks) == 2


def test_unstable_proposals_have_lower_scores():
    one, parted = np.ones((4, 4), np.int64), np.repeat([[1, 2]], 4, 0).repeat(2, 1)
    sure = np.array([0.8]), np.array([0.8, 0.8])
    together = pool_proposals([one, one, parted], [sure[0], sure[0], sure[1]], max_iou=0.9)
    assert together.scores.tolist() == pytest.approx([0.8 * 2.5 / 3, *2 * [0.8 * 2 / 3]])
    alone = pool_proposals([parted], [sure[1]])
    assert alone.scores.tolist() == [0.8, 0.8]


def test_without_objects_there_are_no_proposals():
    pooled = pool_proposals([np.zeros((3, 5), np.int64)] * 2, [np.zeros(0)] * 2)
    assert pooled.masks.shape == (0, 3, 5)


def test_classes_of_the_data_make_no_difference():
    model = RPEProposals(class_names=("disc", "square"), **SMALL).eval()
    batch = Batch(
        torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)),
        labels=torch.ones(1, 64, 64, dtype=torch.int64),
        semantic=torch.ones(1, 64, 64, dtype=torch.int64),
    )
    other = Batch(batch.image, labels=batch.labels, semantic=2 * batch.semantic)
    losses = [
        model.losses(one, generator=torch.Generator().manual_seed(0)) for one in (batch, other)
    ]
    assert "classes" not in losses[0]
    assert all(torch.equal(losses[0][name], losses[1][name]) for name in losses[0])


def test_a_training_starts_from_the_model_that_ships_with_all_its_weights():
    shipped = load("nuclei")
    plan = make_plan(
        "rpe", DiscsAndSquares(), {}, task="proposals", base=shipped.config, start="nuclei"
    )
    assert plan.config.loss.repulsion_radius is not None
    model = plan.method(plan.config)
    assert misfit(model, shipped) is None
    start_from(model, "nuclei")
    theirs = shipped.state_dict()
    own = dict(model.network.named_parameters())
    assert all(torch.equal(own[n], theirs[f"network.{n}"]) for n in own)


def test_a_fitted_regressor_may_rank_the_proposals():
    model = RPEProposals(**SMALL)
    model.config = model.config.updated({"decoding.score": "regressor"})
    plain = model.decode(made_up_maps())  # not fitted: by the foreground
    model.finish(DiscsAndSquares())
    ranked = model.decode(made_up_maps())
    assert model.scoring.fitted
    assert len(plain) == len(ranked) > 0
    assert not np.array_equal(plain.scores, ranked.scores)
