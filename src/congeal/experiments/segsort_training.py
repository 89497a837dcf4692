"""How the experiments on SegSort train: what on, how long, and with which schedule.

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

WARMUP = 50  # updates over which the rate rises


@dataclass(frozen=True)
class Effort:
    """How long to train, on how much, and how often.

    Attributes:
        data: name of the dataset.
        steps: updates, where there are no minutes.
        minutes: of each training; the fitting of the index is not counted. None: by the steps.
        batch: crops in each.
        crop: their side, in pixels of the scaled image.
        rate: highest learning rate, of AdamW.
        images: training images, None for all.
        tested: images that are scored, None for all.
        seeds: trainings of each kind.
        split: that is scored; settings are compared on ``"val"``, never on test images.
        settings: of the method.
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
"""Shows that an experiment runs, and nothing else."""


def choose_effort(
    quick: bool, minutes: float | None = None, seeds: int | None = None, images: int | None = None
) -> Effort:
    """The effort of an experiment, with what was asked for in place of its own.

    Args:
        quick: whether it only shows that it runs.
        minutes: of each training.
        seeds: trainings of each kind.
        images: that are scored at most.

    Example:
        >>> choose_effort(False, minutes=1.5, images=20).minutes, choose_effort(True).steps
        (1.5, 3)
    """
    asked = {"minutes": minutes, "seeds": seeds, "tested": images}
    given: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    return replace(QUICK if quick else FULL, **given)


def some(dataset: Dataset, count: int | None) -> Dataset:
    """The first so many images; all where None."""
    return dataset if count is None else Subset(dataset, range(min(count, len(dataset))))


def training_images(effort: Effort) -> Dataset:
    """The images to learn from.

    Example:
        >>> len(training_images(QUICK))
        4
    """
    return some(open_dataset(effort.data, "train"), effort.images)


def build(effort: Effort, seed: int, settings: Mapping[str, Any] | None = None) -> SegSort:
    """A fresh model for the classes of the data."""
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
    """Train a model by its own losses, then fit its index.

    Args:
        effort: how long, and on how much.
        seed: of weights, order and augmentation.
        settings: of the method, over those of ``effort``.
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
    """The training crops in their order, alike for every loss.

    Args:
        images: to learn from.
        effort: with the side of the crops.
        seed: of order and augmentation.
        scale: relative size at which the network sees images.
        maps: that the loss reads.
    """
    transform = TrainTransform(crop=effort.crop, rotation=0.0)
    return TrainStream(images, transform, seed=seed, scale=scale, maps=maps, ahead=0)


def optimise(
    model: nn.Module, stream: TrainStream, effort: Effort, loss: Callable[[Batch], Tensor]
) -> float:
    """Updates by AdamW, as many as there are steps or minutes for; the seconds they took."""
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
    """Share of the highest rate: it rises for 50 updates, at most for a tenth, then (1 - t)^.9.

    Args:
        step: of the update, from 0.
        done: share of the training before it, [0, 1).

    Example:
        >>> rate_share(0, 0.0), rate_share(24, 0.01) < rate_share(24, 0.1), rate_share(0, 0.5) < 1
        (0.02, True, True)
    """
    risen = min(max((step + 1) / WARMUP, done / 0.1), 1.0)
    return risen * float((1 - done) ** 0.9)
