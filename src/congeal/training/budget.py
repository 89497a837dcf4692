"""Batch and crop size chosen by the time available.

Flow: candidate shapes (batch x crop) -> time a few update steps of two shapes on a copy of the
model -> linear model of the seconds per step -> the largest shape with time for 1,000 steps.
"""

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
    "candidate_shapes",
    "choose_shape",
    "expectation_lines",
    "fit_to_time",
    "is_timed",
    "measure_speed",
]

ENOUGH_STEPS = 1000  # above it, larger crops and batches help more than further steps
FEW_STEPS = 200  # below it, a training from scratch learns little
STEP_SHARE = 0.85  # of the time for update steps; the rest for validation and tuning
EPOCHS = 30  # of a training: a validation or checkpoint is possible after each
MAX_WARMUP_SHARE = 0.1  # of the update steps
MEASURING_SHARE = 0.04  # of the time, at most, for measuring the speed
TIMED_STEPS = 3  # of each shape, after one step that is not counted
MEASURED_IMAGES = 4  # images read for measuring
BATCH_SIZES = (8, 4, 2)
TIMED_SETTINGS = ("batch_size", "crop", "steps_per_epoch", "warmup")  # chosen by the time


@dataclass(frozen=True)
class Shape:
    """Shape of a batch.

    Attributes:
        batch: number of crops.
        crop: side of a crop in pixels.
    """

    batch: int
    crop: int

    @property
    def pixels(self) -> int:
        """Pixels of the whole batch."""
        return self.batch * self.crop**2


@dataclass(frozen=True)
class Speed:
    """Time of an update step: fixed + per_pixel * pixels of the batch.

    Attributes:
        fixed: seconds per step.
        per_pixel: seconds per pixel of the batch.

    Example:
        >>> Speed(0.1, 1e-6).seconds(Shape(4, 500))
        1.1
    """

    fixed: float
    per_pixel: float

    def seconds(self, shape: Shape) -> float:
        """Seconds per update step with batches of this shape."""
        return self.fixed + self.per_pixel * shape.pixels

    @staticmethod
    def through(timed: Sequence[tuple[Shape, float]]) -> Speed:
        """The line through the times of one or two shapes, with no negative coefficient.

        Args:
            timed: shape and seconds per step, the smallest shape first.

        Example:
            >>> Speed.through([(Shape(1, 10), 1.0), (Shape(2, 10), 1.5)]).fixed
            0.5
        """
        (small, small_seconds), (large, large_seconds) = timed[0], timed[-1]
        proportional = Speed(0.0, large_seconds / large.pixels)
        if large.pixels == small.pixels or large_seconds <= small_seconds:
            return proportional
        slope = (large_seconds - small_seconds) / (large.pixels - small.pixels)
        fixed = small_seconds - slope * small.pixels
        return Speed(fixed, slope) if fixed > 0 else proportional


def candidate_shapes(
    smallest: int,
    largest: int,
    divisor: int,
    *,
    batch: int | None = None,
    crop: int | None = None,
) -> list[Shape]:
    """Batch shapes to choose from, the most pixels first.

    With less time the batch shrinks before the crop does, because a crop must hold an object and
    its neighbours.

    Args:
        smallest: smallest side of a crop in pixels.
        largest: largest side.
        divisor: sides between them are multiples of it.
        batch: fixed batch size, if any.
        crop: fixed side, if any.

    Example:
        >>> [(shape.batch, shape.crop) for shape in candidate_shapes(96, 160, 32)]
        [(8, 160), (8, 128), (4, 160), (4, 128), (4, 96), (2, 96)]
    """
    sides = [crop] if crop else sorted({smallest, *_between(smallest, largest, divisor), largest})
    sizes = [batch] if batch else BATCH_SIZES
    found = {Shape(size, side) for size in sizes for side in sides}
    if not batch:  # the largest batch not with the smallest crop, the smallest batch only with it
        found -= {Shape(BATCH_SIZES[0], side) for side in sides[:-1] if side == smallest}
        found -= {Shape(BATCH_SIZES[-1], side) for side in sides[1:]}
    return sorted(found, key=lambda shape: (shape.pixels, shape.crop), reverse=True)


def _between(smallest: int, largest: int, divisor: int) -> Iterator[int]:
    """Sides between two, in steps of about 1.25."""
    side = smallest
    while (side := divisor * math.ceil(1.25 * side / divisor)) < largest:
        yield side


def choose_shape(candidates: Sequence[Shape], speed: Speed, seconds: float) -> Shape:
    """The first candidate with time for 1,000 update steps, else the fastest one.

    Args:
        candidates: shapes, the largest first.
        speed: time of an update step.
        seconds: length of the training.

    Example:
        >>> candidates = [Shape(8, 256), Shape(4, 128)]
        >>> choose_shape(candidates, Speed(0.0, 1e-6), 700.0)
        Shape(batch=8, crop=256)
        >>> choose_shape(candidates, Speed(0.0, 1e-6), 60.0)
        Shape(batch=4, crop=128)
    """
    available = STEP_SHARE * seconds
    affordable = (s for s in candidates if available >= ENOUGH_STEPS * speed.seconds(s))
    return next(affordable, min(candidates, key=speed.seconds))


def is_timed(config: TrainConfig, given: set[str]) -> bool:
    """Whether the length is given in minutes only, and a setting is left to be chosen by it.

    Args:
        config: settings of the training.
        given: names of the settings that the user gave.
    """
    by_clock = config.max_minutes is not None and config.epochs is None
    return by_clock and not given.issuperset(TIMED_SETTINGS)


