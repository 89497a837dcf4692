"""Trainings of a second: six epochs of two steps, on four drawings, by a network of four dims."""

import os
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from congeal.data import Dataset, DrawnDataset, Subset
from congeal.data.sample import Sample
from congeal.methods.rpe import RPE
from congeal.training import train

EPOCHS, STEPS, BATCH = 6, 2, 2


class Eventful(Subset):
    """Drawings that do something when one of them is read: `when` counts readings from 1.

    Args:
        what: maps a reading to what is called at it.
    """

    def __init__(self, what=None):
        super().__init__(DrawnDataset("sticks", "train", count=4, size=96), range(4))
        self.what = what or {}
        self.read = 0

    def __getitem__(self, index):
        self.read += 1
        self.what.get(self.read, lambda: None)()
        return super().__getitem__(index)


class Blank(Dataset):
    """Images without any object."""

    name, split = "blank", "train"

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return Sample(f"{index}", np.zeros((40, 40, 1), np.uint8), np.zeros((40, 40), np.int64))

    def names(self):
        return [str(index) for index in range(4)]


def small_training(output, data=None, *, model=None, **settings):
    """The training that all these tests vary; every reading goes to the dataset."""
    torch.manual_seed(0)
    model = RPE(dimensions=4, samples=64, min_area=4) if model is None else model
    defaults = {
        "val": DrawnDataset("sticks", "val", count=1, size=96),
        "epochs": EPOCHS,
        "steps_per_epoch": STEPS,
        "batch_size": BATCH,
        "crop": 32,
        "cache_gb": 0,
        "keep": "last",
        "workers": 0,
        "device": "cpu",
    }
    data = Eventful() if data is None else data
    if isinstance(data, Eventful):
        data.read = -len(data)  # before the training, the masks are looked over
    return train(model, data, output=output, **{**defaults, **settings})


def hang(marker):
    """Say so in a file, then do nothing until killed."""
    Path(marker).write_text(str(os.getpid()))
    time.sleep(600)


@pytest.fixture(scope="session")
def one_thread():
    """Sums in the same order in every process, whatever the machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def brief(one_thread):
    """`brief(output, data, **settings)` trains for a second and gives the folder."""
    return small_training


@pytest.fixture(scope="session")
def eventful():
    """The dataset that does something when read."""
    return Eventful


@pytest.fixture(scope="session")
def blank():
    """A dataset without objects."""
    return Blank()


@pytest.fixture(scope="session")
def unbroken(brief, tmp_path_factory):
    """The folder of a training that nothing interrupted; not to be changed."""
    return brief(tmp_path_factory.mktemp("unbroken") / "model")
