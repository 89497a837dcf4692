"""Crop and batch by the time there is; what is given stays; the minutes are the whole."""

import json
import time

import pytest
import torch
import yaml

from congeal.data import DrawnDataset
from congeal.methods.rpe import RPE
from congeal.training import budget
from congeal.training.budget import (
    Shape,
    Speed,
    candidate_shapes,
    choose_shape,
    expectation_lines,
    fit_to_time,
    measure_speed,
)
from congeal.training.config import TrainConfig, train_config
from congeal.training.module import Trainee

SHORT = {"epochs": None, "max_minutes": 0.02, "batch_size": 2, "crop": 32, "steps_per_epoch": 1}


def plan_of(folder):
    return yaml.safe_load((folder / "plan.yaml").read_text())


@pytest.fixture
def as_fast_as(monkeypatch):
    """Let an update of any shape take so many seconds a pixel; gives the shapes asked for."""
    asked = []

    def choose(per_pixel):
        def measured(config, model, training, ahead, limit):
            asked.append(ahead)
            return Speed(0.0, per_pixel)

        monkeypatch.setattr(budget, "measure_speed", measured)
        return asked

    return choose


@pytest.fixture
def timed(brief, tmp_path):
    """A training by the clock with batch and crop left open, but for what is given."""

    def run(**given):
        left = {"epochs": None, "steps_per_epoch": 1, "max_minutes": 0.02, **given}
        return brief_without(brief, {"batch_size", "crop"} - set(given), tmp_path / "model", left)

    return run


def brief_without(brief, names, output, settings):
    """`brief`, of whose settings some are not given at all."""
    from congeal.data import DrawnDataset
    from congeal.training import train

    torch.manual_seed(0)
    model = RPE(dimensions=4, samples=64, min_area=4, repulsion_radius=40.0)
    usual = {"batch_size": 2, "crop": 32, "cache_gb": 0, "workers": 0, "device": "cpu"}
    usual = {name: value for name, value in usual.items() if name not in names}
    data = DrawnDataset("sticks", "train", count=4, size=96)
    val = DrawnDataset("sticks", "val", count=1, size=96)
    return train(model, data, output=output, val=val, **{**usual, **settings})


@pytest.mark.parametrize(("per_pixel", "expected"), [(1e-12, (8, 128)), (1.0, (2, 96))])
def test_batch_and_crop_follow_from_the_speed(timed, as_fast_as, capsys, per_pixel, expected):
    as_fast_as(per_pixel)
    folder = timed()
    chosen = plan_of(folder)["training"]
    assert (chosen["batch_size"], chosen["crop"]) == expected
    told = json.loads((folder / "config.json").read_text())["training"]
    assert (told["batch_size"], told["crop"]) == expected
    said = capsys.readouterr().err
    assert f" of {expected[0]} x {expected[1]} px in 0.02 minutes" in said
    assert ("few updates" in said) == (per_pixel == 1)


def test_the_note_on_few_updates_differs_for_fine_tuning():
    config = TrainConfig(batch_size=4, crop=128, max_minutes=1)
    assert expectation_lines(config, 9)[0] == "about 9 updates of 4 x 128 px in 1 minute"
    assert "so the model will learn little" in expectation_lines(config, 9)[1]
    assert "look like those of the start model" in expectation_lines(config, 9, "nuclei")[1]
    assert "--start" not in expectation_lines(config, 9, "nuclei")[1]


def test_what_is_given_is_never_changed(timed, as_fast_as):
    asked = as_fast_as(1.0)
    chosen = plan_of(timed(crop=64, warmup=7))["training"]
    assert (chosen["crop"], chosen["warmup"], chosen["steps_per_epoch"]) == (64, 7, 1)
    assert {shape.crop for shape in asked[0]} == {64}
    assert chosen["batch_size"] == 2


def test_where_preparing_took_all_the_time_one_update_is_planned(as_fast_as):
    as_fast_as(1e-3)
    data, model = DrawnDataset("sticks", count=2, size=64), RPE(dimensions=4)
    plan, updates = fit_to_time(
        train_config({"max_minutes": 0.1}), set(), model, data, (64, 64), -3.0
    )
    assert updates == 1
    assert (plan.warmup, plan.steps_per_epoch) == (1, 1)


def test_nothing_is_measured_where_nothing_is_open(brief, tmp_path, as_fast_as):
    asked = as_fast_as(1.0)
    brief(tmp_path / "a", epochs=1)
    brief(tmp_path / "b", warmup=5, **SHORT)
    assert not asked


def test_a_resumed_training_keeps_to_what_was_chosen(timed, as_fast_as):
    asked = as_fast_as(1e-12)
    before = plan_of(timed())
    as_fast_as(1.0)  # the machine is busy now
    folder = timed(resume=True, max_minutes=0.05)
    assert len(asked) == 1
    assert plan_of(folder) == before
    assert json.loads((folder / "config.json").read_text())["training"]["batch_size"] == 8


def test_measuring_leaves_model_and_chance_as_they_are():
    from congeal.data import DrawnDataset

    torch.manual_seed(0)
    model = RPE(dimensions=4, samples=64)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    chance = torch.get_rng_state()
    data = DrawnDataset("discs", "train", count=2, size=64)
    ahead = candidate_shapes(64, 64, 32)
    speed = measure_speed(TrainConfig(device="cpu"), model, data, ahead, 60.0)
    assert 0 < speed.seconds(Shape(2, 64)) < 60
    assert torch.equal(torch.get_rng_state(), chance)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_more_time_never_makes_batches_smaller():
    ahead, speed = candidate_shapes(96, 224, 32), Speed(0.05, 1e-6)
    pixels = [choose_shape(ahead, speed, 60.0 * minutes).pixels for minutes in range(1, 60)]
    assert pixels == sorted(pixels)
    assert choose_shape(ahead, speed, 3600.0) == Shape(8, 224)


def test_making_ready_and_the_end_are_part_of_the_minutes():
    config = train_config({"max_minutes": 1, "tuning_share": 0.1})
    trainee = Trainee(RPE(dimensions=4), config, None, start_time=time.monotonic() - 24)
    trainee.on_train_start()
    assert trainee.prepared == pytest.approx(24, abs=0.5)
    trainee.first_step_time -= 15  # of the 60 - 24 - 6 that there are
    assert trainee.progress == pytest.approx(0.5, abs=0.02)
    trainee.reserve = 1e9  # whatever the end takes, there is time for some steps
    trainee.first_step_time += 12
    assert trainee.progress == pytest.approx(0.5, abs=0.02)


def test_making_ready_counts_once_however_often_a_training_is_resumed():
    config = train_config({"max_minutes": 1, "tuning_share": 0.1})
    trainees = [
        Trainee(RPE(dimensions=4), config, None, start_time=time.monotonic() - seconds)
        for seconds in (24, 50)
    ]
    checkpoint = {"state_dict": trainees[0].state_dict()}
    trainees[0].on_train_start()
    trainees[0].on_save_checkpoint(checkpoint)
    trainees[1].on_load_checkpoint(checkpoint)
    trainees[1].on_train_start()
    assert trainees[1].prepared == trainees[0].prepared


@pytest.mark.slow
def test_the_minutes_are_the_whole(brief, tmp_path):
    started = time.monotonic()
    brief(tmp_path / "model", **{**SHORT, "max_minutes": 0.5, "steps_per_epoch": 20})
    assert 27 <= time.monotonic() - started <= 33
