"""Crossing objects by embeddings, boxes and classical methods, tried with two updates."""

import numpy as np
import pytest
import torch

from congeal.data.drawn import DrawnDataset
from congeal.data.sample import Sample
from congeal.experiments.boxes import BoxSegmenter, Budget, train_boxes
from congeal.experiments.dl_crossing import METHODS, QUICK, crossings, draw_dl_crossing


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def test_every_method_is_scored_for_every_number_of_sticks(tmp_path, table):
    made = draw_dl_crossing(tmp_path, quick=True)
    assert (made.png.name, made.csv.name) == ("dl_crossing.png", "dl_crossing.csv")
    rows = table(made)
    found = [(row["method"], int(row["objects"])) for row in rows]
    assert found == [(name, objects) for name in METHODS for objects in QUICK.objects]
    few, many = (float(row["crossings"]) for row in rows[:2])
    assert few < many
    assert table(draw_dl_crossing(tmp_path, quick=True)) == rows  # nothing is trained again
    parts = [float(row["ap@0.5"]) for row in rows if row["method"] == "components"]
    assert parts[0] > parts[1]  # sticks that touch are one part


@pytest.mark.parametrize(
    ("labels", "pairs"),
    [([[1, 0, 2]], 0), ([[1, 2], [2, 1]], 1), ([[1, 0], [0, 2]], 1), ([[0, 1], [2, 0]], 1)],
)
def test_crossings_are_pairs_that_touch(labels, pairs):
    assert crossings(np.array(labels)) == pairs


def test_mask_r_cnn_learns(tmp_path):
    torch.manual_seed(0)
    data = DrawnDataset("discs", "train", count=2, size=64, objects=2, overlap=0.0)
    model = BoxSegmenter("compact", side=64, min_score=0.0)
    before = [p.clone() for p in model.network.parameters()]
    assert train_boxes(model, data, Budget(updates=2), crop=64, batch_size=2) == 2
    moved = [not torch.equal(p, q) for p, q in zip(model.network.parameters(), before, strict=True)]
    assert sum(moved) > 0.9 * len(moved)
    assert model.segment(data[0].image).shape == (64, 64)


def test_the_minimum_score_has_the_best_ap_on_validation_images(monkeypatch):
    """The object has a box of score .15, another box .03: only .1 finds the one alone."""
    masks = torch.zeros(2, 1, 16, 16)
    masks[0, 0, 2:8, 2:8] = masks[1, 0, 10:14, 10:14] = 1.0
    found = {"scores": torch.tensor([0.15, 0.03]), "masks": masks}
    model = BoxSegmenter("compact", side=64)
    monkeypatch.setattr(model, "_find", lambda image: found)
    labels = masks[0, 0].long().numpy()
    assert model.tune([Sample("a", np.zeros((16, 16, 3), np.uint8), labels)]) == 0.1
    assert len(model.segment(np.zeros((16, 16, 3), np.uint8))) == 1


def test_a_crop_without_objects_teaches_no_boxes():
    class Blank(DrawnDataset):
        def __getitem__(self, index):
            sample = super().__getitem__(index)
            sample.labels[:] = 0
            return sample

    model = BoxSegmenter("compact", side=64)
    train_boxes(model, Blank("discs", count=1, size=64), Budget(updates=1), crop=64, batch_size=2)
    assert all(p.isfinite().all() for p in model.network.parameters())
