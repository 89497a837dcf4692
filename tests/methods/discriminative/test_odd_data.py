"""Training on what real data holds too: nothing, one object, single pixels, hundreds of objects."""

import csv
import math

import numpy as np
import pytest
import torch

from congeal.data.sample import Dataset, Sample
from congeal.methods.discriminative import Discriminative
from congeal.models import load
from congeal.training import train

SIDE = 64
TERMS = ("loss", "variance", "distance", "regularisation", "semantic")
CLASSES = ("background", "a", "b")


def blank():
    return np.zeros((SIDE, SIDE), np.int64)


def one_object():
    labels = blank()
    labels[20:40, 10:50] = 1
    return labels


def single_pixels():
    labels = blank()
    labels[4::12, 4::12] = np.arange(1, 26).reshape(5, 5)
    return labels


def five_hundred():
    return np.arange(1, 513).reshape(32, 16).repeat(2, 0).repeat(4, 1)


class Odd(Dataset):
    """Two images of the labels given; with classes, all objects are of the second."""

    name, split = "odd", "train"

    def __init__(self, draw, classes=False):
        self.draw, self.classed = draw, classes
        self.class_names = CLASSES if classes else ()

    def __len__(self):
        return 2

    def names(self):
        return ["0", "1"]

    def __getitem__(self, index):
        labels = self.draw()
        image = np.random.default_rng(index).integers(0, 255, (SIDE, SIDE, 3)).astype(np.uint8)
        if not self.classed:
            return Sample(str(index), image, labels)
        classes = np.full(labels.max(), 2, np.int64)
        semantic = np.append(0, classes)[labels]
        return Sample(str(index), image, labels, semantic=semantic, classes=classes)


CASES = {
    "no object": Odd(blank),
    "one object": Odd(one_object),
    "single pixels": Odd(single_pixels),
    "500 objects": Odd(five_hundred),
    "a class absent": Odd(single_pixels, classes=True),
    "classes, no object": Odd(blank, classes=True),
}


@pytest.mark.parametrize("name", CASES)
def test_odd_data_trains_with_finite_terms_and_weights(name, tmp_path):
    torch.manual_seed(0)
    data = CASES[name]
    model = Discriminative(dimensions=4, class_names=data.class_names[1:] or ("object",))
    short = {"epochs": 1, "steps_per_epoch": 2, "batch_size": 2, "crop": SIDE, "tuning_share": 0}
    folder = train(model, data, val=data, output=tmp_path / "m", threads=1, overlays=False, **short)
    with (folder / "log.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["variance"]]
    terms = [{name: float(row[name]) for name in TERMS} for row in rows]
    assert terms
    for row in terms:
        assert all(math.isfinite(value) for value in row.values())
        assert (row["distance"] > 0) == (data.draw().max() > 1)
        assert (row["regularisation"] > 0) == (data.draw().max() > 0)
    made = load(folder)
    assert all(p.isfinite().all() for p in made.parameters())
    assert made.segment(data[0].image).shape == (SIDE, SIDE)