def expectation_lines(config: TrainConfig, updates: float, start: str | None = None) -> list[str]:
    """Messages on the expected number of update steps; the second one warns if it is small.

    Args:
        config: settings of the training.
        updates: expected number of update steps.
        start: start model, if any.

    Example:
        >>> expectation_lines(TrainConfig(batch_size=4, crop=128, max_minutes=5), 913.0)
        ['about 910 updates of 4 x 128 px in 5 minutes']
        >>> len(expectation_lines(TrainConfig(batch_size=4, crop=128, max_minutes=5), 91.0))
        2
    """
    number = int(float(f"{max(updates, 1):.2g}"))
    lines = [
        f"about {number:,} update{'s' * (number > 1)} of {config.batch_size} x {config.crop} px "
        f"in {minutes(config.max_minutes or 0)}"
    ]
    if number < FEW_STEPS:
        effect = "enough only if objects look like those of the start model" if start else ""
        lines.append(
            f"few updates, {effect or 'so the model will learn little'}: give more minutes "
            "(--max-minutes) or a smaller input scale (--set input.scale=0.5)"
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
    """Choose batch size, crop, epoch length and warm-up by the measured speed.

    Args:
        config: settings of a training whose length is in minutes.
        given: names of the settings that the user gave; they are kept.
        model: model to train; unchanged.
        training: training images; four are read.
        crops: smallest and largest side of a crop in pixels.
        seconds: time left.

    Returns:
        The complete settings, and the expected number of update steps.
    """
    candidates = candidate_shapes(
        *crops,
        model.divisor,
        batch=config.batch_size if "batch_size" in given else None,
        crop=config.crop if "crop" in given else None,
    )
    speed = measure_speed(config, model, training, candidates, MEASURING_SHARE * seconds)
    shape = choose_shape(candidates, speed, seconds)
    updates = STEP_SHARE * seconds / (speed.seconds(shape) * config.accumulate)
    chosen: dict[str, Any] = {"batch_size": shape.batch, "crop": shape.crop}
    chosen["warmup"] = min(config.warmup, math.ceil(MAX_WARMUP_SHARE * updates))
    chosen["steps_per_epoch"] = max(1, math.ceil(updates / EPOCHS))
    update = {name: value for name, value in chosen.items() if name not in given}
    return config.model_copy(update=update), updates


def measure_speed(
    config: TrainConfig,
    model: Method,
    training: Dataset,
    candidates: Sequence[Shape],
    limit: float,
) -> Speed:
    """Time update steps of the smallest and of the middle candidate, on a copy of the model.

    Args:
        config: settings of the training.
        model: model to train; unchanged, as is the state of PyTorch's random numbers.
        training: training images; four are read.
        candidates: shapes, the largest first.
        limit: seconds after which no further step begins.
    """
    deadline = now() + limit
    smallest, middle = candidates[-1], candidates[len(candidates) // 2]
    devices = list(range(torch.cuda.device_count()))
    with torch.random.fork_rng(devices):
        trial_model = copy.deepcopy(model)
        timed = [(smallest, _step_seconds(config, trial_model, training, smallest, deadline))]
        if now() < deadline and middle != smallest:
            timed.append((middle, _step_seconds(config, trial_model, training, middle, deadline)))
    return Speed.through(timed)


def _step_seconds(
    config: TrainConfig, model: Method, training: Dataset, shape: Shape, deadline: float
) -> float:
    """Median seconds of an update step, the preparation of its batch included."""
    sized = config.model_copy(update={"batch_size": shape.batch, "crop": shape.crop})
    device = torch.device("cpu" if is_on_cpu(config.device) else _accelerator(config.device))
    model.to(device).to(memory_format=torch.channels_last).train()
    stream = _cached_stream(sized, model, training)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-5)
    parts = choose_replicas(sized, model)
    replicas = Replicas(model, parts) if parts > 1 else None
    times: list[float] = []
    stage = model.stages()[0].name
    try:
        while len(times) <= TIMED_STEPS and (not times or now() < deadline):
            started = now()
            first = len(times) * shape.batch
            batch = Batch.collate([stream[first + k] for k in range(shape.batch)])
            loss = _loss(sized, model, replicas, batch.to(device), stage)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            float(loss.detach())  # waits for the GPU
            times.append(now() - started)
    finally:
        if replicas is not None:
            replicas.close()
    return float(np.median(times[1:] or times))


def _cached_stream(config: TrainConfig, model: Method, training: Dataset) -> TrainStream:
    """The stream of training crops, of a few images that are already in its cache."""
    images = Subset(model.prepare(training), evenly_spread(len(training), MEASURED_IMAGES))
    stream = TrainStream(
        images,
        config.augment(),
        seed=config.seed,
        ahead=0,
        scale=model.scale,
        min_object_area=model.min_object_area,
        maps=model.wanted_maps,
        objects_only=model.task.learns_from != "semantic",
        percentiles=model.percentiles,
    )
    for index in range(len(images)):
        stream[index]  # fills the cache, so that reading files is not timed
    return stream


def _loss(
    config: TrainConfig, model: Method, replicas: Replicas | None, batch: Batch, stage: str
) -> torch.Tensor:
    """Training loss of a batch, a scalar."""
    generator = seeded_generator(config.seed)

    def terms(model: Method, batch: Batch) -> dict[str, torch.Tensor]:
        with precision_context(config):
            return model.losses(batch.channels_last(), stage=stage, generator=generator)

    if replicas is None:
        return torch.stack(list(terms(model, batch).values())).sum()
    parts = [(part,) for part in batch.chunk(len(replicas.copies))]
    return torch.stack(list(replicas.forward(terms, parts).values())).sum()


def _accelerator(device: str) -> str:
    return "mps" if device == "mps" or not torch.cuda.is_available() else "cuda"
