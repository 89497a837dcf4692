"""A method that knows objects of one size only, as a trained one does."""

import numpy as np
from cases.patches import Untrained
from scipy import ndimage

from congeal.methods.sections import InputSettings, MethodSettings
from congeal.segmentation import Segmentation

__all__ = ["Sized", "discs_in_a_grid"]

RADIUS = 6  # pixels, of the objects that it knows


class SizedConfig(MethodSettings):
    """Its settings."""

    input: InputSettings = InputSettings()


class Sized(Untrained):
    """Calls a bright patch an object where its area is that of a disc of six pixels, or nearly."""

    name, title, reference, Config = "sized", "Sized", "", SizedConfig

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
