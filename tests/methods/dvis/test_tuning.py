"""The weight a of the score and its threshold are chosen on labelled images and stored."""

import numpy as np
import pytest
import torch

from congeal.data import Dataset
from congeal.data.sample import Sample
from congeal.methods import MapPrediction
from congeal.methods.dvis import DVIS
from congeal.methods.dvis.verification import VerificationOutput
from congeal.models import load
from congeal.models.folder import save_model
from congeal.training.tuning import tune_decoding


class Squares(Dataset):
    """A large and a small square; the small one is seen as an object, and is none."""

    split, name = "val", "squares"

    def __len__(self):
        return 4

    def __getitem__(self, index):
        labels = np.zeros((64, 64), np.int64)
        labels[4:28, 4:28], labels[36:60, 36:60] = 1, 2
        return Sample(str(index), np.zeros((64, 64, 3), np.uint8), labels)

    def names(self):
        return [str(index) for index in range(4)]


def values():
    drawn = np.zeros((32, 32), np.float32)
    drawn[2:14, 2:14], drawn[18:30, 18:30], drawn[2:8, 20:26] = 2.0, 5.0, 8.0
    return torch.from_numpy(drawn)[None]


def judged(model, monkeypatch, true_iou, false_iou, true_class, false_class):
    """The model, which says so of true and false candidates."""

    def judge(projected, masks, ratio):
        true = masks.sum((1, 2)) > 100
        iou = torch.where(true, true_iou, false_iou)
        sure = torch.where(true, true_class, false_class)
        logits = torch.stack([1 - sure, sure, torch.full_like(sure, 1e-9)], 1).log()
        return VerificationOutput(logits, iou)

    maps = MapPrediction({"values": values(), "features": torch.zeros(8, 8, 8)}, (64, 64), 2)
    monkeypatch.setattr(model.verification, "forward", judge)
    monkeypatch.setattr(DVIS, "predict_maps", lambda self, image: maps)
    return model


@pytest.fixture
def model():
    torch.manual_seed(0)
    made = DVIS(verification_width=8, min_area=4, class_names=("a", "b"))
    made.verified.fill_(True)
    return made


def test_the_threshold_falls_to_where_objects_score(model, monkeypatch, tmp_path):
    judged(model, monkeypatch, 0.42, 0.1, 0.42, 0.1)
    assert len(model.segment(Squares()[0].image)) == 0
    found = tune_decoding(model, Squares())
    assert 0.1 < found.settings["decoding.min_score"] < 0.42
    assert len(model.segment(Squares()[0].image)) == 2
    save_model(model, tmp_path / "model", card="")
    assert load(tmp_path / "model").config.decoding.min_score == model.config.decoding.min_score


def test_a_grows_where_the_class_head_is_fooled(model, monkeypatch):
    """The class head is surer of what is no object; predicted IoU knows better."""
    judged(model, monkeypatch, 0.9, 0.1, 0.2, 0.95)
    found = tune_decoding(model, Squares())
    assert found.settings["decoding.iou_share"] > 0.5
    assert len(model.segment(Squares()[0].image)) == 2
