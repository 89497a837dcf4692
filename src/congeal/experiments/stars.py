"""StarDist as a baseline, if it is installed.

Schmidt et al., Cell Detection with Star-convex Polygons, MICCAI 2018. A star-convex polygon has one
radius in each direction from a point inside; winding or divided objects are not star-convex.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from congeal.clock import now
from congeal.data.sample import Dataset
from congeal.experiments.boxes import Budget

__all__ = ["StarSegmenter", "has_stardist", "train_stars"]

RAYS = 32  # rays of a polygon, default of StarDist
GRID = 2  # px between centres of polygons
PERCENTILES = (1, 99.8)  # percentiles of intensity that become 0 and 1

Image = NDArray[Any]
Labels = NDArray[np.int64]


def has_stardist() -> bool:
    """Whether StarDist and TensorFlow are installed."""
    return all(find_spec(name) is not None for name in ("stardist", "tensorflow"))


class StarSegmenter:
    """A trained StarDist.

    Args:
        model: model of StarDist.
        minutes: minutes of the training, without tuning of the thresholds.
    """

    def __init__(self, model: Any, minutes: float) -> None:
        self.model = model
        self.minutes = minutes

    def segment(self, image: Image) -> Labels:
        """Segment an image `(H, W, C)`; returns a label map `(H, W)`."""
        found = self.model.predict_instances(_shown(image), show_tile_progress=False)[0]
        return np.asarray(found, np.int64)


def train_stars(
    dataset: Dataset,
    held_out: Dataset,
    budget: Budget,
    *,
    crop: int = 128,
    batch_size: int = 8,
    seed: int = 0,
) -> StarSegmenter:
    """Train with the default settings; the learning rate falls to 0 at the end of the budget.

    The best weights on validation images are kept. Thresholds are tuned on the same images after
    the end of the budget. Augmentation: rotation by 90 degrees, mirroring, brightness.

    Args:
        dataset: training images.
        held_out: images for validation and thresholds.
        budget: length of the training.
        crop: side of the crops in pixels.
        batch_size: crops per batch.
        seed: seed of weights, order and augmentation.
    """
    models = import_module("stardist.models")
    import_module("tensorflow").keras.utils.set_random_seed(seed)
    validation = _pairs(held_out)
    with tempfile.TemporaryDirectory() as folder:
        config = models.Config2D(
            n_rays=RAYS,
            grid=(GRID, GRID),
            n_channel_in=1,
            train_patch_size=(crop, crop),
            train_batch_size=batch_size,
            train_tensorboard=False,
            train_reduce_lr=None,
        )
        model = models.StarDist2D(config, name="stars", basedir=folder)
        model.prepare_for_training()
        model.callbacks.append(_clock(budget, float(config.train_learning_rate)))
        started = now()
        length = {} if budget.updates is None else {"steps_per_epoch": budget.updates}
        model.train(
            *_pairs(dataset),
            validation_data=validation,
            augmenter=_augmenter(seed),
            seed=seed,
            epochs=10_000 if budget.updates is None else 1,
            **length,
        )
        spent = (now() - started) / 60
        model.optimize_thresholds(*validation)
    return StarSegmenter(model, spent)


def _clock(budget: Budget, rate: float) -> Any:
    """A callback that sets the learning rate, as (1 - share)^.9, and ends the training."""
    keras = import_module("tensorflow").keras

    class Clock(keras.callbacks.Callback):  # type: ignore[misc, name-defined]
        started: float | None = None
        updates = 0

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            self.started = self.started or now()
            left = max(0.0, 1 - budget.share(self.started, self.updates))
            self.model.optimizer.learning_rate = rate * left**0.9

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.updates += 1
            if budget.share(self.started or 0.0, self.updates) >= 1:
                self.model.stop_training = True

    return Clock()


def _pairs(dataset: Dataset) -> tuple[list[Image], list[NDArray[np.int32]]]:
    samples = list(dataset)
    labels = [np.maximum(sample.labels, 0).astype(np.int32) for sample in samples]
    return [_shown(sample.image) for sample in samples], labels


def _shown(image: Image) -> Image:
    normalize = import_module("csbdeep.utils").normalize
    shown: Image = normalize(image.astype(np.float32).mean(-1), *PERCENTILES)
    return shown


def _augmenter(seed: int) -> Callable[[Image, Image], tuple[Image, Image]]:
    chance = np.random.default_rng(seed)

    def augment(image: Image, labels: Image) -> tuple[Image, Image]:
        turns, mirrored = int(chance.integers(4)), chance.random() < 0.5
        image, labels = (np.rot90(part, turns) for part in (image, labels))
        if mirrored:
            image, labels = image[:, ::-1], labels[:, ::-1]
        image = image * chance.uniform(0.6, 2) + chance.uniform(-0.2, 0.2)
        noise = 0.02 * chance.uniform(0, 1) * chance.normal(size=image.shape)
        return (image + noise).astype(np.float32), labels.copy()

    return augment
