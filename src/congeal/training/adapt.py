"""Training settings derived from the images and the method: crop size and image sampling."""

from __future__ import annotations

import math

from congeal.data.measures import some_samples
from congeal.data.sample import Dataset
from congeal.data.zoom import zoomed_size
from congeal.methods.method import Method
from congeal.training.config import MAX_CROP

__all__ = ["crop_range", "suggest_crop", "suggest_sampling_power"]

SIZE_IMAGES = 16  # images whose size is measured
MIN_CROP = 96  # px
MAX_COUNTED_IMAGES = 2000  # counting objects reads every image; not done for larger datasets
SAMPLING_POWER = 0.5  # images are drawn in proportion to (number of objects)^power


def suggest_crop(dataset: Dataset, model: Method, *, small: bool) -> int:
    """Choose the side of the training crops, at most 256 pixels.

    Without ``model.context_radius`` the crop covers the largest of the measured images at the input
    scale. With it the crop is 2.5 * context if ``small``, else 256 pixels. In a short training many
    small crops give better results than few large ones with the same number of pixels.

    Args:
        dataset: training images; 16 of them, evenly spread, are read if the model has no context.
        model: model to train; its context, scale and divisor are used.
        small: prefer small crops, as on a CPU.

    Returns:
        Side in pixels, a multiple of the model's divisor.

    Example:
        >>> from congeal.data import open_dataset
        >>> from congeal.methods import find_method
        >>> model = find_method("rpe")(repulsion_radius=None)
        >>> suggest_crop(open_dataset("sticks", "train", count=2, size=96), model, small=True)
        96
    """
    if model.context_radius is None:
        sizes = (sample.labels.shape for sample in some_samples(dataset, SIZE_IMAGES))
        wanted = float(max(max(zoomed_size((h, w), model.scale)) for h, w in sizes))
    else:
        wanted = 2.5 * model.context_radius if small else MAX_CROP
    divisor = model.divisor
    smallest = max(2 * divisor, MIN_CROP)
    return divisor * math.ceil(min(max(wanted, smallest), MAX_CROP) / divisor)


def crop_range(dataset: Dataset, model: Method, *, small: bool) -> tuple[int, int]:
    """Range of crop sides to choose from by speed: about half of :func:`suggest_crop`, up to it.

    Args:
        dataset: training images.
        model: model to train.
        small: prefer small crops, as on a CPU.

    Returns:
        Smallest and largest side in pixels, multiples of the model's divisor.

    Example:
        >>> from congeal.data import open_dataset
        >>> from congeal.methods import find_method
        >>> model = find_method("rpe")(repulsion_radius=80.0)
        >>> crop_range(open_dataset("rods", "train", count=2), model, small=True)
        (128, 224)
    """
    largest = suggest_crop(dataset, model, small=small)
    divisor = model.divisor
    smallest = divisor * math.ceil(max(largest / 2, MIN_CROP, 2 * divisor) / divisor)
    return min(smallest, largest), largest


def suggest_sampling_power(dataset: Dataset, model: Method) -> float:
    """Choose the power of the number of objects by which images are sampled in training.

    A model with a context is for crowded images. Scores then depend mostly on the images with many
    objects, so these are drawn more often. Counting objects reads every image once, which takes too
    long for more than 2,000 images.

    Args:
        dataset: training images; none is read here.
        model: model to train; only its context is used.

    Returns:
        0.5 for models with a context and at most 2,000 images, else 0 (all images equally often).

    Example:
        >>> from congeal.data import open_dataset
        >>> from congeal.methods import find_method
        >>> model = find_method("rpe")(repulsion_radius=24.0)
        >>> suggest_sampling_power(open_dataset("discs", "train", count=2), model)
        0.5
    """
    return SAMPLING_POWER if model.context_radius and len(dataset) <= MAX_COUNTED_IMAGES else 0.0
