"""What the experiments on SegSort share: a training by retrieval or softmax, and its scores.

Both train the same network on the same crops in the same order; only the loss, and what turns
features into classes, differ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from congeal.clock import now
from congeal.data.batch import Batch
from congeal.data.intensity import scale_intensity
from congeal.data.registry import open_dataset
from congeal.data.rescale import rescale_image
from congeal.data.sample import Dataset, Subset
from congeal.data.transforms import TrainTransform
from congeal.errors import CongealError
from congeal.experiments.intervals import half_width
from congeal.methods.segsort import SegSort
from congeal.metrics.boundaries import ContourF1Metric
from congeal.metrics.semantic import SemanticMetric, TrimapMetric
from congeal.training.stream import TrainStream

__all__ = [
    "FULL",
    "QUICK",
    "Effort",
    "Softmax",
    "by_retrieval",
    "choose_effort",
    "mean_score",
    "score",
    "some",
    "train_segsort",
    "train_softmax",
    "training_images",
]

Predict = Callable[[NDArray[Any]], NDArray[Any]]
WARMUP = 50  # updates over which the rate rises
BAND = 5  # px, of the trimap and of contours that count as found


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

    shown = model.prepare(images)
    seconds = _optimise(model.train(), shown, effort, seed, loss, model.wanted_maps)
    model.eval().finish(images if fit is None else fit)
    return model, seconds


class Softmax(nn.Module):
    """The network of SegSort with a linear classifier of pixels in place of retrieval.

    Args:
        body: its network, input settings and class names.
    """

    def __init__(self, body: SegSort) -> None:
        super().__init__()
        self.body = body
        classes = 1 + len(body.config.class_names)
        self.head = nn.Conv2d(body.config.network.dimensions, classes, 1)

    @property
    def scale(self) -> float:
        """Relative size at which the network sees images."""
        return self.body.scale

    def forward(self, image: Tensor) -> Tensor:
        """``(B, 3, H, W)`` to logits ``(B, C + 1, h, w)``."""
        logits: Tensor = self.head(
            self.body.network((image - self.body.mean) / self.body.deviation)["embedding"]
        )
        return logits

    def entropy(self, batch: Batch) -> Tensor:
        """Cross-entropy of a batch, void left out."""
        stride = int(self.body.config.network.stride)
        truth = batch.get("semantic")[:, ::stride, ::stride]
        return functional.cross_entropy(self(batch.image), truth, ignore_index=-1)

    @torch.inference_mode()
    def predict(self, image: NDArray[Any]) -> NDArray[np.int64]:
        """Class of each pixel ``(H, W)``."""
        c = self.body.config.input
        pixels = scale_intensity(image, *c.percentiles)
        logits = self(rescale_image(pixels, c.scale)[None])
        size = tuple(pixels.shape[1:])
        whole = functional.interpolate(logits, size, mode="bilinear", align_corners=False)
        return np.asarray(whole[0].argmax(0).numpy(), np.int64)


def train_softmax(effort: Effort, seed: int = 0) -> tuple[Softmax, float]:
    """Train the same network by softmax cross-entropy; as :func:`train_segsort`."""
    model = Softmax(build(effort, seed))
    images = training_images(effort)
    seconds = _optimise(model.train(), images, effort, seed, model.entropy, ("semantic",))
    return model.eval(), seconds


def _optimise(
    model: SegSort | Softmax,
    images: Dataset,
    effort: Effort,
    seed: int,
    loss: Callable[[Batch], Tensor],
    maps: Sequence[str],
) -> float:
    """Updates by AdamW, as many as there are steps or minutes for; the seconds they took."""
    transform = TrainTransform(crop=effort.crop, rotation=0.0)
    stream = TrainStream(images, transform, seed=seed, scale=model.scale, maps=maps, ahead=0)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=effort.rate, weight_decay=0.01)
    started, step, done = now(), 0, 0.0
    while done < 1:
        optimiser.param_groups[0]["lr"] = effort.rate * rate_share(step, done)
        batch = Batch.collate([stream[step * effort.batch + k] for k in range(effort.batch)])
        optimiser.zero_grad()
        loss(batch).backward()
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


def mean_score(
    effort: Effort, seed: int, settings: Mapping[str, Any], split: str | None = None
) -> dict[str, float]:
    """Mean ``miou`` over seeds, half the width of its 95 % interval (``+-``), mean ``minutes``."""
    found, minutes = [], []
    for one in range(seed, seed + effort.seeds):
        model, seconds = train_segsort(effort, one, settings)
        found.append(score(by_retrieval(model), effort, split)["miou"])
        minutes.append(seconds / 60)
    mean = float(np.mean(found))
    return {"miou": mean, "+-": half_width(found), "minutes": float(np.mean(minutes))}


def score(predict: Predict, effort: Effort, split: str | None = None) -> dict[str, float]:
    """``miou``, ``contour f1`` within 5 px, and ``trimap`` (mIoU within 5 px of void)."""
    dataset = some(open_dataset(effort.data, split or effort.split), effort.tested)
    classes = len(dataset.class_names)
    semantic, contour = SemanticMetric(classes), ContourF1Metric((BAND,))
    trimap = TrimapMetric(classes, (BAND,))
    for sample in dataset:
        found, truth = predict(sample.image), sample.semantic
        if truth is None:
            raise CongealError(f"expected maps of classes, {dataset.name} has none")
        for metric in (semantic, contour, trimap):
            metric.update(prediction=found, truth=truth)
    return {
        "miou": semantic.compute()["miou"],
        "contour f1": contour.compute()[f"contour_f1@{BAND}"],
        "trimap": trimap.compute()[f"miou@{BAND}"],
    }


def by_retrieval(model: SegSort) -> Predict:
    """Class of each pixel by the index of a model."""

    def predict(image: NDArray[Any]) -> NDArray[Any]:
        found = model.segment(image).semantic
        assert found is not None
        return found

    return predict
