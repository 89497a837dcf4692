import json

import numpy as np
import pytest
import torch

from congeal.data.batch import Batch
from congeal.errors import CongealError
from congeal.losses.variational import variational_terms
from congeal.methods.dvis import DVIS, DVISConfig
from congeal.methods.dvis.verification import VerificationOutput
from congeal.methods.method import MapPrediction
from congeal.models.folder import load, save_model


def make(seed=0, **settings):
    torch.manual_seed(seed)
    return DVIS(**{"verification_width": 8, **settings})


def speckled(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 200, (height, width, 3)).astype(np.uint8)


def scene():
    """Labels (32, 48): two bars that touch, a square, and a far square of the first bar's value."""
    labels = np.zeros((32, 48), np.int64)
    labels[4:10, :30], labels[10:16, :30] = 1, 2
    labels[20:28, 4:12], labels[20:28, 36:44] = 3, 4
    return labels


def told(labels, levels, model):
    """Maps of a network that gives each object its level."""
    stride = model.config.network.stride
    values = torch.tensor([0.0, *levels])[torch.from_numpy(labels[::stride, ::stride])][None]
    features = torch.zeros(8, -(-labels.shape[0] // 8), -(-labels.shape[1] // 8))
    return MapPrediction({"values": values, "features": features}, labels.shape, stride)


def test_perfect_values_decode_to_the_objects():
    model, labels = make(min_area=4), scene()
    result = model.decode(told(labels, [2, 3, 4, 5], model))
    assert len(result) == 4
    for number in range(1, 5):
        truth = labels == number
        best = max((truth & m).sum() / (truth | m).sum() for m in result.masks)
        assert best > 0.8  # a pixel of outline at stride 2
    assert np.all(result.scores == 1)


def test_far_objects_of_one_value_are_one_unless_there_is_a_repulsion_radius():
    labels = scene()
    for settings, count in (
        ({}, 3),
        ({"repulsion_radius": 16}, 4),
        ({"split_components": True}, 4),
    ):
        model = make(min_area=4, **settings)
        assert len(model.decode(told(labels, [2, 3, 4, 2], model))) == count


def test_close_values_are_told_apart_by_the_small_bandwidth_once_verified(monkeypatch):
    """Bars at 2 and 2.6: one candidate by .9, two by .4; the verdict decides."""
    model, labels = make(min_area=4), scene()
    maps = told(labels, [2, 2.6, 4, 5], model)
    model.verified.fill_(True)

    def judge(projected, masks, ratio):
        areas = masks.sum((1, 2)).float()
        good = torch.where(areas > 80, 0.1, 0.9)  # the union of the bars is no object
        return VerificationOutput(torch.zeros(len(masks), 2), good)

    monkeypatch.setattr(model.verification, "forward", judge)
    assert len(model.candidates(maps)) == 5
    assert len(model.decode(maps)) == 4
    assert len(model.configure(min_score=0.95).decode(maps)) == 0
    everything = model.configure(min_score=0.0, max_overlap=1.0).decode(maps)
    assert len(everything) == 5


def test_rejected_candidates_are_there_with_their_scores():
    model, labels = make(min_area=4), scene()
    model.verified.fill_(True)
    maps = told(labels, [2, 3, 4, 5], model)
    found = model.candidates(maps)
    chosen = model.configure(min_score=0.99).decode(maps)
    assert len(found) >= 4 > len(chosen)
    assert (found.scores < 0.99).all()


def test_the_score_mixes_by_the_share_in_force():
    model, labels = make(min_area=4, class_names=("disc", "bar")), scene()
    model.verified.fill_(True)
    maps = told(labels, [2, 3, 4, 5], model)
    by_class, mixed, by_iou = (
        model.configure(iou_share=share).candidates(maps).scores for share in (0.0, 0.5, 1.0)
    )
    assert mixed == pytest.approx((by_class + by_iou) / 2, abs=1e-6)


@pytest.mark.parametrize(
    "settings", [{}, {"network.channels": 3}, {"stride": 4}, {"coordinates": "none"}]
)
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 33), (45, 31)])
def test_any_image_size_gives_a_result_of_that_size(size, settings):
    model = make(**settings, min_area=0, foreground_threshold=1e-6, min_score=0.0)
    for verified in (False, True):
        model.verified.fill_(verified)
        result = model.segment(speckled(*size), keep_embedding=True)
        assert result.shape == size
        assert np.isfinite(result.scores).all()
        stride = model.config.network.stride
        expected = (model.config.network.channels, *(-(-side // stride) for side in size))
        assert result.embedding.shape == expected


@pytest.mark.parametrize("scale", [0.5, 1.7])
def test_images_shown_at_another_size_come_back_at_their_own(scale):
    assert make(scale=scale, min_object_area=200).segment(speckled(37, 50)).shape == (37, 50)


def drawn_batch(size=32):
    labels = torch.randint(-1, 4, (2, 4, 4), generator=torch.Generator().manual_seed(0))
    labels = labels.repeat_interleave(size // 4, 1).repeat_interleave(size // 4, 2)
    return Batch(torch.rand(2, 3, size, size), labels, semantic=labels.clamp(max=1))


@pytest.mark.parametrize("pairs", ["window", "random"])
def test_the_terms_are_those_of_the_functions_by_their_weights(pairs):
    weights = {"binary": 3.0, "permutation": 0.7, "mumford_shah": 0.2, "quantisation": 0.4}
    model = make(
        coordinates="none", pairs=pairs, window=17, centre=3, dilation=4, pair_count=50,
        repulsion_radius=20, different_weight=2.0,
        **{f"{name}_weight": value for name, value in weights.items()},
    ).eval()  # fmt: skip
    batch = drawn_batch()
    found = model.losses(batch, stage="map", generator=torch.Generator().manual_seed(3))
    values, labels = model(batch.image).values, batch.labels[:, ::2, ::2]
    expected = variational_terms(
        values, labels, pairs=pairs, window=17, centre=3, dilation=4, count=50,
        repulsion_radius=10, different_weight=2.0, generator=torch.Generator().manual_seed(3),
    )  # fmt: skip
    assert list(found) == list(weights)
    for name, weight in weights.items():
        assert found[name].item() == pytest.approx(weight * getattr(expected, name).item())


def moved_by(model, batch, stage):
    model.zero_grad()
    sum(model.losses(batch, stage=stage).values()).backward()
    return {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None}


def test_one_after_the_other_each_stage_moves_its_own_part_of_the_network():
    model, batch = make(joint=False, foreground_threshold=1e-6), drawn_batch()
    for stage, learns in zip(model.stages(), ("network", "verification"), strict=True):
        assert moved_by(model, batch, stage.name) == {learns}
        assert stage.learns == (learns,)


def test_jointly_both_parts_of_the_network_learn_at_once():
    model, batch = make(foreground_threshold=1e-6), drawn_batch()
    (stage,) = model.stages()
    assert stage.learns == ("network", "verification")
    assert moved_by(model, batch, stage.name) == {"network", "verification"}


def encoder_gradient_of_class(model, stage, progress=1.0):
    model.losses(drawn_batch(), stage=stage, progress=progress)["class"].backward()
    found = [p.grad for p in model.encoder_parameters() if p.grad is not None]
    return float(sum(g.abs().sum() for g in found))


@pytest.mark.parametrize("progress", [0.0, 1.0])
def test_the_encoder_learns_classes_by_joint_training_alone(progress):
    settings = {"class_names": ("a", "b"), "foreground_threshold": 1e-6}
    assert encoder_gradient_of_class(make(**settings), "joint", progress) > 0
    apart = make(**settings, joint=False)
    assert "class" not in apart.losses(drawn_batch(), stage="map", progress=progress)
    assert encoder_gradient_of_class(apart, "verification", progress) == 0


def judged_masks(model, progress, monkeypatch):
    """How many masks the verification is shown."""
    usual, counts = model.verification.forward, []

    def forward(projected, masks, *more):
        counts.append(len(masks))
        return usual(projected, masks, *more)

    monkeypatch.setattr(model.verification, "forward", forward)
    model.losses(drawn_batch(), stage="joint", progress=progress)
    return counts[-1]


def test_candidates_are_verified_from_a_share_of_a_joint_training_on(monkeypatch):
    model = make(
        candidates_from=0.25, candidate_share=1.0, coordinates="channels",
        foreground_threshold=1e-6, min_area=0,
        seed=2,
    )  # fmt: skip
    objects = sum(len(torch.unique(labels[labels > 0])) for labels in drawn_batch().labels)
    assert judged_masks(model, 0.2, monkeypatch) == objects
    assert not model.verified
    assert judged_masks(model, 0.25, monkeypatch) > objects
    assert model.verified


def test_candidates_are_looked_for_in_a_share_of_the_images(monkeypatch):
    model = make(
        candidates_from=0.25, coordinates="channels", foreground_threshold=1e-6, min_area=0,
        seed=2, candidate_share=1e-9,
    )  # fmt: skip
    objects = sum(len(torch.unique(labels[labels > 0])) for labels in drawn_batch().labels)
    assert judged_masks(model, 1.0, monkeypatch) == objects


def test_a_perfect_mask_and_a_shifted_one_are_told_apart_by_iou_before_any_candidate():
    """The IoU head sees true masks, every other one of them shifted."""
    targets = []
    for jitter in (0.0, 0.5):
        model = make(jitter=jitter)
        model.verification.cover[-1].bias.data.fill_(1.0)
        model.verification.cover[-1].weight.data.zero_()
        targets.append(model.losses(drawn_batch(), stage="joint", progress=0.0)["iou"].item())
    assert targets[0] == 0  # what is predicted, 1, is right for all
    assert targets[1] > 0


def test_classes_are_learnt_from_true_masks_before_there_is_any_candidate():
    """Bright and dark squares; the value map has no foreground at all."""
    labels = torch.zeros(1, 32, 32, dtype=torch.int64)
    labels[0, 4:14, 4:14], labels[0, 18:28, 16:28] = 1, 2
    image = (labels[:, None] == 1).float().expand(1, 3, 32, 32)
    labels = labels.expand(2, 32, 32)
    batch = Batch(image.expand(2, 3, 32, 32), labels, semantic=labels)
    model = make(class_names=("a", "b"), foreground_threshold=1e6, class_weight=1).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(15):
        loss = model.losses(batch, stage="joint", progress=0.0)["class"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1


def test_true_objects_join_the_candidates_where_asked_for():
    batch = drawn_batch()
    with_truth, without = (
        make(foreground_threshold=1e6, true_candidates=chosen).losses(batch, stage="verification")
        for chosen in (True, False)
    )
    assert with_truth["iou"].item() > 0
    assert without["iou"].item() == 0


def test_without_candidates_the_verification_loss_is_zero_and_has_a_gradient():
    model = make(foreground_threshold=1e6, true_candidates=False)
    found = model.losses(drawn_batch(), stage="verification")
    assert [float(found[term]) for term in ("class", "iou")] == [0.0, 0.0]
    sum(found.values()).backward()


def test_bad_settings_are_told():
    with pytest.raises(CongealError, match="odd"):
        DVISConfig.from_settings({"window": 64})
    with pytest.raises(CongealError, match="bandwidth"):
        DVISConfig.from_settings({"bandwidths": [0.5, -1]})
    with pytest.raises(CongealError, match=r"a task of DVIS .instances., got .semantic."):
        DVIS(task="semantic")


def test_a_folder_of_an_earlier_version_is_refused_in_one_line(tmp_path):
    """Its verification learnt by features of the encoder, and its settings do not say so."""
    folder = save_model(make(features="encoder"), tmp_path / "old", card="")
    config = json.loads((folder / "config.json").read_text())
    del config["settings"]["network"]["features"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CongealError, match="does not fit the settings") as told:
        load(folder)
    assert "\n" not in str(told.value)
    assert "verification.project" in str(told.value)
