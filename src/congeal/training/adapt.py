"""Settings of a training that follow from the images and the method."""

from __future__ import annotations

import math

from congeal.data.measures import evenly_spaced_samples
from congeal.data.rescale import rescaled_size
from congeal.data.sample import Dataset
from congeal.methods.method import Method
from congeal.training.config import LARGEST_CROP

__all__ = ["crop_range", "suggest_crop", "suggest_sampling_power"]

MEASURED = 16  # images whose size is looked at
LEAST_CROP = 96  # px
COUNTED = 2000  # images, up to which the objects of each are counted
SAMPLING_POWER = 0.5  # how much more often crowded images are drawn


def suggest_crop(dataset: Dataset, model: Method, *, small: bool) -> int:
    """Choose the side of the training crops.

    Where objects need to differ over the whole image, the crop holds all of it, up to 256 pixels.
    Where they need to differ within a radius only, it needs room for neighbours and no more: in a
    short training many small crops teach more than few large ones with as many pixels.

    Args:
        dataset: of training images; 16 of them, evenly spread, are read if need be.
        model: to be trained, whose context, scale and divisor count.
        small: whether to go down to what the context needs, as on a CPU.

    Returns:
        Pixels, a multiple of the model's divisor.

    Example:
        >>> from congeal.data import open_dataset
        >>> from congeal.methods import find_method
        >>> model = find_method("rpe")(repulsion_radius=None)
        >>> suggest_crop(open_dataset("sticks", "train", count=2, size=96), model, small=True)
        96
    """
    if model.context is None:
        sizes = (sample.labels.shape for sample in evenly_spaced_samples(dataset, MEASURED))
        wanted = float(max(max(rescaled_size((h, w), model.scale)) for h, w in sizes))
    else:
        wanted = 2.5 * model.context if small else LARGEST_CROP
    divisor = model.divisor
    least = max(2 * divisor, LEAST_CROP)
    return divisor * math.ceil(min(max(wanted, least), LARGEST_CROP) / divisor)


def crop_range(dataset: Dataset, model: Method, *, small: bool) -> tuple[int, int]:
    """Sides of crops among which the time decides: that of :func:`suggest_crop`, and half of it.

    Args:
        dataset: of training images.
        model: to be trained.
        small: whether to go down to what the context needs, as on a CPU.

    Returns:
        The smallest and the largest, in pixels, multiples of the model's divisor.

    Example:
        >>> from congeal.data import open_dataset
        >>> from congeal.methods import find_method
        >>> model = find_method("rpe")(repulsion_radius=80.0)
        >>> crop_range(open_dataset("rods", "train", count=2), model, small=True)
        (128, 224)
    """
    most = suggest_crop(dataset, model, small=small)
    divisor = model.divisor
    least = divisor * math.ceil(max(most / 2, LEAST_CROP, 2 * divisor) / divisor)
    return min(least, most), most


def suggest_sampling_power(dataset: Dataset, model: Method) -> float:
    """Choose how much more often images of many objects are drawn in training.

    Where objects need to differ from their neighbours only, images differ in how many objects
    they hold, and scores are mostly about the full ones. To know them, every image is read.

    Args:
        dataset: of training images, of which none is read here.
        model: to be trained, whose context counts.

    Returns:
        The power of the number of objects: 0.5, or 0 for few objects or over 2,000 images.

    Example:
        >>> from congeal.data import open_dataset
        >>> from congeal.methods import find_method
        >>> model = find_method("rpe")(repulsion_radius=24.0)
        >>> suggest_sampling_power(open_dataset("discs", "train", count=2), model)
        0.5
    """
    return SAMPLING_POWER if model.context and len(dataset) <= COUNTED else 0.0
