"""StarDist as something to compare with, where it is installed.

Schmidt et al., Cell Detection with Star-convex Polygons, MICCAI 2018. A star-convex polygon has one
radius in each direction from a point inside, so an object that winds or lies in parts is none.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from congeal.data.intensity import scale_intensity
from congeal.data.sample import Dataset
from congeal.experiments.boxes import Budget

__all__ = ["has_stardist", "train_stars"]

RAYS = 32  # of a polygon, the package's own number
EPOCH = 50  # updates between looks at the clock
Labels = NDArray[np.int64]


def has_stardist() -> bool:
    """Whether the package and what it runs on are installed."""
    return all(find_spec(name) is not None for name in ("stardist", "tensorflow"))


def train_stars(
    dataset: Dataset,
    held_out: Dataset,
    budget: Budget,
    *,
    crop: int = 128,
    batch_size: int = 8,
    seed: int = 0,
) -> Callable[[NDArray[Any]], Labels]:
    """Train by the package's own settings; its thresholds follow from the images held out.

    Args:
        dataset: of training images.
        held_out: that validation and thresholds see.
        budget: how long.
        crop: side of the crops in pixels.
        batch_size: crops in a batch.
        seed: of weights, order and augmentation.

    Returns:
        What makes a label map `(H, W)` of an image `(H, W, C)`.
    """
    models = import_module("stardist.models")
    import_module("tensorflow").keras.utils.set_random_seed(seed)
    images, labels = _pairs(dataset)
    validation = _pairs(held_out)
    with tempfile.TemporaryDirectory() as folder:
        config = models.Config2D(
            n_rays=RAYS,
            grid=(2, 2),
            n_channel_in=images[0].shape[-1],
            train_patch_size=(crop, crop),
            train_batch_size=batch_size,
            train_tensorboard=False,
        )
        model = models.StarDist2D(config, name="stars", basedir=folder)
        started, updates = time.monotonic(), 0
        while budget.share(started, updates) < 1:
            count = EPOCH if budget.updates is None else budget.updates
            model.train(
                images,
                labels,
                validation_data=validation,
                augmenter=_turned,
                seed=seed + updates,
                epochs=1,
                steps_per_epoch=count,
            )
            updates += count
        model.optimize_thresholds(*validation)

    def segment(image: NDArray[Any]) -> Labels:
        return np.asarray(model.predict_instances(_shown(image))[0], np.int64)

    return segment


def _pairs(dataset: Dataset) -> tuple[list[NDArray[np.float32]], list[NDArray[np.int32]]]:
    samples = list(dataset)
    images = [_shown(sample.image) for sample in samples]
    return images, [np.maximum(sample.labels, 0).astype(np.int32) for sample in samples]


def _shown(image: NDArray[Any]) -> NDArray[np.float32]:
    """The image scaled as other methods see it, channels last."""
    return scale_intensity(image).numpy().transpose(1, 2, 0)


def _turned(image: NDArray[Any], labels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Turn and flip at random."""
    turns, flipped = np.random.randint(4), np.random.rand() < 0.5
    image, labels = np.rot90(image, turns), np.rot90(labels, turns)
    return (image[::-1], labels[::-1]) if flipped else (image, labels)
