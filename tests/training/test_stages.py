"""A method of two stages: each part learns in its own, at a rate of its own."""

import csv
import json
import os
import signal

import pytest
import torch
from cases.registered import register
from torch import nn

from congeal.errors import CongealError
from congeal.methods import MapPrediction, Method, Stage
from congeal.methods.sections import MethodSettings
from congeal.models import load
from congeal.segmentation import Segmentation
from congeal.training.module import Trainee
from congeal.training.stages import StageClock
from congeal.training.validation import Validation

TWO = (Stage("map", 0.5, ("body",)), Stage("verdict", 0.5, ("head",)))


class TwoStage(Method):
    """A map, then a verdict on it; the scale of the image is never learnt."""

    name = "two-stage"
    title = "Two stages"
    reference = "none"
    Config = MethodSettings
    tasks = ("instances",)

    def __init__(self, config=None, **settings):
        super().__init__(config, **settings)
        self.scale_of = nn.Parameter(torch.ones(1), requires_grad=False)
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4))
        self.head = nn.Sequential(nn.Conv2d(4, 2, 1), nn.BatchNorm2d(2))
        self.seen = []

    def stages(self):
        return TWO

    def losses(self, batch, *, stage="training", progress=1.0, generator=None):
        modes = (self.body.training, self.head.training)
        self.seen.append((stage, round(progress, 3), *modes))
        features = self.body(batch.image * self.scale_of)
        target = (batch.labels > 0).float()
        if stage == "map":
            return {"map": (features.mean(1) - target).square().mean()}
        return {"verdict": (self.head(features).mean(1) - target).square().mean()}

    def compute_maps(self, image):
        gray = torch.from_numpy(image).float().mean(-1)
        return MapPrediction({"gray": gray[None]}, image.shape[:2])

    def decode(self, maps, *, keep_embedding=False):
        gray = maps.maps["gray"][0]
        return Segmentation.from_labels((gray > gray.mean()).long().numpy())


def fresh():
    torch.manual_seed(0)
    return TwoStage()


@pytest.fixture
def model(monkeypatch):
    register(monkeypatch, TwoStage)
    return fresh()


