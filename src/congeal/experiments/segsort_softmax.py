"""Baseline for retrieval: softmax cross-entropy with the network of SegSort.

Both train the same network on the same crops in the same order; they differ in the loss and in the
classifier.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from congeal.data.batch import Batch
from congeal.data.intensity import scale_intensity
from congeal.data.rescale import rescale_image
from congeal.experiments.segsort_scores import MINUTE, Row, kept, score
from congeal.experiments.segsort_training import Effort, build, crops, optimise, training_images
from congeal.methods.segsort import SegSort

__all__ = ["Softmax", "softmax_scores", "train_softmax"]


class Softmax(nn.Module):
    """The network of SegSort with a linear pixel classifier instead of retrieval.

    Args:
        body: provides network, input settings and class names.
    """

    def __init__(self, body: SegSort) -> None:
        super().__init__()
        self.body = body
        classes = 1 + len(body.config.class_names)
        self.head = nn.Conv2d(body.config.network.dimensions, classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """``(B, 3, H, W)`` to logits ``(B, C + 1, h, w)``."""
        logits: Tensor = self.head(
            self.body.network((image - self.body.mean) / self.body.deviation)["embedding"]
        )
        return logits

    def entropy(self, batch: Batch) -> Tensor:
        """Cross-entropy of a batch, without void."""
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
    """Train the network of SegSort by softmax cross-entropy.

    Args:
        effort: length and data of the training.
        seed: seed of weights, order and augmentation.

    Returns:
        The model, and the seconds of its training.
    """
    model = Softmax(build(effort, seed))
    stream = crops(training_images(effort), effort, seed, model.body.scale, ("semantic",))
    seconds = optimise(model.train(), stream, effort, model.entropy)
    return model.eval(), seconds


def softmax_scores(folder: str | Path, effort: Effort, seed: int) -> Row:
    """Train and score by softmax, or read the result: :func:`score` and ``minutes``.

    Args:
        folder: folder of the experiment.
        effort: length and data of the training.
        seed: seed of the training.
    """

    def make() -> Row:
        model, seconds = train_softmax(effort, seed)
        return {**score(model.predict, effort), "minutes": seconds / MINUTE}

    found: Row = kept(folder, "softmax", effort, seed, make)
    return found
