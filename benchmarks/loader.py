"""Whether the loader feeds the network: samples a second alone, and the share of a step it takes.

    python benchmarks/loader.py [--steps 40] [--batch 8] [--crop 256] [--workers N]
        [--replicas N] [--augmentation default] [--quick] [--json FILE]

A real training loop runs with the small network and the settings that training would choose for
the images. ``waiting`` is the time inside ``next(loader)`` over that of whole steps: in the first
round, when every image is read or drawn anew, and later, when images are in memory. Without
workers, as on machines of few cores, a thread makes the samples ahead, which the steps of the first
round show in their time rather than in the waiting.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator

import torch
from measure import Row, options, tell
from torch import Tensor
from torch.utils.data import DataLoader

from congeal import RPE
from congeal.data import Dataset, open_dataset
from congeal.data.batch import Batch
from congeal.data.registry import is_available
from congeal.training import TrainConfig, make_plan
from congeal.training.config import train_config
from congeal.training.machine import choose_replicas, choose_workers
from congeal.training.module import Trainee
from congeal.training.replicas import Replicas
from congeal.training.stream import DrawSampler, TrainStream, start_worker

MAPS = ("labels", "semantic")  # those that RPE asks for
WARM_UP = 2  # steps that are not counted: memory is laid out, kernels are chosen


def make_loader(dataset: Dataset, config: TrainConfig, steps: int) -> DataLoader[Batch]:
    """The loader of training, that gives the same batches at every pass."""
    workers = choose_workers(config)
    stream = TrainStream(
        dataset, config.augment(), cache_gb=config.cache_gb, workers=workers, maps=MAPS
    )
    return DataLoader(
        stream,
        batch_size=config.batch_size,
        sampler=DrawSampler(steps * config.batch_size),
        num_workers=workers,
        persistent_workers=workers > 0,
        worker_init_fn=start_worker,
        collate_fn=Batch.collate,
        pin_memory=torch.cuda.is_available(),
    )


def make_step(model: RPE, config: TrainConfig) -> Callable[[Batch], None]:
    """A training step: losses, backward, clip, update; over replicas as training does it."""
    device = next(model.parameters()).device
    optimiser = Trainee(model, config, total_steps=None).configure_optimizers()
    count = choose_replicas(config, model)
    replicas = Replicas(model, count)

    def terms(model: RPE, batch: Batch) -> dict[str, Tensor]:
        chance = torch.Generator().manual_seed(0)
        return model.losses(batch.channels_last(), generator=chance)

    def step(batch: Batch) -> None:
        batch = batch.to(device)
        parts = [(part,) for part in batch.chunk(count)]
        found = terms(model, batch) if count == 1 else replicas.forward(terms, parts)
        optimiser.zero_grad()
        torch.stack(list(found.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
        optimiser.step()
        if device.type == "cuda":
            torch.cuda.synchronize()

    return step


def run_steps(batches: Iterator[Batch], step: Callable[[Batch], None]) -> tuple[float, float]:
    """Seconds of a step on average, and the share of it spent in waiting for the batch."""
    waited, worked = [], []
    while True:
        start = time.perf_counter()
        batch = next(batches, None)
        if batch is None:
            break
        got = time.perf_counter()
        step(batch)
        waited.append(got - start)
        worked.append(time.perf_counter() - got)
    waiting, working = sum(waited[WARM_UP:]), sum(worked[WARM_UP:])
    return (waiting + working) / len(waited[WARM_UP:]), waiting / (waiting + working)


def milliseconds_alone(loader: DataLoader[Batch], samples: int) -> float:
    """Milliseconds a sample, when nothing else runs."""
    start = time.perf_counter()
    for _ in loader:
        pass
    return (time.perf_counter() - start) / samples * 1e3


def measure(name: str, chosen: argparse.Namespace, device: str) -> Row:
    """One dataset: the loader alone, then in front of the network."""
    steps, batch = chosen.steps, chosen.batch
    dataset = open_dataset(name, "train")
    workers = chosen.workers if chosen.workers >= 0 else None
    own = {"crop": chosen.crop, "augmentation": chosen.augmentation}
    own["cpu_replicas"] = chosen.replicas or None
    config = train_config({"batch_size": batch, "workers": workers, **own})
    plan = make_plan("rpe", dataset, {})
    model = plan.method(plan.config).to(device).train()
    step = make_step(model.to(memory_format=torch.channels_last), config)
    loader = make_loader(dataset, config, steps)
    first_seconds, first_share = run_steps(iter(loader), step)
    seconds, share = run_steps(iter(loader), step)
    cached = milliseconds_alone(loader, steps * batch)
    return {
        "images": name,
        "workers": loader.num_workers,
        "first round ms/sample": milliseconds_alone(
            make_loader(dataset, config, steps), steps * batch
        ),
        "in memory ms/sample": cached,
        "samples/s": 1e3 / cached,
        "step ms": seconds * 1e3,
        "waiting %": 100 * share,
        "first round step ms": first_seconds * 1e3,
        "first round waiting %": 100 * first_share,
    }


def main() -> None:
    chosen = options(
        __doc__ or "",
        steps=(40, "steps of each loop"),
        batch=(8, "crops in a batch"),
        crop=(256, "side of the crops in pixels"),
        workers=(-1, "loader processes; -1: by the machine, as training does"),
        replicas=(0, "parts of a batch on a CPU; 0: by the machine, as training does"),
        augmentation=("default", "by name"),
        quick=(False, "few small steps, to see that it runs"),
    )
    if chosen.quick:
        chosen.steps, chosen.batch, chosen.crop = 4, 2, 64
    device = "cuda" if torch.cuda.is_available() else "cpu"
    names = ["discs", "sticks", *(["nuclei"] if is_available("nuclei") else [])]
    rows = [measure(name, chosen, device) for name in names]
    tell("Loader and small network", rows, chosen.json, batch=chosen.batch, crop=chosen.crop)


if __name__ == "__main__":
    main()
