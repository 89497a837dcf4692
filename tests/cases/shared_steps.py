"""Steps of every method by processes that share a batch, beside the same step by each alone.

Run by torchrun; the first process writes how far apart the two are, as JSON: ``FILE``.
"""

import json
import sys
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import torch
from cases.discs_and_squares import DiscsAndSquares

from congeal.data.batch import Batch
from congeal.methods.registry import method_names
from congeal.processes import batch_shared, join, mean_of_all, rank, world_size
from congeal.randomness import BatchGenerator
from congeal.training.config import TrainConfig
from congeal.training.plan import make_plan
from congeal.training.stream import TrainStream

IMAGES, STEPS = 4, 3  # of the whole batch; the last steps meet what is remembered of the first


def variants():
    """Name, method and settings of each comparison."""
    found = {}
    for name in method_names():
        short = import_module(f"cases.effects_{name.replace('-', '_')}").SHORT
        own = {path: value for path, value in short.items() if not path.startswith("training.")}
        found[name] = (name, own)
    found["segsort-unsupervised"] = ("segsort", {**found["segsort"][1], "loss.unsupervised": True})
    found["dvis-random-pairs"] = ("dvis", {**found["dvis"][1], "loss.pairs": "random"})
    return found


def build(method, settings):
    """A model in float64: rounding decides nothing there."""
    plan = make_plan(method, DiscsAndSquares(count=6), settings)
    torch.manual_seed(2)
    return plan.method(plan.config).double().train()


def batch_of(model, config, numbers):
    """The samples of a batch, as training makes them."""
    stream = TrainStream(
        model.prepare(DiscsAndSquares(count=6)), config, cache_gb=0, maps=model.wanted_maps
    )
    batch = Batch.collate([stream[number] for number in numbers])
    return replace(batch, image=batch.image.double())


def chance(numbers):
    """Chance of a batch, by the numbers of its samples."""
    return BatchGenerator(0, [torch.Generator().manual_seed(number) for number in numbers])


@contextmanager
def in_double():
    """Let the float32 that methods raise their maps to be float64.

    Rounding decides nothing there; in float32 some pixels change their segment by it.
    """
    usual = torch.Tensor.float
    torch.Tensor.float = torch.Tensor.double
    try:
        yield
    finally:
        torch.Tensor.float = usual


def step(model, augment, stage, numbers):
    """Terms of the loss and gradients of all parameters, of these samples."""
    model.zero_grad()
    batch = batch_of(model, augment, numbers)
    with in_double():
        terms = model.losses(batch, stage=stage, progress=1.0, generator=chance(numbers))
    values = torch.stack(list(terms.values()))
    values.sum().backward()
    zero = torch.zeros((), dtype=torch.float64)
    gradients = [(zero if p.grad is None else p.grad).expand_as(p) for p in model.parameters()]
    return values.detach(), torch.cat([one.flatten() for one in gradients])


def compare(method, settings):
    """Largest differences of losses, gradients and buffers, over some steps of every stage."""
    alone, shared = build(method, settings), build(method, settings)
    augment = TrainConfig(crop=64).augment()
    apart = {"loss": 0.0, "gradient": 0.0, "buffers": 0.0}
    largest = 0.0
    for stage in alone.stages():
        for number in range(STEPS):
            first = number * IMAGES
            whole = step(alone, augment, stage.name, list(range(first, first + IMAGES)))
            own = list(range(first + rank(), first + IMAGES, world_size()))
            with batch_shared():
                part = step(shared, augment, stage.name, own)
            for name, one, other in zip(("loss", "gradient"), whole, part, strict=True):
                differ = (one - mean_of_all(other)).abs().max() / (1e-9 + one.abs().max())
                apart[name] = max(apart[name], float(differ))
            largest = max(largest, float(whole[1].abs().max()))
    pairs = zip(alone.buffers(), shared.buffers(), strict=True)
    for one, other in pairs:
        same = one.shape == other.shape
        order = [torch.sort(t.double().flatten()).values for t in (one, other)]  # ranks take turns
        differ = (order[0] - order[1]).abs().max() if same and one.numel() else torch.zeros(())
        apart["buffers"] = max(apart["buffers"], float(differ) if same else float("inf"))
    return {**apart, "largest gradient": largest}


if __name__ == "__main__":
    torch.set_num_threads(1)
    join("cpu")
    found = {}
    for name, (method, settings) in variants().items():
        found[name] = compare(method, settings)
        if rank() == 0:
            Path(sys.argv[1]).write_text(json.dumps(found))
