"""Weights of another model to begin with: what fits is taken, the rest is fresh."""

import json

import pytest
import torch

from congeal.data import DrawnDataset
from congeal.data.measures import survey_training
from congeal.errors import CongealError
from congeal.methods.rpe import RPE
from congeal.models import load, save_model
from congeal.models.shipped import describe, locate
from congeal.training.plan import make_plan
from congeal.training.start import start_from


@pytest.fixture
def first(tmp_path):
    torch.manual_seed(1)
    model = RPE(dimensions=8, margin=0.4, min_area=5)
    return save_model(model, tmp_path / "first", card="")


def test_a_model_of_the_same_settings_takes_every_weight(first):
    model = RPE(dimensions=8)
    assert start_from(model, first) == len(model.state_dict())
    theirs = load(first).state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in model.state_dict().items())


def test_what_depends_on_other_settings_keeps_its_fresh_values(first):
    torch.manual_seed(2)
    model = RPE(dimensions=4, class_names=("a", "b"))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    theirs = load(first).state_dict()
    start_from(model, first)
    fresh = 0
    for name, value in model.state_dict().items():
        if "draw.decide" in name or "classify" in name:  # follow from the names of the classes
            continue
        fits = name in theirs and theirs[name].shape == value.shape
        fresh += not fits
        assert torch.equal(value, theirs[name] if fits else before[name])
    assert 0 < fresh < len(before) / 4


def foreground(model, image):
    return 1 - model.predict_maps(image).maps["semantic"].softmax(0)[0]


def test_a_model_of_one_class_finds_as_much_foreground_as_one_of_two(tmp_path):
    image = DrawnDataset("discs", count=1, size=64)[0].image
    one = load("nuclei")
    two = RPE(one.config, class_names=("disc", "square"))
    start_from(two, "nuclei")
    torch.testing.assert_close(foreground(two, image), foreground(one, image))
    assert len(two.segment(image)) == len(one.segment(image)) > 0


def test_rows_of_classes_follow_their_names(tmp_path):
    torch.manual_seed(1)
    first = RPE(dimensions=4, class_names=("disc", "square"))
    save_model(first, tmp_path, card="")
    other = RPE(dimensions=4, class_names=("square", "disc"))
    start_from(other, tmp_path)
    for name in ("network.draw.decide.bias", "classify.decide.2.bias"):
        mine, theirs = other.state_dict()[name], first.state_dict()[name]
        at = 1 if name.startswith("network") else 0
        assert mine[at : at + 2].tolist() == theirs[at : at + 2].flip(0).tolist()


def test_a_model_of_which_nothing_fits_is_told(first, monkeypatch):
    monkeypatch.setattr("congeal.training.start.load", lambda start: torch.nn.Linear(2, 2))
    with pytest.raises(CongealError, match=r"expected weights in .*first that fit rpe"):
        start_from(RPE(dimensions=4), first)


def test_a_training_begins_with_the_settings_of_the_model(brief, first, eventful, tmp_path):
    still = {"learning_rate": 1e-12, "weight_decay": 0, "epochs": 1, "tuning_share": 0}
    folder = brief(tmp_path / "model", eventful(), model="rpe", start=first, **still)
    begun, found = load(first), load(folder)
    before, after = begun.config.flat(), found.config.flat()
    # What follows from the sizes of objects is fitted to these images.
    fitted = {"input.scale", "input.gamma", "decoding.min_area"}
    assert {name for name in after if after[name] != before[name]} <= fitted
    for name, parameter in found.named_parameters():
        torch.testing.assert_close(parameter, begun.get_parameter(name), atol=1e-6, rtol=0)
    assert json.loads((folder / "config.json").read_text())["training"]["steps"] == 2


BRIEF = {"epochs": 1, "tuning_share": 0, "learning_rate": 1e-12, "weight_decay": 0}


def test_a_training_starts_from_the_model_that_ships_and_its_card_says_so(brief, tmp_path, capsys):
    folder = brief(tmp_path / "model", DrawnDataset("discs", count=4), model="rpe", **BRIEF)
    begun, found = load("nuclei"), load(folder)
    for name, parameter in found.named_parameters():
        torch.testing.assert_close(parameter, begun.get_parameter(name), atol=1e-6, rtol=0)
    assert "starts from the weights of nuclei" in capsys.readouterr().err
    fingerprint = describe(locate("nuclei")).fingerprint
    assert f"- start: nuclei (weights {fingerprint})" in (folder / "README.md").read_text()
    assert "start: nuclei" in (folder / "plan.yaml").read_text()


def test_from_scratch_nothing_is_taken(brief, eventful, tmp_path, capsys):
    folder = brief(tmp_path / "model", eventful(), model="rpe", start=None, **BRIEF)
    theirs = dict(load("nuclei").named_parameters())
    found = dict(load(folder).named_parameters())
    same = [n for n in found if n in theirs and found[n].shape == theirs[n].shape]
    weights = [n for n in same if found[n].ndim > 1]
    assert weights
    assert not any(torch.allclose(found[n], theirs[n], atol=1e-3) for n in weights)
    assert "weights of nuclei" not in capsys.readouterr().err
    assert "- start: scratch" in (folder / "README.md").read_text()


def test_weights_that_do_not_fit_are_left_with_one_line(brief, tmp_path, capsys):
    small = {"network.encoder": "mobilenetv3_small_050", "dimensions": 4, "crop": 64}
    folder = brief(
        tmp_path / "model", DrawnDataset("discs", count=4), model="rpe", **small, **BRIEF
    )
    said = [line for line in capsys.readouterr().err.splitlines() if "nuclei" in line]
    assert said == [
        "starts from scratch, not from the weights of nuclei: network.encoder is "
        "mobilenetv3_small_050, not compact"
    ]
    assert "- start: scratch" in (folder / "README.md").read_text()


def test_objects_that_cross_are_learnt_from_scratch(brief, tmp_path, capsys):
    sticks = DrawnDataset("sticks", count=4)
    folder = brief(tmp_path / "model", sticks, model="rpe", crop=64, **BRIEF)
    assert "not from the weights of nuclei: objects that others cross" in capsys.readouterr().err
    assert "- start: scratch" in (folder / "README.md").read_text()
    assert load(folder).config.loss.repulsion_radius is None


def test_a_resumed_training_keeps_to_its_start(brief, eventful, tmp_path):
    folder = brief(tmp_path / "model", eventful(), model="rpe", start=None, **BRIEF)
    brief(folder, eventful(), model="rpe", resume=True, **{**BRIEF, "epochs": 2})
    assert "- start: scratch" in (folder / "README.md").read_text()


def test_the_radius_of_a_start_model_shrinks_with_the_objects_but_does_not_grow():
    base, task = load("nuclei").config, "instances"
    for kind, same in (("rosettes", True), ("specks", False)):
        survey = survey_training(DrawnDataset(kind, count=2), task)
        found = RPE.adapt(survey, base)
        assert (found["loss.repulsion_radius"] == base.loss.repulsion_radius) == same
        assert ("network.wavelengths" in found) != same


def test_what_is_given_goes_over_the_settings_of_the_model(first, eventful):
    base = load(first).config
    plan = make_plan(None, eventful(), {"margin": 0.3}, base=base)
    assert (plan.config.loss.margin, plan.config.network.dimensions) == (0.3, 8)
    assert plan.config.network.coordinates == base.network.coordinates
