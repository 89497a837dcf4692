"""Trainings of the SegSort experiments: data, length and schedule.

Flow: :class:`Effort` -> :func:`train_segsort`, or :func:`train_softmax` of ``segsort_softmax`` ->
scores of ``segsort_scores``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from congeal.clock import now
from congeal.data.batch import Batch
from congeal.data.registry import open_dataset
from congeal.data.sample import Dataset, Subset
from congeal.data.transforms import TrainTransform
from congeal.errors import CongealError
from congeal.methods.segsort import SegSort
from congeal.training.stream import TrainStream

__all__ = [
    "FULL",
    "QUICK",
    "Effort",
    "build",
    "choose_effort",
    "crops",
    "optimise",
    "rate_share",
    "some",
    "train_segsort",
    "training_images",
]

WARMUP = 50  # updates during which the learning rate rises


@dataclass(frozen=True)
class Effort:
    """Length, data and number of trainings.

    Attributes:
        data: name of the dataset.
        steps: number of updates, if ``minutes`` is None.
        minutes: minutes of each training, without fitting of the index; None: use ``steps``.
        batch: batch size.
        crop: side of the crops, in pixels of the scaled image.
        rate: maximum learning rate of AdamW.
        images: number of training images, None for all.
        tested: number of images for evaluation, None for all.
        seeds: trainings of each kind.
        split: split for evaluation; settings are compared on ``"val"``, never on test images.
        settings: settings of the method.
    """

    data: str = "camvid"
    steps: int = 2000
    minutes: float | None = 20.0
    batch: int = 8
    crop: int = 160
    rate: float = 1e-3
    images: int | None = None
    tested: int | None = None
    seeds: int = 3
    split: str = "test"
    settings: Mapping[str, Any] = field(
        default_factory=lambda: {
            "network.encoder": "tf_efficientnet_lite0",
            "network.pretrained": True,
            "network.output_stride": 32,
            "input.scale": 0.5,
        }
    )


FULL = Effort()
QUICK = Effort("shapes:size=48", 3, None, 2, 48, 1e-3, 4, 2, 2, "val", {"network.dimensions": 8})
"""Effort of a smoke test."""


def choose_effort(
    quick: bool, minutes: float | None = None, seeds: int | None = None, images: int | None = None
) -> Effort:
    """The effort of an experiment, with the given values instead of the defaults.

    Args:
        quick: whether this is a smoke test.
        minutes: minutes of each training.
        seeds: trainings of each kind.
        images: maximum number of images for evaluation.

    Example:
        >>> choose_effort(False, minutes=1.5, images=20).minutes, choose_effort(True).steps
        (1.5, 3)
    """
    asked = {"minutes": minutes, "seeds": seeds, "tested": images}
    given: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    return replace(QUICK if quick else FULL, **given)


def some(dataset: Dataset, count: int | None) -> Dataset:
    """The first ``count`` images; None: all."""
    return dataset if count is None else Subset(dataset, range(min(count, len(dataset))))


def training_images(effort: Effort) -> Dataset:
    """The training images.

    Example:
        >>> len(training_images(QUICK))
        4
    """
    return some(open_dataset(effort.data, "train"), effort.images)


def build(effort: Effort, seed: int, settings: Mapping[str, Any] | None = None) -> SegSort:
    """A new model for the classes of the data."""
    torch.manual_seed(seed)
    names = open_dataset(effort.data, "train").class_names[1:]
    if not names:
        raise CongealError(f"expected data with classes, {effort.data} has none")
    return SegSort(**{**effort.settings, "class_names": names, **(settings or {})})


def train_segsort(
    effort: Effort,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    fit: Dataset | None = None,
) -> tuple[SegSort, float]:
    """Train a model with its losses, then fit its index.

    Args:
        effort: length and data of the training.
        seed: seed of weights, order and augmentation.
        settings: settings of the method, in addition to those of ``effort``.
        fit: images of the index; None: the training images.

    Returns:
        The model, and the seconds of its training.
    """
    model, images = build(effort, seed, settings), training_images(effort)
    chance = torch.Generator().manual_seed(seed)

    def loss(batch: Batch) -> Tensor:
        terms = model.losses(batch, generator=chance)
        return torch.stack(list(terms.values())).sum()

    stream = crops(model.prepare(images), effort, seed, model.scale, model.wanted_maps)
    seconds = optimise(model.train(), stream, effort, loss)
    model.eval().finish(images if fit is None else fit)
    return model, seconds


def crops(
    images: Dataset, effort: Effort, seed: int, scale: float, maps: Sequence[str]
) -> TrainStream:
    """The sequence of training crops, the same for every loss.

    Args:
        images: training images.
        effort: determines the side of the crops.
        seed: seed of order and augmentation.
        scale: relative size of the network's input.
        maps: maps needed by the loss.
    """
    transform = TrainTransform(crop=effort.crop, rotation=0.0)
    return TrainStream(images, transform, seed=seed, scale=scale, maps=maps, ahead=0)


def optimise(
    model: nn.Module, stream: TrainStream, effort: Effort, loss: Callable[[Batch], Tensor]
) -> float:
    """Train with AdamW for the steps or minutes of the effort; returns the seconds."""
    model.to(memory_format=torch.channels_last)  # a third faster on a CPU
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=effort.rate, weight_decay=0.01)
    started, step, done = now(), 0, 0.0
    while done < 1:
        optimiser.param_groups[0]["lr"] = effort.rate * rate_share(step, done)
        batch = Batch.collate([stream[step * effort.batch + k] for k in range(effort.batch)])
        optimiser.zero_grad()
        loss(batch.channels_last()).backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        step += 1
        seconds = now() - started
        done = seconds / (60 * effort.minutes) if effort.minutes else step / effort.steps
    return now() - started


def rate_share(step: int, done: float) -> float:
    """Learning rate relative to its maximum: warm-up of 50 updates or 10 % if shorter, (1 - t)^.9.

    Args:
        step: index of the update, from 0.
        done: t, share of the training before the update, [0, 1).

    Example:
        >>> rate_share(0, 0.0), rate_share(24, 0.01) < rate_share(24, 0.1), rate_share(0, 0.5) < 1
        (0.02, True, True)
    """
    risen = min(max((step + 1) / WARMUP, done / 0.1), 1.0)
    return risen * float((1 - done) ** 0.9)
