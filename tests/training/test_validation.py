"""When validations come, and what a training that diverges leaves behind."""

import csv
import json

import pytest
import torch

from congeal.data import DrawnDataset
from congeal.errors import CongealError
from congeal.models import load
from congeal.training import validation
from congeal.training.validation import Validation


def validated(folder):
    with (folder / "log.csv").open() as file:
        return [int(row["step"]) for row in csv.DictReader(file) if row.get("matching_ap@0.5")]


class SlowClock:
    """A clock by which a validation takes an hour."""

    def __init__(self):
        self.seconds = 0.0

    def __call__(self):
        self.seconds += 3600
        return self.seconds


@pytest.mark.parametrize(
    ("share", "expected"),
    [(1.0, [2, 4, 6, 8, 10, 12]), (0.05, [2, 6, 12])],  # 1 image for 20 crops, 4 each epoch
)
def test_validations_are_due_by_images_whatever_the_clock_says(
    brief, tmp_path, monkeypatch, share, expected
):
    usual = brief(tmp_path / "usual", validation_share=share)
    monkeypatch.setattr(validation, "now", SlowClock())
    slow = brief(tmp_path / "slow", validation_share=share)
    assert validated(usual) == validated(slow)
    if share == 1:
        assert validated(usual) == expected
    assert 2 in validated(usual)
    assert 12 in validated(usual)


def test_best_weights_do_not_depend_on_the_speed_of_the_machine(brief, tmp_path, monkeypatch):
    settings = {"keep": "best", "validation_share": 0.1, "tuning_share": 0}
    usual = load(brief(tmp_path / "usual", **settings)).state_dict()
    monkeypatch.setattr(validation, "now", SlowClock())
    slow = load(brief(tmp_path / "slow", **settings)).state_dict()
    assert all(torch.equal(usual[name], slow[name]) for name in usual)


def test_with_a_length_in_minutes_the_clock_decides(brief, tmp_path, monkeypatch):
    monkeypatch.setattr(validation, "now", SlowClock())
    folder = brief(tmp_path / "model", max_minutes=60, validation_share=1)
    assert validated(folder) == [2, 12]  # the first took an hour


def spoil_a_buffer(monkeypatch, at):
    """Make a buffer of the network infinite at a step; the parameters stay finite."""
    from congeal.training.module import Trainee

    on_train_batch_end = Trainee.on_train_batch_end

    def spoiling(self, outputs, batch, batch_idx):
        on_train_batch_end(self, outputs, batch, batch_idx)
        if self.global_step == at:
            buffers = dict(self.model.named_buffers())
            name = next(name for name in buffers if name.endswith("running_var"))
            buffers[name].fill_(torch.inf)

    monkeypatch.setattr(Trainee, "on_train_batch_end", spoiling)


def all_finite(state):
    return all(bool(t.isfinite().all()) for t in state.values() if t.is_floating_point())


def test_infinite_buffers_end_a_training_and_the_last_good_model_stays(
    brief, tmp_path, monkeypatch
):
    spoil_a_buffer(monkeypatch, at=3)  # in the second epoch
    output = tmp_path / "model"
    with pytest.raises(CongealError, match="no longer finite after step 4"):
        brief(output, keep="best", validation_share=1)
    assert json.loads((output / "config.json").read_text())["training"]["steps"] == 2
    assert all_finite(load(output).state_dict())
    checkpoint = torch.load(output / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 2
    assert all_finite(checkpoint["state_dict"])


def test_validation_gives_its_state_to_a_resumed_training():
    check = Validation(
        DrawnDataset("discs"),
        None,
        fitted_on=None,
        images=3,
        share=0.05,
        crops=8,
        patience=None,
        overlays=None,
        history=None,
        save=lambda scores, better: None,
    )
    check.images_used = 6
    again = Validation(
        check.task,
        None,
        fitted_on=None,
        images=3,
        share=0.05,
        crops=8,
        patience=None,
        overlays=None,
        history=None,
        save=lambda scores, better: None,
    )
    again.load_state_dict(check.state_dict())
    assert again.images_used == 6
