"""A method that knows objects of one size only, as a trained one does."""

import numpy as np
import torch
from scipy import ndimage
from torch import nn

from congeal.methods.method import MapPrediction, Method
from congeal.methods.sections import InputSettings, MethodSettings
from congeal.segmentation import Segmentation

__all__ = ["Sized", "discs_in_a_grid"]

RADIUS = 6  # pixels, of the objects that it knows


class SizedConfig(MethodSettings):
    """Its settings."""

    input: InputSettings = InputSettings()


class Sized(Method):
    """Calls a bright patch an object where its area is that of a disc of six pixels, or nearly."""

    name, title, reference, Config, tasks = "sized", "Sized", "", SizedConfig, ("instances",)

    def __init__(self, config=None, **settings) -> None:
        super().__init__(config, **settings)
        self.unused = nn.Parameter(torch.zeros(1))

    def losses(self, batch, *, stage="training", progress=1.0, generator=None):
        return {"unused": self.unused.square().sum()}

    def compute_maps(self, image, statistics=None):
        return MapPrediction({"image": torch.from_numpy(image[..., 0] * 1.0)}, image.shape[:2])

    def decode(self, maps, *, keep_embedding=False):
        parts = ndimage.label(maps.maps["image"].numpy() > 100)[0]
        areas = np.bincount(parts.ravel()) / (np.pi * RADIUS**2)
        known = (areas > 0.7) & (areas < 1.4)
        known[0] = False
        return Segmentation.from_labels(np.where(known[parts], parts, 0))


def discs_in_a_grid(height, width, radius=RADIUS):
    """Bright discs `(height, width)` uint8, and their labels; four radii from one to the next."""
    rows, columns = np.mgrid[:height, :width] + 0.5
    step = 4 * radius
    far = np.hypot(rows % step - step / 2, columns % step - step / 2)
    labels = ndimage.label(far < radius)[0]
    image = 20 + 180 * np.clip(radius + 0.5 - far, 0, 1)
    return image.astype(np.uint8), labels