def state(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("stages", [(), (Stage("a", 0.5),), (Stage("a", 0.6), Stage("b", 0.6))])
def test_shares_that_do_not_add_up_are_refused(stages):
    with pytest.raises(CongealError, match="expected stages whose shares add up to 1, got"):
        StageClock(stages)


def test_the_clock_goes_from_stage_to_stage_and_never_back():
    clock = StageClock((Stage("a", 0.25), Stage("b", 0.25), Stage("c", 0.5)))
    seen = []
    for step, whole in enumerate((0, 0.1, 0.3, 0.2, 0.6, 0.9)):
        clock.move_to(whole, step)
        seen.append((clock.current.name, clock.first_step))
    assert seen == [("a", 0), ("a", 0), ("b", 2), ("b", 2), ("c", 4), ("c", 4)]
    assert clock.progress(0.75) == pytest.approx(0.5)
    assert (clock.progress(0.2), clock.progress(1)) == (0, 1)


def test_a_long_step_may_take_a_training_over_a_whole_stage():
    clock = StageClock((Stage("a", 0.25), Stage("b", 0.25), Stage("c", 0.5)))
    clock.move_to(0.7, 1)
    assert clock.current.name == "c"


def test_a_stage_that_is_kept_is_taken_up_again():
    clock, again = StageClock(TWO), StageClock(TWO)
    clock.move_to(0.6, step=7)
    again.load(clock.state())
    assert (again.current.name, again.first_step) == ("verdict", 7)
    again.load(None)  # of a checkpoint of an earlier version
    assert again.first_step == 7


def test_what_does_not_learn_is_held_still_and_what_never_learns_stays_so(model):
    clock = StageClock(TWO)

    def learning():
        return {name for name, p in model.named_parameters() if p.requires_grad}

    for whole, part in ((0.0, "body"), (0.9, "head")):
        clock.move_to(whole, 0)
        clock.apply([model])
        assert learning() == {n for n, _ in model.named_parameters() if n.startswith(part)}
        assert model.get_submodule(part).training
        assert not model.training


def test_a_stage_without_names_lets_everything_learn(model):
    clock = StageClock((Stage("head", 0.5, ("head",)), Stage("all", 0.5)))
    clock.apply([model])
    clock.move_to(0.5, 1)
    model.train()
    clock.apply([model])
    assert [n for n, p in model.named_parameters() if not p.requires_grad] == ["scale_of"]


def test_each_stage_trains_its_part_and_leaves_the_other_alone(brief, model, tmp_path):
    body, head, between = state(model.body), state(model.head), {}
    losses = model.losses

    def watch(batch, **options):
        if options["stage"] == "verdict" and not between:
            between.update(body=state(model.body), head=state(model.head))
        return losses(batch, **options)

    model.losses = watch
    folder = brief(tmp_path / "model", model=model, epochs=4)
    assert same(between["head"], head)
    assert not same(between["body"], body)
    found = load(folder)
    assert same(state(found.body), between["body"])  # batch norm's moments too
    assert not same(state(found.head), head)
    assert torch.equal(found.scale_of, torch.ones(1))


def test_the_loss_gets_stage_and_progress_and_the_log_has_them(brief, model, tmp_path):
    folder = brief(tmp_path / "model", model=model, epochs=20, steps_per_epoch=1)
    stages = [one[0] for one in model.seen]
    assert stages == ["map"] * 10 + ["verdict"] * 10
    assert [one[1] for one in model.seen] == [step / 10 for step in range(10)] * 2
    assert {one[2:] for one in model.seen} == {(True, False), (False, True)}
    with (folder / "log.csv").open() as file:
        rows = {row["step"]: row for row in csv.DictReader(file) if row["loss"]}
    assert (rows["10"]["stage"], rows["20"]["stage"]) == ("map", "verdict")
    assert rows["10"]["map"] == rows["10"]["loss"]
    assert rows["20"]["verdict"] == rows["20"]["loss"]
    assert rows["10"]["verdict"] == rows["20"]["map"] == ""


def test_the_rate_rises_anew_in_each_stage(brief, model, tmp_path, monkeypatch):
    rates = []
    step = Trainee.training_step

    def noting(trainee, batch, index):
        rates.append(trainee.rate)
        return step(trainee, batch, index)

    monkeypatch.setattr(Trainee, "training_step", noting)
    brief(tmp_path / "m", model=model, epochs=8, steps_per_epoch=1, warmup=2, power=0)
    top = max(rates)
    assert rates == pytest.approx([top / 2, top, top, top] * 2)


@pytest.mark.parametrize("reading", [5, 13])
def test_a_training_broken_off_in_either_stage_resumes_to_the_same_weights(
    brief, eventful, model, tmp_path, reading
):
    whole = load(brief(tmp_path / "whole", model=fresh(), epochs=4))
    interrupt = eventful({reading: lambda: os.kill(os.getpid(), signal.SIGINT)})
    broken = brief(tmp_path / "broken", interrupt, model=fresh(), epochs=4)
    assert json.loads((broken / "config.json").read_text())["training"]["steps"] < 8
    resumed = load(brief(broken, model=fresh(), epochs=4, resume=True))
    assert same(state(resumed), state(whole))


def test_replicas_hold_still_what_the_stage_does(brief, model, tmp_path):
    settings = {"batch_size": 4, "epochs": 4}
    head, body = state(model.head), state(model.body)
    found = load(brief(tmp_path / "model", model=model, cpu_replicas=2, **settings))
    assert not same(state(found.head), head)
    assert not same(state(found.body), body)
    assert {one[2:] for one in model.seen} == {(True, False), (False, True)}


def test_scores_of_an_earlier_stage_do_not_keep_its_weights(brief, model, tmp_path, monkeypatch):
    upcoming = iter([0.9, 0.9, 0.1, 0.2])

    def score(self, trainer, trainee):
        self.objects = 10**9
        value = next(upcoming)
        return {"matching_ap@0.5": value, "matching_ap@0.7": value}

    monkeypatch.setattr(Validation, "_score", score)
    settings = {"epochs": 4, "validation_share": 1, "patience": 1, "keep": "best"}
    folder = brief(tmp_path / "model", model=model, **settings, tuning_share=0)
    told = json.loads((folder / "config.json").read_text())
    assert told["training"]["steps"] == 8
    assert told["metrics"]["validation matching_ap@0.5"] == 0.2
