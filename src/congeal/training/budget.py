"""Crops and batches that the time allows: the first steps are measured, then a shape is chosen."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from congeal.clock import now
from congeal.data.batch import Batch
from congeal.data.sample import Dataset, Subset
from congeal.methods.method import Method
from congeal.progress import minutes
from congeal.training.config import TrainConfig
from congeal.training.machine import choose_replicas, is_on_cpu, precision_context
from congeal.training.replicas import Replicas
from congeal.training.stream import TrainStream, seeded_generator
from congeal.training.validation import evenly_spread

__all__ = [
    "Shape",
    "Speed",
    "choose_shape",
    "fit_to_time",
    "is_timed",
    "measure_speed",
    "shapes",
    "tell",
]

ENOUGH = 1000  # updates, from which larger crops and batches are worth more than more updates
FEW = 200  # updates, below which little is learnt from scratch
SHARE = 0.85  # of the time is for updates; the rest for validation and tuning
ROUNDS = 30  # of a training: chances to validate and to write a checkpoint
WARMUP = 0.1  # largest share of the updates over which the rate rises
MEASURING = 0.04  # largest share of the time for measuring
TIMED = 3  # steps of each shape, beside a first one that is not counted
IMAGES = 4  # that are read for it
BATCHES = (8, 4, 2)
OPEN = ("batch_size", "crop", "steps_per_epoch", "warmup")


@dataclass(frozen=True)
class Shape:
    """Of a batch.

    Attributes:
        batch: crops in it.
        crop: side of a crop in pixels.
    """

    batch: int
    crop: int

    @property
    def pixels(self) -> int:
        """Of the whole batch."""
        return self.batch * self.crop**2


@dataclass(frozen=True)
class Speed:
    """How long an update takes.

    Attributes:
        fixed: seconds, whatever the shape.
        per_pixel: seconds for each pixel of a batch.

    Example:
        >>> Speed(0.1, 1e-6).seconds(Shape(4, 500))
        1.1
    """

    fixed: float
    per_pixel: float

    def seconds(self, shape: Shape) -> float:
        """Of an update of such a batch."""
        return self.fixed + self.per_pixel * shape.pixels

    @staticmethod
    def through(timed: Sequence[tuple[Shape, float]]) -> Speed:
        """The line through the times of one shape or two; no part of it is negative.

        Example:
            >>> Speed.through([(Shape(1, 10), 1.0), (Shape(2, 10), 1.5)]).fixed
            0.5
        """
        (small, least), (large, most) = timed[0], timed[-1]
        if large.pixels == small.pixels or most <= least:
            return Speed(0.0, most / large.pixels)
        slope = (most - least) / (large.pixels - small.pixels)
        fixed = least - slope * small.pixels
        return Speed(fixed, slope) if fixed > 0 else Speed(0.0, most / large.pixels)


def shapes(
    least: int, most: int, divisor: int, *, batch: int | None = None, crop: int | None = None
) -> list[Shape]:
    """Shapes of batches to choose from, the largest first.

    Batches shrink before crops do: a crop has to hold an object and its neighbours.

    Args:
        least: side of the smallest crops in pixels.
        most: side of the largest.
        divisor: that sides have to be multiples of.
        batch: the only number of crops to consider.
        crop: the only side to consider.

    Example:
        >>> [(one.batch, one.crop) for one in shapes(96, 160, 32)]
        [(8, 160), (8, 128), (4, 160), (4, 128), (4, 96), (2, 96)]
    """
    sides = [crop] if crop else sorted({least, *_between(least, most, divisor), most})
    counts = [batch] if batch else BATCHES
    found = {Shape(count, side) for count in counts for side in sides}
    if not batch:  # many small crops, or a few large ones, never both few and small but the last
        found -= {Shape(BATCHES[0], side) for side in sides[:-1] if side == least}
        found -= {Shape(BATCHES[-1], side) for side in sides[1:]}
    return sorted(found, key=lambda one: (one.pixels, one.crop), reverse=True)


def _between(least: int, most: int, divisor: int) -> Iterator[int]:
    side = least
    while (side := divisor * math.ceil(1.25 * side / divisor)) < most:
        yield side


def choose_shape(ahead: Sequence[Shape], speed: Speed, seconds: float) -> Shape:
    """The largest shape of which there is time for a thousand updates, else the quickest.

    Example:
        >>> ahead = [Shape(8, 256), Shape(4, 128)]
        >>> choose_shape(ahead, Speed(0.0, 1e-6), 700.0)
        Shape(batch=8, crop=256)
        >>> choose_shape(ahead, Speed(0.0, 1e-6), 60.0)
        Shape(batch=4, crop=128)
    """
    fitting = (one for one in ahead if SHARE * seconds >= ENOUGH * speed.seconds(one))
    return next(fitting, min(ahead, key=speed.seconds))


def is_timed(config: TrainConfig, given: set[str]) -> bool:
    """Whether the clock ends a training, and something is left for it to decide."""
    by_clock = config.max_minutes is not None and config.epochs is None
    return by_clock and not given.issuperset(OPEN)


def tell(config: TrainConfig, updates: float, start: str | None = None) -> list[str]:
    """What to expect of the time, and what to do where it is too little.

    Args:
        config: of the training.
        updates: to expect.
        start: model that the training starts from, of which few updates may be enough.

    Example:
        >>> tell(TrainConfig(batch_size=4, crop=128, max_minutes=5), 913.0)
        ['about 910 updates of 4 x 128 px in 5 minutes']
        >>> len(tell(TrainConfig(batch_size=4, crop=128, max_minutes=5), 91.0))
        2
    """
    number = int(float(f"{max(updates, 1):.2g}"))
    lines = [
        f"about {number:,} update{'s' * (number > 1)} of {config.batch_size} x {config.crop} px "
        f"in {minutes(config.max_minutes or 0)}"
    ]
    if number < FEW:
        much = "enough only where objects look like those of the start model" if start else ""
        lines.append(
            f"few updates, {much or 'so little will be learnt'}: give more minutes "
            "(--max-minutes) or show images smaller (--set input.scale=0.5)"
        )
    return lines


def fit_to_time(
    config: TrainConfig,
    given: set[str],
    model: Method,
    training: Dataset,
    crops: tuple[int, int],
    seconds: float,
) -> tuple[TrainConfig, float]:
    """Choose batch and crop, where they are left open, by how long the first updates take.

    Args:
        config: of a training whose length is in minutes.
        given: names of settings that somebody chose; they stay as they are.
        model: to be trained; it is left as it is.
        training: images, of which a few are read.
        crops: smallest and largest side of the crops to choose from, in pixels.
        seconds: that there are.

    Returns:
        The settings, complete, and the number of updates to expect.
    """
    ahead = shapes(
        *crops,
        model.divisor,
        batch=config.batch_size if "batch_size" in given else None,
        crop=config.crop if "crop" in given else None,
    )
    speed = measure_speed(config, model, training, ahead, MEASURING * seconds)
    shape = choose_shape(ahead, speed, seconds)
    updates = SHARE * seconds / (speed.seconds(shape) * config.accumulate)
    chosen: dict[str, Any] = {"batch_size": shape.batch, "crop": shape.crop}
    chosen["warmup"] = min(config.warmup, math.ceil(WARMUP * updates))
    chosen["steps_per_epoch"] = max(1, math.ceil(updates / ROUNDS))
    kept = {name: value for name, value in chosen.items() if name not in given}
    return config.model_copy(update=kept), updates


def measure_speed(
    config: TrainConfig, model: Method, training: Dataset, ahead: Sequence[Shape], limit: float
) -> Speed:
    """Time a few updates of the smallest shape and of a larger one, on a copy of the model.

    Args:
        config: of the training.
        model: to be trained; it is left as it is, and so is the state of chance.
        training: images, of which four are read.
        ahead: shapes to choose from, the largest first.
        limit: seconds after which no further update is begun.
    """
    ends = now() + limit
    small, other = ahead[-1], ahead[len(ahead) // 2]
    devices = list(range(torch.cuda.device_count()))
    with torch.random.fork_rng(devices):
        twin = copy.deepcopy(model)
        timed = [(small, _seconds_of(config, twin, training, small, ends))]
        if now() < ends and other != small:
            timed.append((other, _seconds_of(config, twin, training, other, ends)))
    return Speed.through(timed)


def _seconds_of(
    config: TrainConfig, model: Method, training: Dataset, shape: Shape, ends: float
) -> float:
    """Median seconds of an update of such a batch, the making of it included."""
    sized = config.model_copy(update={"batch_size": shape.batch, "crop": shape.crop})
    device = torch.device("cpu" if is_on_cpu(config.device) else _accelerator(config.device))
    model.to(device).to(memory_format=torch.channels_last).train()
    rows = _rows(sized, model, training)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-5)
    parts = choose_replicas(sized, model)
    replicas = Replicas(model, parts) if parts > 1 else None
    times: list[float] = []
    stage = model.stages()[0].name
    try:
        while len(times) <= TIMED and (not times or now() < ends):
            started = now()
            batch = Batch.collate([rows[len(times) * shape.batch + k] for k in range(shape.batch)])
            loss = _loss(sized, model, replicas, batch.to(device), stage)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            float(loss.detach())  # waits for an accelerator
            times.append(now() - started)
    finally:
        if replicas is not None:
            replicas.close()
    return float(np.median(times[1:] or times))


def _rows(config: TrainConfig, model: Method, training: Dataset) -> TrainStream:
    """Crops as training makes them, of a few images that are read already."""
    few = Subset(model.prepare(training), evenly_spread(len(training), IMAGES))
    stream = TrainStream(
        few,
        config.augment(),
        seed=config.seed,
        ahead=0,
        scale=model.scale,
        min_object_area=model.min_object_area,
        maps=model.wanted_maps,
        objects_only=model.task.target != "semantic",
        percentiles=model.percentiles,
    )
    for index in range(len(few)):
        stream[index]
    return stream


def _loss(
    config: TrainConfig, model: Method, replicas: Replicas | None, batch: Batch, stage: str
) -> torch.Tensor:
    chance = seeded_generator(config.seed)

    def terms(model: Method, batch: Batch) -> dict[str, torch.Tensor]:
        with precision_context(config):
            return model.losses(batch.channels_last(), stage=stage, generator=chance)

    if replicas is None:
        return torch.stack(list(terms(model, batch).values())).sum()
    parts = [(part,) for part in batch.chunk(len(replicas.copies))]
    return torch.stack(list(replicas.forward(terms, parts).values())).sum()


def _accelerator(device: str) -> str:
    return "mps" if device == "mps" or not torch.cuda.is_available() else "cuda"
