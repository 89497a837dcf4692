"""Short trainings of every method, by one process or by several: ``python THIS FOLDER BATCH``."""

import sys
from functools import partial
from importlib import import_module
from pathlib import Path

from cases.discs_and_squares import DiscsAndSquares

from congeal.methods.registry import method_names
from congeal.training import job, train
from congeal.training.callbacks import History

# Four updates; by a plain gradient, since the first updates of others are of one size, whatever
# the gradient, and so make much of rounding.
SETTINGS = {
    "epochs": 2,
    "steps_per_epoch": 2,
    "crop": 64,
    "optimizer": "sgd",
    "learning_rate": 0.02,
    "warmup": 1,
    "device": "cpu",
    "precision": "32",
    "workers": 0,
    "threads": 1,
    "cpu_replicas": 1,
    "overlays": False,
    "keep": "last",
}


def variants():
    """Name, method and settings of each training."""
    found = {}
    for name in method_names():
        found[name] = (name, import_module(f"cases.effects_{name.replace('-', '_')}").SHORT)
    found["rpe-accumulate"] = ("rpe", {**found["rpe"][1], "training.accumulate": 2})
    found["segsort-unsupervised"] = ("segsort", {**found["segsort"][1], "loss.unsupervised": True})
    return found


def train_all(folder, batch):
    """Train all of them, with so many crops in the batch of a process, and log every update."""
    job.History = partial(History, every=1)
    for name, (method, settings) in variants().items():
        if len(sys.argv) > 3 and name not in sys.argv[3:]: continue
        told = {**{f"training.{k}": v for k, v in SETTINGS.items()}, **settings}
        told["training.batch_size"] = batch
        train(method, DiscsAndSquares(count=6), output=folder / name, start=None, **told)


if __name__ == "__main__":
    train_all(Path(sys.argv[1]), int(sys.argv[2]))
